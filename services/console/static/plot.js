/* Estimates against what the work took, drawn with uPlot: each closed estimate is a point, one line is where
   they would stand had they been right, the other what the correction factor makes of them. */

import { fetchJson } from "./console.js";
import { oneAtATime, script, stylesheet } from "./load.js";

const LIBRARY = "./vendor/uplot/uPlot.iife.min.js";
const STYLES = "./vendor/uplot/uPlot.min.css";
const HEIGHT = 320;
const NARROW = 480;

const plots = new WeakMap();

const refresh = oneAtATime(async () => {
  for (const place of document.querySelectorAll("[data-plot=estimates]")) {
    const data = await fetchJson("estimates", {});
    await Promise.all([script(LIBRARY), stylesheet(STYLES)]);
    draw(place, data);
  }
});

document.addEventListener("console:shown", refresh);
addEventListener("resize", refresh);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
document.addEventListener("console:theme", refresh);
refresh();

function draw(place, data) {
  const look = `${colours(place).join()} ${place.clientWidth}`;
  const known = plots.get(place);
  if (known?.look === look && known.factor === data.factor) {
    known.plot.setData(columns(data));
    return;
  }
  known?.plot.destroy();
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", spoken(data));
  const plot = new uPlot(options(place, data), columns(data), place);
  plots.set(place, { plot, look, factor: data.factor });
}

/** What was estimated, what it took, what it would have taken had the estimate been right, and corrected. */
function columns({ points, factor }) {
  const estimated = points.map((point) => point.estimated);
  const ends = [0, Math.max(...estimated, 0) * 1.05];
  const rows = [[ends[0], null], ...points.map((point) => [point.estimated, point.actual]), [ends[1], null]];
  return [
    rows.map(([x]) => x),
    rows.map(([, y]) => y),
    rows.map(([x]) => x),
    rows.map(([x]) => (factor === null ? null : x * factor)),
  ];
}

function options(place, data) {
  const [text, line, point, right, corrected] = colours(place);
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const factor = data.factor === null ? "no factor" : `estimated × ${data.factor.toFixed(2)}`;
  const size = place.clientWidth < NARROW ? 40 : 56;
  const labelled = { label: "took (sessions)", size, labelSize: 24 };
  return {
    width: Math.max(place.clientWidth, 260),
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { range: (_, __, most) => [0, (most || 1) * 1.05] } },
    axes: [
      { ...axis, label: "estimated (sessions)", labelSize: 24 },
      { ...axis, ...labelled },
    ],
    series: [
      { label: "estimated", value: (_, value) => figure(value) },
      {
        label: "took",
        stroke: point,
        fill: point,
        paths: () => null,
        points: { show: true, size: 8, fill: point, stroke: point },
        value: (_, value) => figure(value),
      },
      { label: "as estimated", stroke: right, width: 1.5, dash: [6, 5], points: { show: false }, value: (_, value) => figure(value) },
      { label: factor, stroke: corrected, width: 2, points: { show: false }, value: (_, value) => figure(value) },
    ],
  };
}

function figure(value) {
  return value === null || value === undefined ? "–" : String(Math.round(value * 100) / 100);
}

/** The page's colours as a canvas can take them: of the scheme that holds now. */
function colours(place) {
  const probe = document.createElement("span");
  place.append(probe);
  const found = ["--muted", "--line", "--accent", "--muted", "--warn"].map((name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return found;
}

function spoken({ points, factor }) {
  const told = `${points.length} closed estimates against what the work took, in sessions`;
  return factor === null ? told : `${told}; the correction factor is ${factor.toFixed(2)}. The table below has the figures.`;
}

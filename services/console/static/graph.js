/* The dependency graph of a plan and the graph of handoffs, drawn with d3 where the server computed them to be.

   A placeholder `data-part` is filled with a part of the page; `data-graph` is where one is drawn. Beside each
   drawing stands the same as a list, so that nothing is told by the picture alone. */

import { fetchJson, fetchPart, go, morph, state } from "./console.js";
import { oneAtATime, script } from "./load.js";

const D3 = "./vendor/d3/d3.min.js";
const PARTS = { graph: "plan-graph", "handoff-graph": "handoff-graph" };
const NARROWING = ["plan", "parent", "task", "distance"];

const BOX = { width: 190, height: 44, column: 250, row: 60, margin: 12 };
const LANE = { row: 46, radius: 8, margin: 26, least: 300, label: 15 };
const ZOOM = { step: 1.3, least: 0.25, most: 2, readable: 0.62 };
const TITLE_CHARS = 25;

const drawings = { plan: drawPlan, handoffs: drawHandoffs };

const refresh = oneAtATime(async () => {
  for (const place of document.querySelectorAll("[data-part]")) {
    if (PARTS[place.dataset.part]) await fill(place);
  }
  for (const place of document.querySelectorAll("[data-graph]")) {
    try {
      await script(D3);
      await drawings[place.dataset.graph](place);
      place.dataset.drawn = "yes";
    } catch (error) {
      place.replaceChildren(told(error));
    }
  }
});

document.addEventListener("console:moment", renew);
document.addEventListener("console:shown", refresh);
document.addEventListener("submit", narrow);
document.addEventListener("click", choose);
addEventListener("resize", () => document.querySelector("[data-graph=handoffs]") && refresh());

async function fill(place) {
  renew();
  try {
    morph(place, await fetchPart(PARTS[place.dataset.part], narrowing()));
  } catch (error) {
    place.replaceChildren(told(error));
  }
}

function told(error) {
  const line = document.createElement("p");
  line.className = "d-error";
  line.setAttribute("role", "alert");
  line.textContent = error.message;
  return line;
}

/* Which graph: the address says, so that a link shows the same. */

function narrowing() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NARROWING.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
}

/** What somebody is filling in stays as it is, until the page shows another graph. */
let narrowed = JSON.stringify(narrowing());
function renew() {
  const now = JSON.stringify(narrowing());
  if (now !== narrowed) document.getElementById("graph-narrow")?.removeAttribute("data-keep");
  narrowed = now;
}

function show(kind, name, distance) {
  const chosen = { plan: null, parent: null, task: null, distance: null };
  if (kind !== "open" && name) chosen[kind] = name;
  if (kind === "task") chosen.distance = distance || null;
  const mode = state.view === "queue" ? { mode: "graph" } : {};
  go({ view: state.view, ...mode, ...chosen });
}

function narrow(event) {
  const form = event.target.closest("form[data-narrow]");
  if (!form) return;
  event.preventDefault();
  const { kind, name, distance } = Object.fromEntries(new FormData(form));
  show(kind, name.trim(), distance);
}

function choose(event) {
  const button = event.target.closest("[data-choose]");
  if (button) show(button.dataset.choose, button.dataset.name);
}

/* The plan: layers from left to right, the critical path in bold. */

async function drawPlan(place) {
  const graph = await fetchJson("graph", narrowing());
  const canvas = framed(place, "The dependency graph: each task stands right of what it waits for");
  const width = Math.max(graph.layers - 1, 0) * BOX.column + BOX.width + 2 * BOX.margin;
  const height = Math.max(graph.rows - 1, 0) * BOX.row + BOX.height + 2 * BOX.margin;
  sized(place, canvas, width, height);
  const at = new Map(graph.nodes.map((node) => [node.task, node]));
  const tied = ties(graph.edges);

  canvas
    .select("g.d-edges")
    .selectAll("path")
    .data(graph.edges, (edge) => `${edge.awaited} ${edge.task}`)
    .join("path")
    .attr("class", (edge) => (edge.critical ? "d-edge d-critical" : "d-edge"))
    .attr("marker-end", (edge) => (edge.critical ? "url(#d-arrow-critical)" : "url(#d-arrow)"))
    .attr("d", (edge) => route(edge, at));

  const boxes = canvas
    .select("g.d-nodes")
    .selectAll("a.d-node")
    .data(graph.nodes, (node) => node.task)
    .join(newBox)
    .attr("class", (node) => `d-node d-${node.status}${node.critical ? " d-critical" : ""}`)
    .attr("href", (node) => link(`task:${node.task}`))
    .attr("data-detail", (node) => `task:${node.task}`)
    .attr("transform", (node) => `translate(${left(node.layer)},${top(node.row)})`)
    .attr("aria-description", (node) => spoken(node, tied));
  boxes.select("text.d-name").text((node) => cut(node.title));
  boxes.select("text.d-about").text(about);
  boxes.on("keydown", (event, node) => walk(event, node, graph, tied, canvas));
  rove(canvas, graph);
}

function newBox(enter) {
  const box = enter.append("a");
  box.append("rect").attr("width", BOX.width).attr("height", BOX.height).attr("rx", 6);
  box.append("text").attr("class", "d-name").attr("x", 10).attr("y", 18);
  box.append("text").attr("class", "d-about").attr("x", 10).attr("y", 35);
  return box;
}

function left(layer) {
  return BOX.margin + layer * BOX.column;
}

function top(row) {
  return BOX.margin + row * BOX.row;
}

/** From the right side of what is awaited, through the layers between, to the left side of the task. */
function route(edge, at) {
  const one = at.get(edge.awaited);
  const other = at.get(edge.task);
  const middle = BOX.height / 2;
  let x = left(one.layer) + BOX.width;
  let y = top(one.row) + middle;
  let path = `M${x},${y}`;
  edge.bends.forEach((row, number) => {
    const next = left(one.layer + 1 + number);
    path += curve(x, y, next, top(row) + middle) + `H${next + BOX.width}`;
    x = next + BOX.width;
    y = top(row) + middle;
  });
  return path + curve(x, y, left(other.layer) - 7, top(other.row) + middle);
}

function curve(x, y, toX, toY) {
  const half = (x + toX) / 2;
  return `C${half},${y} ${half},${toY} ${toX},${toY}`;
}

function about(node) {
  const held = node.holder ? ` · ${node.holder}` : "";
  const percent = node.percent !== null && node.status === "in_progress" ? ` ${node.percent} %` : "";
  return cut(`${node.status.replace("_", " ")}${percent}${held} · ${node.task}`, 30);
}

/** What the picture tells beside the words in the box. */
function spoken(node, tied) {
  const awaited = tied.before.get(node.task) ?? [];
  const waits = awaited.length ? `, waits for ${awaited.join(", ")}` : "";
  const critical = node.critical ? ", on the critical path" : "";
  return `Layer ${node.layer + 1}${critical}${waits}`;
}

function ties(edges) {
  const before = new Map();
  const after = new Map();
  for (const { awaited, task } of edges) {
    before.set(task, [...(before.get(task) ?? []), awaited]);
    after.set(awaited, [...(after.get(awaited) ?? []), task]);
  }
  return { before, after };
}

/* One of the boxes is in the tab order; arrows go from it along edges and within a layer. */

function rove(canvas, graph) {
  const boxes = canvas.selectAll("a.d-node");
  const focused = boxes.filter((_, index, all) => all[index] === document.activeElement);
  const first = graph.critical[0] ?? graph.nodes[0]?.task;
  const current = focused.empty() ? first : focused.datum().task;
  boxes.attr("tabindex", (node) => (node.task === current ? 0 : -1));
}

function walk(event, node, graph, tied, canvas) {
  const next = {
    ArrowLeft: () => (tied.before.get(node.task) ?? [])[0],
    ArrowRight: () => (tied.after.get(node.task) ?? [])[0],
    ArrowUp: () => beside(node, graph, -1),
    ArrowDown: () => beside(node, graph, 1),
  }[event.key];
  if (!next) return;
  event.preventDefault();
  event.stopPropagation();
  const task = next();
  if (task === undefined) return;
  canvas
    .selectAll("a.d-node")
    .attr("tabindex", (each) => (each.task === task ? 0 : -1))
    .filter((each) => each.task === task)
    .node()
    .focus();
}

function beside(node, graph, step) {
  const layer = graph.nodes.filter((each) => each.layer === node.layer).sort((a, b) => a.row - b.row);
  return layer[layer.findIndex((each) => each.task === node.task) + step]?.task;
}

/* Handoffs: who gave on the left, who got on the right; the open ones on top. */

async function drawHandoffs(place) {
  const { flows } = await fetchJson("handoffs", {});
  const canvas = framed(place, "Handoffs: who gave stands on the left, who got on the right");
  const senders = lane(flows, (flow) => `agent:${flow.sender}`);
  const receivers = lane(flows, (flow) => (flow.to_persona ? `persona:${flow.receiver}` : `agent:${flow.receiver}`));
  const width = Math.max(place.clientWidth - 2, LANE.least);
  const height = Math.max(senders.size, receivers.size, 1) * LANE.row + LANE.margin;
  canvas.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);
  const label = Math.min(width * 0.3, 200);
  const from = label;
  const to = width - label;

  canvas
    .select("g.d-edges")
    .selectAll("a.d-flow")
    .data([...flows].reverse(), (flow) => `${flow.sender} ${flow.receiver} ${flow.to_persona}`)
    .join(newFlow)
    .order()
    .attr("class", (flow) => `d-flow ${flow.open ? "d-open" : flow.done ? "d-completed" : "d-failed"}`)
    .attr("href", (flow) => link(`handoff:${flow.handoffs[0].handoff}`))
    .attr("data-detail", (flow) => `handoff:${flow.handoffs[0].handoff}`)
    .attr("aria-label", (flow) => spokenFlow(flow))
    .each(function (flow) {
      const y = level(senders, `agent:${flow.sender}`);
      const toY = level(receivers, `${flow.to_persona ? "persona" : "agent"}:${flow.receiver}`);
      const many = flow.open + flow.done + flow.failed;
      const path = `M${from},${y}${curve(from, y, to, toY)}`;
      const group = d3.select(this);
      group.select("title").text(spokenFlow(flow));
      group.select("path.d-reach").attr("d", path);
      group.select("path.d-line").attr("d", path).attr("stroke-width", 1.5 + 2 * Math.sqrt(many - 1));
      group.select("text").attr("x", (from + to) / 2).attr("y", (y + toY) / 2 - 5).text(counted(flow));
    });

  const ends = [
    ...[...senders].map(([of, row]) => ({ of, row, x: from, side: "end" })),
    ...[...receivers].map(([of, row]) => ({ of, row, x: to, side: "start" })),
  ];
  const points = canvas
    .select("g.d-nodes")
    .selectAll("a.d-end")
    .data(ends, (end) => `${end.side} ${end.of}`)
    .join(newEnd)
    .attr("class", (end) => `d-end ${end.of.startsWith("persona:") ? "d-persona" : ""}`)
    .attr("href", (end) => (end.of.startsWith("agent:") ? link(end.of) : null))
    .attr("data-detail", (end) => (end.of.startsWith("agent:") ? end.of : null))
    .attr("aria-label", (end) => end.of.replace(":", " "))
    .attr("transform", (end) => `translate(${end.x},${LANE.margin + end.row * LANE.row})`);
  points.select("title").text((end) => end.of.replace(":", " "));
  points
    .select("text")
    .attr("x", (end) => (end.side === "end" ? -14 : 14))
    .attr("text-anchor", (end) => end.side)
    .text((end) => cut(end.of.startsWith("persona:") ? `any ${end.of.slice(8)}` : end.of.slice(6), label / 7.5));
}

function newFlow(enter) {
  const flow = enter.append("a");
  flow.append("title");
  flow.append("path").attr("class", "d-reach");
  flow.append("path").attr("class", "d-line");
  flow.append("text").attr("text-anchor", "middle");
  return flow;
}

function newEnd(enter) {
  const end = enter.append("a");
  end.append("title");
  end.append("circle").attr("r", LANE.radius);
  end.append("text").attr("y", 5);
  return end;
}

/** The rows of a lane, in the order in which the flows name them. */
function lane(flows, of) {
  return new Map([...new Set(flows.map(of))].map((name, row) => [name, row]));
}

function level(lanes, name) {
  return LANE.margin + lanes.get(name) * LANE.row;
}

function counted(flow) {
  if (flow.open) return `${flow.open} open`;
  const many = flow.done + flow.failed;
  return many > 1 ? `${many}` : "";
}

function spokenFlow(flow) {
  const to = flow.to_persona ? `any ${flow.receiver}` : flow.receiver;
  const task = flow.handoffs[0].task;
  return `${flow.sender} to ${to}: ${flow.open} open, ${flow.done} done, ${flow.failed} declined or expired; the latest of ${task}`;
}

/* What both drawings need. */

function framed(place, label) {
  let canvas = d3.select(place).select("svg");
  if (!canvas.empty()) return canvas;
  place.replaceChildren();
  if (place.dataset.graph === "plan") place.append(zoomer(place));
  const frame = document.createElement("div");
  frame.className = "d-frame";
  frame.tabIndex = -1;
  place.append(frame);
  canvas = d3.select(frame).append("svg").attr("role", "group").attr("aria-label", label);
  const definitions = canvas.append("defs");
  arrow(definitions, "d-arrow");
  arrow(definitions, "d-arrow-critical");
  canvas.append("g").attr("class", "d-edges");
  canvas.append("g").attr("class", "d-nodes");
  return canvas;
}

function arrow(definitions, id) {
  definitions
    .append("marker")
    .attr("id", id)
    .attr("class", id)
    .attr("viewBox", "0 0 8 8")
    .attr("refX", 1)
    .attr("refY", 4)
    .attr("markerWidth", 8)
    .attr("markerHeight", 8)
    .attr("markerUnits", "userSpaceOnUse")
    .attr("orient", "auto")
    .append("path")
    .attr("d", "M0,0 L8,4 L0,8 z");
}

function zoomer(place) {
  const bar = document.createElement("p");
  bar.className = "d-zoom";
  for (const [text, label, change] of [
    ["−", "Smaller", -1],
    ["+", "Larger", 1],
  ]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => {
      const zoom = Number(place.dataset.zoom) * ZOOM.step ** change;
      place.dataset.zoom = Math.min(Math.max(zoom, ZOOM.least), ZOOM.most);
      place.dataset.zoomed = "yes";
      resize(place);
    });
    bar.append(button);
  }
  return bar;
}

/** As large as it is, or if that is too wide, so small as it can still be read; unless somebody chose. */
function sized(place, canvas, width, height) {
  canvas.attr("viewBox", `0 0 ${width} ${height}`);
  const fits = Math.min((place.clientWidth - 4) / width, 1);
  if (!place.dataset.zoomed) place.dataset.zoom = Math.max(fits, ZOOM.readable);
  resize(place);
}

function resize(place) {
  const canvas = place.querySelector("svg");
  const { width, height } = canvas.viewBox.baseVal;
  canvas.setAttribute("width", width * Number(place.dataset.zoom));
  canvas.setAttribute("height", height * Number(place.dataset.zoom));
}

function link(of) {
  const query = new URLSearchParams(location.search);
  query.set("detail", of);
  return `?${query}`;
}

function cut(text, chars = TITLE_CHARS) {
  return text.length > chars ? `${text.slice(0, Math.floor(chars) - 1)}…` : text;
}

refresh();

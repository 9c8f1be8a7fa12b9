/* The dependency graph of a plan: layers from left to right, the critical path in bold. */

/* global d3 */

import { curve, framed, link } from "./graph-canvas.js";

const BOX = { width: 190, inset: 10, height: 44, column: 240, row: 60, margin: 12 };
const ZOOM = { step: 1.3, least: 0.25, most: 2, readable: 0.8 };

/** Draws the graph that the server laid out. */
export function drawPlan(place, graph) {
  const canvas = framed(place, "The dependency graph: each task stands right of what it waits for", zoomer(place));
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
  boxes.each(function (node) {
    fit(this.querySelector(".d-name"), node.title);
    fit(this.querySelector(".d-about"), about(node));
  });
  boxes.on("keydown", (event, node) => walk(event, node, graph, tied, canvas));
  rove(canvas, graph);
}

function newBox(enter) {
  const box = enter.append("a");
  box.append("rect").attr("width", BOX.width).attr("height", BOX.height).attr("rx", 6);
  box.append("text").attr("class", "d-name").attr("x", BOX.inset).attr("y", 18);
  box.append("text").attr("class", "d-about").attr("x", BOX.inset).attr("y", 35);
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

function about(node) {
  const held = node.holder ? ` · ${node.holder}` : "";
  const percent = node.percent !== null && node.status === "in_progress" ? ` ${node.percent} %` : "";
  return `${node.status.replace("_", " ")}${percent}${held} · ${node.task}`;
}

/** As much of a text as has room in its box; measured only when it is another text. */
function fit(line, text) {
  const known = `${text} ${line.parentNode.getAttribute("class")}`;
  if (line.dataset.known === known) return;
  line.dataset.known = known;
  line.textContent = text;
  for (let chars = text.length; chars > 4; ) {
    const wide = line.getComputedTextLength();
    if (wide <= BOX.width - 2 * BOX.inset) return;
    chars = Math.min(chars - 1, Math.floor((chars * (BOX.width - 2 * BOX.inset)) / wide));
    line.textContent = `${text.slice(0, chars - 1)}…`;
  }
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

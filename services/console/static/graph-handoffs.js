/* The graph of handoffs: who gave on the left, who got on the right; the open ones on top. */

/* global d3 */

import { curve, cut, framed, link } from "./graph-canvas.js";

const LANE = { row: 46, radius: 8, margin: 26, least: 300, label: 15 };

/** Draws what was handed over, added up by who gave and who got. */
export function drawHandoffs(place, { flows }) {
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

/* What the drawn graphs have in common. */

/* global d3 */

/** The place's drawing with its groups for edges and nodes; made, below a `bar`, if it is not there. */
export function framed(place, label, bar = null) {
  let canvas = d3.select(place).select("svg");
  if (!canvas.empty()) return canvas;
  place.replaceChildren();
  if (bar) place.append(bar);
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

/** An address that opens a detail on this page. */
export function link(of) {
  const query = new URLSearchParams(location.search);
  query.set("detail", of);
  return `?${query}`;
}

export function cut(text, chars) {
  return text.length > chars ? `${text.slice(0, Math.floor(chars) - 1)}…` : text;
}

/** A line that leaves and arrives level. */
export function curve(x, y, toX, toY) {
  const half = (x + toX) / 2;
  return `C${half},${y} ${half},${toY} ${toX},${toY}`;
}

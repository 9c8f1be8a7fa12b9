/* The dependency graph of a plan and the graph of handoffs, drawn with d3 where the server computed them to be.

   A placeholder `data-part` is filled with a part of the page; `data-graph` is where one is drawn. Beside each
   drawing stands the same as a list, so that nothing is told by the picture alone. */

import { fetchJson, fetchPart, go, morph, state } from "./console.js";
import { drawHandoffs } from "./graph-handoffs.js";
import { drawPlan } from "./graph-plan.js";
import { oneAtATime, script } from "./load.js";

const D3 = "./vendor/d3/d3.min.js";
const PARTS = { graph: "plan-graph", "handoff-graph": "handoff-graph" };
const NARROWING = ["plan", "parent", "task", "distance"];

const drawings = {
  plan: async (place) => drawPlan(place, await fetchJson("graph", narrowing())),
  handoffs: async (place) => drawHandoffs(place, await fetchJson("handoffs")),
};

const refresh = oneAtATime(async () => {
  for (const place of document.querySelectorAll("[data-part]")) {
    if (PARTS[place.dataset.part]) await fill(place);
  }
  for (const place of document.querySelectorAll("[data-graph]")) {
    try {
      await script(D3);
      await drawings[place.dataset.graph](place);
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

refresh();

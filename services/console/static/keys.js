// What single keys do, where nobody is typing.

import { go, thaw } from "./console.js";
import { compare, mark, step, stop, toggle } from "./slider.js";

const OFF = "coord-keys-off";
const VIEWS = ["fleet", "queue", "handoffs", "timeline", "learned", "settings"];

const help = document.getElementById("help");
const box = document.getElementById("keys-on");
box.checked = localStorage.getItem(OFF) === null;
box.addEventListener("change", () => {
  if (box.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "yes");
});
document.getElementById("help-open").addEventListener("click", () => help.showModal());

const typing = (element) => element.closest("input:not([type=range], [type=checkbox]), textarea, select, [contenteditable]") !== null;
const pressable = (element) => element.closest("button, a, summary, input:not([type=range]), select") !== null;

function focusFilter() {
  document.querySelector("#part form[data-filters] input:not([type=hidden])")?.focus();
}

/** From one thing that can be opened to the next. */
function walk(forth) {
  const all = [...document.querySelectorAll("#part [data-detail]")].filter((each) => each.offsetParent !== null);
  const at = all.indexOf(document.activeElement);
  const next = all[at === -1 ? 0 : at + (forth ? 1 : -1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Whether an arrow is ours: elsewhere it scrolls, and within the details only up and down do. */
function moves(arrow) {
  const at = document.activeElement;
  if (at === document.body || at.id === "main" || at.closest("#part [data-detail]")) return true;
  return at.closest("#detail") !== null && (arrow === "ArrowLeft" || arrow === "ArrowRight");
}

const KEYS = {
  "/": focusFilter,
  "?": () => help.showModal(),
  a: () => mark("a"),
  b: () => mark("b"),
  c: compare,
  l: () => {
    stop();
    thaw();
  },
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowDown: () => walk(true),
  ArrowUp: () => walk(false),
  " ": toggle,
};
VIEWS.forEach((view, index) => {
  KEYS[index + 1] = () => go({ view });
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !box.checked) return;
  if (document.querySelector("dialog[open]:modal") || typing(event.target)) return;
  if (event.key === " " && pressable(event.target)) return;
  const act = KEYS[event.key];
  if (!act || (event.key.startsWith("Arrow") && !moves(event.key))) return;
  event.preventDefault();
  act();
});

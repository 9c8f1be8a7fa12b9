/* The dialog with the details of a task, an agent, a handoff or an event, at the moment that the page shows.

   Whatever has `data-detail="KIND:NAME"` opens it. The address names what is open, so that a link shows it. Where
   there is room it leaves the view and the slider within reach; on a small screen it is before all else. */

import { address, announce, fetchPart, morph } from "./console.js";
import { oneAtATime } from "./load.js";

const roomy = matchMedia("(min-width: 1061px)");
const dialog = document.getElementById("detail");
const body = document.getElementById("detail-body");
const came = [];
let shown = null; // {of, before}
let back = null;

if (dialog) begin();

function begin() {
  dialog.prepend(bar());
  document.addEventListener("click", follow);
  document.addEventListener("console:detail", (event) => open(`${event.detail.kind}:${event.detail.id}`));
  document.addEventListener("console:shown", () => dialog.open && refresh());
  document.addEventListener("console:done", () => dialog.open && refresh());
  dialog.addEventListener("close", forget);
  dialog.addEventListener("click", outside);
  document.addEventListener("keydown", escape);
  const named = new URLSearchParams(location.search).get("detail");
  if (named) open(named);
}

/** A dialog that is before all else goes away for a click beside it, or for one that leads to another view. */
function outside(event) {
  if (!dialog.matches(":modal")) return;
  const beside = event.target === dialog && event.clientX < dialog.getBoundingClientRect().left;
  if (beside || event.target.closest("a[data-go]")) dialog.close();
}

function escape(event) {
  if (event.key !== "Escape" || !dialog.open || event.target.closest("input, select")) return;
  if (!document.querySelector("dialog:modal")) dialog.close();
}

function bar() {
  const line = document.createElement("p");
  line.className = "d-bar";
  back = button("← Back", goBack);
  back.hidden = true;
  line.append(back, button("Close", () => dialog.close()));
  return line;
}

function button(text, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.addEventListener("click", act);
  return element;
}

function follow(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const earlier = event.target.closest("#detail-body [data-before]");
  if (earlier) {
    shown = { ...shown, before: earlier.dataset.before };
    load(true);
    return;
  }
  const link = event.target.closest("[data-detail]");
  if (!link) return;
  event.preventDefault();
  if (!dialog.contains(link)) came.length = 0;
  else if (shown.of !== link.dataset.detail) came.push(shown.of);
  open(link.dataset.detail);
}

function open(of) {
  shown = { of, before: "" };
  address({ detail: of });
  load(true);
}

function goBack() {
  const of = came.pop();
  if (of === undefined) return;
  shown = { of, before: "" };
  address({ detail: of });
  load(true);
}

const refresh = oneAtATime(() => load(false));

/** Fetches and shows what is asked for; what was asked for before that came is dropped. */
async function load(anew) {
  const asked = shown;
  if (!asked) return; // closed before its turn came
  try {
    const html = await fetchPart("detail", asked);
    if (asked !== shown) return;
    show(html, anew);
  } catch (error) {
    if (asked !== shown) return;
    failed(error);
  }
  back.hidden = !came.length;
  if (!dialog.open) dialog[roomy.matches ? "show" : "showModal"]();
  if (anew) document.getElementById("detail-title")?.focus();
}

/** The same thing again keeps what is unfolded in it; another begins at its top. */
function show(html, anew) {
  if (anew) body.replaceChildren();
  morph(body, html);
  if (anew) dialog.scrollTop = 0;
}

function failed(error) {
  const title = document.createElement("h2");
  title.id = "detail-title";
  title.tabIndex = -1;
  title.textContent = shown.of.replace(":", " ");
  const line = document.createElement("p");
  line.className = "d-error";
  line.textContent = error.message;
  body.replaceChildren(title, line);
  announce(error.message);
}

function forget() {
  shown = null;
  came.length = 0;
  address({ detail: null });
}

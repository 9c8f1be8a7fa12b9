// The page's state, and how its view is asked for, swapped in and kept up to date. What else there is listens to
// the events that are sent from here: console:moment, console:shown, console:live, console:detail.

/* global htmx, Idiomorph */

const MOVE_GAP_MS = 100;
const LIVE_GAP_MS = 500;
const TYPING_MS = 150;
const KEPT = ["a", "b", "detail"];
const SETTLED_MS = 400;
const SLOW_MS = 500;
const ANSWER_MS = 15_000;
const AGAIN_MS = 1_000;
const NOT_YET = [429, 503];

const body = document.body;
const main = document.getElementById("main");

/** `asOf` is the sequence that the page is frozen at, or null when it is live; `head` the last there is. */
export const state = {
  project: body.dataset.project,
  role: body.dataset.role,
  actor: body.dataset.actor,
  view: "fleet",
  asOf: null,
  head: 0,
  sequence: 0,
  position: 0,
  at: "",
  atMs: NaN,
  words: "",
  a: null,
  b: null,
  skewMs: Date.parse(body.dataset.now) - Date.now(),
};

// Addresses

const base = () => `/console/${encodeURIComponent(state.project)}`;
const whole = (text) => (/^\d{1,15}$/.test(text ?? "") ? Number(text) : null);
const here = () => new URLSearchParams(location.search);

/** What an address needs to be of this moment: "as_of=56", or nothing when it is live. */
export const moment = () => (state.asOf === null ? "" : `as_of=${state.asOf}`);

/** The address of a `part` or `data` of the project at this moment. */
export function url(kind, name, params = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== "" && value !== null && value !== undefined) query.set(key, value);
  }
  if (query.has("as_of")) return `${base()}/${kind}/${name}?${query}`;
  if (state.asOf !== null) query.set("as_of", state.asOf);
  else if (state.position) query.set("seen", state.position);
  return `${base()}/${kind}/${name}?${query}`;
}

/** The query's parameters that are the view's own. */
export function filters() {
  const query = here();
  for (const name of ["view", "as_of", "detail"]) query.delete(name);
  return Object.fromEntries(query);
}

function readAddress() {
  const query = here();
  state.view = query.get("view") || "fleet";
  state.asOf = whole(query.get("as_of"));
  state.a = whole(query.get("a"));
  state.b = whole(query.get("b"));
}

/** Put these parameters into the address; null or "" takes one out. */
export function address(changes, push = false) {
  const query = here();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history[push ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname);
}

// Asking

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code;
  }
}

const SILENT = "The gateway does not answer.";

async function fetched(address) {
  const answer = await fetch(address, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => {
    throw new Error(SILENT);
  });
  if (!answer.ok) {
    const refused = new Refused(answer.status, await answer.json().catch(() => ({})));
    if (answer.status === 401) loggedOut();
    throw refused;
  }
  return answer;
}

/** Data of the project at this moment. Raises an Error with what to tell. */
export async function fetchJson(name, params = {}) {
  return (await fetched(url("data", name, params))).json();
}

/** A part of the project at this moment, as text of HTML. */
export async function fetchPart(name, params = {}) {
  return (await fetched(url("part", name, params))).text();
}

/** Make an element what this HTML (of the server, so escaped) says, keeping what stays. */
export function morph(element, html, style = "innerHTML") {
  return Idiomorph.morph(element, html, { morphStyle: style });
}

// The view, which is asked for by one request at a time

let asking = null;
let due = false;
let refused = false;
let timer = 0;
let tookMs = 0;
let endedAt = 0;

/** Ask for the view again: at once, or as soon as the answer under way is there and the pause is over. */
export function ask(gapMs = MOVE_GAP_MS) {
  if (asking) {
    due = true;
    return;
  }
  if (timer) return;
  const wait = Math.max(endedAt + Math.max(gapMs, 2 * (gapMs === LIVE_GAP_MS ? tookMs : 0)) - performance.now(), 0);
  timer = setTimeout(askNow, wait);
}

async function askNow() {
  clearTimeout(timer);
  timer = 0;
  due = false;
  refused = false;
  const began = performance.now();
  const view = state.view;
  asking = view;
  const slow = setTimeout(() => main.setAttribute("aria-busy", "true"), SLOW_MS);
  document.dispatchEvent(new CustomEvent("console:moment", { detail: { asOf: state.asOf, head: state.head } }));
  try {
    await htmx.ajax("GET", url("part", view, filters()), { source: main, target: "#part", swap: "morph:outerHTML" });
  } catch {
    // told by htmx's events
  }
  clearTimeout(slow);
  main.removeAttribute("aria-busy");
  asking = null;
  endedAt = performance.now();
  tookMs = endedAt - began;
  if (refused) {
    setTimeout(() => ask(0), AGAIN_MS);
    return;
  }
  const behind = state.asOf === null && document.getElementById("part").dataset.behind === "yes";
  if (due || behind || view !== state.view) ask(view === state.view && state.asOf === null ? LIVE_GAP_MS : MOVE_GAP_MS);
}

let lit;

/** The view that is shown stands out among their names, and is in sight on a small screen. */
function light() {
  const link = document.querySelector(`nav.views a[data-view="${state.view === "graph" ? "queue" : CSS.escape(state.view)}"]`);
  if (link === lit) return;
  document.querySelector("nav.views [aria-current]")?.removeAttribute("aria-current");
  link?.setAttribute("aria-current", "page");
  link?.scrollIntoView({ block: "nearest", inline: "center" });
  lit = link;
}

function shown() {
  const part = document.getElementById("part");
  const told = part.dataset;
  state.head = Math.max(state.head, Number(told.head));
  if (state.asOf === null || Number(told.sequence) === state.asOf) {
    state.sequence = Number(told.sequence);
    state.position = state.asOf === null ? Math.max(state.position, Number(told.position)) : state.position;
    state.at = told.at;
    state.atMs = Date.parse(told.at);
    state.words = told.words;
  }
  light();
  document.dispatchEvent(new CustomEvent("console:shown", { detail: { view: told.view, element: part } }));
}

// Moving

/** Show another view, with these parameters of its own; the moment and the marks stay. */
export function go({ view, ...params }) {
  const query = here();
  const next = new URLSearchParams({ view });
  if (state.asOf !== null) next.set("as_of", state.asOf);
  for (const name of KEPT) if (query.has(name)) next.set(name, query.get(name));
  for (const [name, value] of Object.entries(params)) if (value) next.set(name, value);
  history.pushState(null, "", `?${next}`);
  moved();
}

function moved() {
  clearTimeout(settling);
  const before = [state.view, state.asOf];
  readAddress();
  showStatus();
  ask(0);
}

let settling = 0;

/** The address follows when the slider rests: browsers bear only so many changes of it. */
function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => address({ as_of: state.asOf }), SETTLED_MS);
}

/** Show the project as it was right after this event. */
export function freeze(sequence) {
  const wanted = Math.max(0, Math.min(Math.round(sequence), state.head));
  if (wanted === state.asOf) return;
  state.asOf = wanted;
  settle();
  showStatus();
  ask();
}

/** Back to the present. */
export function thaw() {
  if (state.asOf === null) return;
  state.asOf = null;
  settle();
  showStatus();
  ask(0);
}

/** Tell of a task, an agent, a handoff or an event. */
export function openDetail(kind, id) {
  document.dispatchEvent(new CustomEvent("console:detail", { detail: { kind, id } }));
}

/** Say it to those who listen instead of looking. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}

// How it stands

let connected = null;
let loggedIn = true;
let rate = 0;

export function connection(up, perSecond = 0) {
  connected = up;
  loggedIn ||= up;
  rate = perSecond;
  showStatus();
}

function showStatus() {
  const status = document.getElementById("status");
  const words = document.getElementById("status-words");
  const now = state.asOf !== null ? "frozen" : connected ? "live" : "connecting";
  const is = !loggedIn ? "out" : connected === false ? "lost" : now;
  const text = { out: "logged out", lost: "connection lost – trying again", frozen: `frozen at #${state.asOf}` }[is] ?? is;
  if (status.dataset.state !== is || words.textContent !== text) {
    status.dataset.state = is;
    words.textContent = text;
  }
  const alarm = is === "lost" || is === "out" ? "⚠ " : "";
  document.title = `${alarm}${state.view} · ${state.project} – coordctl`;
  status.dataset.rate = connected && rate >= 0.5 ? `${Math.round(rate)}/s` : "";
  document.documentElement.dataset.time = state.asOf === null ? "live" : "frozen";
}

/** A sentence that stays until it is no longer so; none takes it away. */
export function trouble(text = "", link = "") {
  const box = document.getElementById("trouble");
  box.hidden = !text;
  box.textContent = text;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link;
    anchor.textContent = "Log in";
    box.append(" ", anchor);
  }
}

/** The page stays as it is, and says why. */
export function loggedOut() {
  loggedIn = false;
  connection(false);
  document.dispatchEvent(new CustomEvent("console:out"));
  trouble("Your login is over.", `/console/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

// What the page itself does

main.addEventListener("htmx:afterSwap", shown);
main.addEventListener("htmx:beforeSwap", (event) => {
  const told = /data-view="([^"]*)"/.exec(event.detail.serverResponse ?? "");
  if (told && told[1] !== state.view) event.detail.shouldSwap = false;
  else if (event.detail.xhr.status < 400) trouble();
});
main.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (xhr.status === 401) {
    loggedOut();
    return;
  }
  let told = {};
  try {
    told = JSON.parse(xhr.responseText);
  } catch {
    // not ours: a proxy's page
  }
  refused = NOT_YET.includes(xhr.status);
  trouble(told.detail || `The server answered ${xhr.status}.`);
});

main.addEventListener("htmx:timeout", () => trouble(SILENT));

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go], nav.views a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(Object.fromEntries(new URLSearchParams(link.search)));
});

let typing = 0;
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filters]");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const names = [...form.elements].filter((each) => each.name).map((each) => [each.name, ""]);
    address({ ...Object.fromEntries(names), ...Object.fromEntries(new FormData(form)) });
    ask(0);
  }, TYPING_MS);
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("form[data-filters]")) event.preventDefault();
});

document.getElementById("project").addEventListener("change", (event) => {
  location.assign(`/console/${encodeURIComponent(event.target.value)}?view=${state.view}`);
});

const THEMES = ["system", "light", "dark"];
document.getElementById("theme").addEventListener("click", (event) => {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  root.dataset.theme = next;
  document.cookie = `coord_theme=${next}; path=/console; max-age=31536000; samesite=strict`;
  event.currentTarget.setAttribute("aria-label", `Colours: ${next}`);
  event.currentTarget.title = `Colours: ${next}`;
  announce(`Colours: ${next}`);
  document.dispatchEvent(new CustomEvent("console:theme", { detail: { theme: next } }));
});

window.addEventListener("popstate", moved);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.asOf === null) ask(0);
});

// What is kept stays as it is, with all in it; what only the clock changes is the clock's.
function beforeMorph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE || fresh.nodeType !== Node.ELEMENT_NODE) return true;
  if (old.dataset.keep !== undefined && old.id && old.id === fresh.id) {
    old.dispatchEvent(new CustomEvent("console:kept", { detail: { fresh } }));
    return false;
  }
  if (old.tagName === "TIME") return old.dateTime !== fresh.dateTime;
  if (old.dataset.since) return old.dataset.since !== fresh.dataset.since;
  if (old.dataset.until) return old.dataset.until !== fresh.dataset.until;
  return true;
}
Idiomorph.defaults.callbacks.beforeNodeMorphed = beforeMorph;
Idiomorph.defaults.ignoreActiveValue = true;

htmx.config.timeout = ANSWER_MS;
main.setAttribute("hx-ext", "morph");
readAddress();
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
shown();
showStatus();
if (document.getElementById("part").dataset.behind === "yes") ask(LIVE_GAP_MS);

export const liveGapMs = LIVE_GAP_MS;

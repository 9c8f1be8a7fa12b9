// The time slider: to any event, event by event, played, and with two marks.

import { announce, address, fetchJson, freeze, go, state, thaw, trouble } from "./console.js";
import { span, timeWords } from "./clock.js";

const FRAME_MS = 100;
const LONGEST_IDLE_MS = 1_500;
const TIMES_AHEAD = 200;
const TICKS = 5;
const PAGE_EVENTS = 100;

const $ = (id) => document.getElementById(id);
const slider = $("slider");

/** The sequence that is shown. */
const place = () => (state.asOf === null ? state.head : state.asOf);

function show() {
  const at = place();
  slider.max = state.head;
  if (Number(slider.value) !== at) slider.value = at;
  $("moment-place").textContent = `#${at.toLocaleString()} of ${state.head.toLocaleString()}`;
  const known = at === state.sequence;
  const words = known && Number.isFinite(state.atMs) ? timeWords(state.atMs) : "…";
  $("moment-at").textContent = at === 0 ? "before the first event" : words;
  if (known) $("moment-words").textContent = state.words;
  $("moment-words").classList.toggle("pending", !known);
  const ago = known && state.asOf !== null && Number.isFinite(state.atMs) ? `, ${span(Date.now() + state.skewMs - state.atMs)} ago` : "";
  slider.setAttribute("aria-valuetext", `event ${at} of ${state.head}, ${$("moment-at").textContent}${ago}`);
  $("step-back").disabled = at <= 0;
  $("step-forth").disabled = state.asOf === null;
  $("compare").disabled = state.a === null || state.b === null || state.a === state.b;
  for (const name of ["a", "b"]) $(`mark-${name}`).classList.toggle("set", state[name] !== null);
  drawMarks();
}

// Ticks and marks

let ticked = 0;
async function drawTicks() {
  if (state.head < 2 || state.head < ticked * 1.1) return;
  ticked = state.head;
  const wanted = [...Array(TICKS).keys()].map((n) => Math.max(1, Math.round((n * state.head) / (TICKS - 1))));
  try {
    const times = await fetchJson("times", { at: [...new Set(wanted)].join(",") });
    $("ticks").replaceChildren(...times.map(([sequence, ms]) => tick(sequence, timeWords(ms), "tick")));
    drawMarks();
  } catch {
    ticked = 0;
  }
}

function tick(sequence, text, kind) {
  const mark = document.createElement(kind === "tick" ? "span" : "button");
  mark.className = kind;
  mark.textContent = text;
  mark.dataset.sequence = sequence;
  if (kind !== "tick") {
    mark.type = "button";
    mark.tabIndex = -1;
    mark.addEventListener("click", () => freeze(sequence));
  }
  return mark;
}

function drawMarks() {
  for (const name of ["a", "b"]) {
    const found = $("ticks").querySelector(`.mark.${name}`);
    if (state[name] === null) found?.remove();
    else if (!found) $("ticks").append(tick(state[name], name.toUpperCase(), `mark ${name}`));
    else if (Number(found.dataset.sequence) !== state[name]) found.replaceWith(tick(state[name], name.toUpperCase(), `mark ${name}`));
  }
  for (const mark of $("ticks").children) {
    const share = state.head ? Number(mark.dataset.sequence) / state.head : 0;
    mark.style.left = `${(share * 100).toFixed(3)}%`;
    mark.classList.toggle("end", share > 0.93);
    mark.classList.toggle("begin", share < 0.07);
  }
}

export function mark(name) {
  const at = place();
  state[name] = state[name] === at ? null : at;
  address({ [name]: state[name] });
  announce(state[name] === null ? `Mark ${name.toUpperCase()} taken away` : `${name.toUpperCase()} is at event ${at}`);
  show();
}

export function compare() {
  if (state.a !== null && state.b !== null) go({ view: "compare" });
}

export async function copyLink() {
  const link = new URL(location.href);
  link.searchParams.set("as_of", place());
  try {
    await navigator.clipboard.writeText(link.href);
    announce("Link copied");
    const button = $("copy-link");
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1_200);
  } catch {
    address({ as_of: place() });
    freeze(place());
    trouble("The browser does not let the link be copied; take it from the address bar.");
  }
}

// Playing

let playing = 0;
let times = new Map();
let clockMs = 0;

export function step(count) {
  stop();
  const to = place() + count;
  if (to >= state.head && count > 0) thaw();
  else freeze(to);
}

export function toggle() {
  if (playing) {
    stop();
    return;
  }
  if (state.asOf === null) freeze(state.a ?? 1);
  clockMs = NaN;
  $("play").setAttribute("aria-pressed", "true");
  $("play").setAttribute("aria-label", "Pause");
  let before = performance.now();
  let fraction = 0;
  playing = setInterval(async () => {
    const now = performance.now();
    const passed = now - before;
    before = now;
    const speed = $("speed").value;
    const amount = Number(speed.slice(1));
    let to = place();
    if (speed.startsWith("s")) {
      fraction += (passed / 1000) * amount;
      to += Math.floor(fraction);
      fraction %= 1;
    } else {
      to = await passedBy(to, passed * amount, amount);
    }
    if (!playing) return;
    if (to >= state.head) {
      stop();
      thaw();
    } else if (to !== place()) {
      freeze(to);
    }
  }, FRAME_MS);
}

/** How far the events have come after so much of their time; a long rest is cut short. */
async function passedBy(from, ms, factor) {
  if (!(await knowTimes(from))) return from;
  if (Number.isNaN(clockMs) || clockMs < times.get(from)) clockMs = times.get(from) ?? times.get(from + 1);
  clockMs += ms;
  const next = times.get(from + 1);
  if (next !== undefined && next - clockMs > LONGEST_IDLE_MS * factor) clockMs = next - LONGEST_IDLE_MS * factor;
  let to = from;
  while (times.has(to + 1) && times.get(to + 1) <= clockMs) to++;
  return to;
}

let knowing = null;
async function knowTimes(from) {
  if (times.has(from + TIMES_AHEAD) || times.has(state.head)) return times.has(from + 1);
  if (!knowing) {
    knowing = fetchJson("times", { after: Math.max(from - 1, 0) })
      .then((found) => {
        times = new Map(found);
      })
      .catch(() => {})
      .finally(() => {
        knowing = null;
      });
  }
  if (!times.has(from + 1)) await knowing;
  return times.has(from + 1);
}

export function stop() {
  clearInterval(playing);
  playing = 0;
  $("play").setAttribute("aria-pressed", "false");
  $("play").setAttribute("aria-label", "Play");
}

// Hands on it

slider.addEventListener("input", () => {
  stop();
  const at = Number(slider.value);
  if (at >= state.head) thaw();
  else freeze(at);
  show();
});
slider.addEventListener("keydown", (event) => {
  const many = { PageDown: PAGE_EVENTS, PageUp: -PAGE_EVENTS }[event.key];
  const one = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (many || one) {
    event.preventDefault();
    event.stopPropagation();
    step(many || one);
  }
});
$("step-back").addEventListener("click", () => step(-1));
$("step-forth").addEventListener("click", () => step(1));
$("play").addEventListener("click", toggle);
$("go-live").addEventListener("click", () => {
  stop();
  thaw();
});
$("mark-a").addEventListener("click", () => mark("a"));
$("mark-b").addEventListener("click", () => mark("b"));
$("compare").addEventListener("click", compare);
$("copy-link").addEventListener("click", copyLink);

document.addEventListener("console:moment", show);
document.addEventListener("console:shown", () => {
  show();
  drawTicks();
});
document.addEventListener("console:live", (event) => {
  const last = event.detail.lines.at(-1);
  if (state.asOf === null && last) {
    state.sequence = event.detail.head;
    state.at = last.at;
    state.atMs = Date.parse(last.at);
    state.words = last.words;
  }
  show();
});
show();
drawTicks();

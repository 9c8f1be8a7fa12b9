// The one stream of what happens: keeps the page at the present, says when it is lost, and goes on without a gap.
// The server says something every few seconds, so that silence is a loss too.

import { announce, ask, connection, liveGapMs, loggedOut, state, trouble } from "./console.js";

const SILENCE_MS = 9_000;
const ANSWER_MS = 5_000;
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 10_000;
const RATE_MS = 5_000;

let source = null;
let heardAt = performance.now();
let waitMs = FIRST_WAIT_MS;
let again = 0;
let wasLost = false;
let loggedIn = true;
let recent = [];

function open() {
  loggedIn = true;
  clearTimeout(again);
  source?.close();
  heardAt = performance.now();
  source = new EventSource(`/console/${encodeURIComponent(state.project)}/live?after=${state.head}`);
  source.onopen = () => {
    waitMs = FIRST_WAIT_MS;
    up();
  };
  source.onmessage = (event) => told(JSON.parse(event.data));
  source.addEventListener("beat", (event) => {
    skew(JSON.parse(event.data).now);
    up();
  });
  source.addEventListener("end", (event) => ended(JSON.parse(event.data)));
  source.onerror = lost;
}

function up() {
  heardAt = performance.now();
  connection(true, perSecond());
  if (!wasLost) return;
  wasLost = false;
  trouble();
  announce("Connected again");
  if (state.asOf === null) ask(0);
}

function lost() {
  if (!wasLost) announce("Connection lost, trying again");
  wasLost = true;
  connection(false);
  source.close();
  clearTimeout(again);
  again = setTimeout(comeBack, waitMs);
  waitMs = Math.min(waitMs * 2, MAX_WAIT_MS);
}

/** The stream does not tell why it was refused, so ask first. */
async function comeBack() {
  try {
    const answer = await fetch(`/console/${encodeURIComponent(state.project)}/data/moment`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (answer.status === 401 || answer.status === 403) {
      loggedOut();
      return;
    }
    if (answer.ok) {
      open();
      return;
    }
  } catch {
    // the server is not there yet
  }
  lost();
}

function ended(problem) {
  if (problem.status === 401 || problem.status === 403) loggedOut();
  else lost();
}

/** Nothing more is asked for until somebody has logged in, here or in another tab. */
function out() {
  loggedIn = false;
  wasLost = true;
  clearTimeout(again);
  source?.close();
}

function told(message) {
  skew(message.now);
  state.head = message.head;
  state.position = Math.max(state.position, message.position);
  const now = performance.now();
  recent.push([now, message.events]);
  up();
  document.dispatchEvent(new CustomEvent("console:live", { detail: message }));
  if (state.asOf === null && !document.hidden) ask(liveGapMs);
}

function skew(now) {
  state.skewMs = Date.parse(now) - Date.now();
}

function perSecond() {
  const since = performance.now() - RATE_MS;
  recent = recent.filter(([at]) => at > since);
  return recent.reduce((sum, [, events]) => sum + events, 0) / (RATE_MS / 1000);
}

setInterval(() => {
  if (performance.now() - heardAt > SILENCE_MS && source.readyState !== EventSource.CLOSED) lost();
  else if (!wasLost) connection(true, perSecond());
}, 1_000);
document.addEventListener("console:out", out);
window.addEventListener("offline", () => loggedIn && lost());
window.addEventListener("online", () => wasLost && loggedIn && comeBack());
document.addEventListener("visibilitychange", () => !document.hidden && !loggedIn && comeBack());
open();

// Times in the reader's own zone, ages and countdowns that go on by themselves, all seen from the moment shown.

import { state } from "./console.js";

const TICK_MS = 1000;
const DAY_MS = 86_400_000;
const MANY = 20;
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const days = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** What time it is where we look: the frozen moment's, or the server's now. In ms. */
export function nowMs() {
  return state.asOf === null ? Date.now() + state.skewMs : state.atMs;
}

/** 12s, 4m 05s, 3h 12m, 2d 4h; as services/console/words.py has it. */
export function span(ms) {
  const s = Math.max(Math.floor(ms / 1000), 0);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}

/** A time of day, with the date if it was not within a day of the moment. */
export function timeWords(ms) {
  if (!Number.isFinite(ms)) return "–";
  const at = new Date(ms);
  return Math.abs(nowMs() - ms) < DAY_MS / 2 ? hours.format(at) : `${days.format(at)} ${hours.format(at)}`;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function localize(element) {
  const ms = Date.parse(element.dateTime);
  if (Number.isNaN(ms)) return;
  put(element, timeWords(ms));
  element.title = full.format(new Date(ms));
}

function since(element, now) {
  put(element, span(now - Date.parse(element.dataset.since)));
}

function until(element, now) {
  const left = Date.parse(element.dataset.until) - now;
  put(element, left > 0 ? span(left) : element.dataset.over || span(0));
  element.classList.toggle("short", left > 0 && left < 30_000);
  element.classList.toggle("over", left <= 0);
}

/** Bring everything within an element to the present. */
export function tell(root = document) {
  const now = nowMs();
  for (const element of root.querySelectorAll("time[datetime]")) localize(element);
  for (const element of root.querySelectorAll("[data-since]")) since(element, now);
  for (const element of root.querySelectorAll("[data-until]")) until(element, now);
}

function tick() {
  if (document.hidden || state.asOf !== null) return;
  const now = nowMs();
  for (const element of document.querySelectorAll("[data-since]")) since(element, now);
  for (const element of document.querySelectorAll("[data-until]")) until(element, now);
}

// What scripts add; a view that is swapped in is told whole, by console:shown.
new MutationObserver((records) => {
  const roots = new Set();
  for (const record of records) {
    if (record.addedNodes.length && record.target.isConnected) roots.add(record.target);
  }
  if (roots.size > MANY) tell();
  else for (const root of roots) if (!root.matches("time, [data-since], [data-until]")) tell(root);
}).observe(document.body, { childList: true, subtree: true });

document.addEventListener("console:shown", () => tell());
setInterval(tick, TICK_MS);
tell();

/* What an operator does: any button with `data-do` (a command) and `data-about` (KIND:NAME) asks first, in words
   of the server's, and sends the command under an id of its own, so that a repeated click is done once. */

import { announce, ask as askAgain, fetchPart, morph, state, thaw } from "./console.js";

const TOAST_MS = 8_000;

const dialog = document.createElement("dialog");
dialog.id = "confirm";
dialog.className = "d-dialog";
dialog.setAttribute("aria-labelledby", "confirm-title");
document.body.append(dialog);

const toasts = document.createElement("div");
toasts.className = "d-toasts";
document.body.append(toasts);

let key = "";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) ask(button.dataset.do, button.dataset.about);
  if (event.target.closest("#confirm [data-leave]")) dialog.close();
});
dialog.addEventListener("submit", send);

async function ask(verb, named) {
  const about = named === "moment" ? `moment:${state.asOf ?? state.head}` : named;
  key = newKey();
  try {
    const html = await fetchPart("confirm", { verb, about });
    dialog.replaceChildren(); // nothing of what was typed the last time stays
    morph(dialog, html);
  } catch (error) {
    refuse(error.message);
    return;
  }
  dialog.showModal();
  const first = dialog.querySelector("input, select, textarea");
  (first ?? document.getElementById("confirm-title")).focus();
  first?.select?.();
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const complaint = form.querySelector(".d-error");
  const button = form.querySelector("[type=submit]");
  complaint.hidden = true;
  let fields;
  try {
    fields = filled(form);
  } catch (error) {
    complain(complaint, error.message);
    return;
  }
  const { project: named, ...more } = fields;
  const project = form.dataset.project || named;
  button.disabled = true;
  try {
    const done = await post(project, form.dataset.verb, { ...JSON.parse(form.dataset.body), ...more });
    dialog.close();
    finish(form.dataset.verb, project, done);
  } catch (error) {
    complain(complaint, error.message);
  } finally {
    button.disabled = false;
  }
}

/** What the form says, by name; an empty field that may be empty says nothing. */
function filled(form) {
  const fields = {};
  for (const input of form.querySelectorAll("[name]")) {
    const text = input.value.trim();
    if (!text && !input.required) continue;
    if (input.dataset.kind === "number") fields[input.name] = Number(text);
    else if (input.dataset.kind === "json") fields[input.name] = parsed(text);
    else fields[input.name] = text;
  }
  return fields;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('The value is no JSON: write 12, true, "some text", [1, 2] or {"a": 1}.');
  }
}

async function post(project, verb, body) {
  let answer;
  try {
    answer = await fetch(`/console/${encodeURIComponent(project)}/do/${verb.replace(".", "/")}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The gateway does not answer. Try again: the command is done once, however often it is sent.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.detail ?? `The gateway answered ${answer.status}.`);
  return told;
}

function finish(verb, project, done) {
  if (done.position > (state.position ?? 0)) state.position = done.position;
  const link = verb === "project.fork" ? { text: `Open ${project}`, href: `/console/${encodeURIComponent(project)}` } : null;
  toast(done.says, link);
  if (verb === "project.restore") thaw();
  askAgain(0);
  document.dispatchEvent(new CustomEvent("console:done", { detail: { verb, project, ...done } }));
}

function complain(line, text) {
  line.textContent = text;
  line.hidden = false;
}

function refuse(text) {
  toast(text, null);
}

/** Says it to eyes and ears. */
function toast(text, link) {
  const line = document.createElement("p");
  line.textContent = `${text} `;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.text;
    line.append(anchor);
  }
  toasts.append(line);
  announce(text);
  setTimeout(() => line.remove(), TOAST_MS);
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

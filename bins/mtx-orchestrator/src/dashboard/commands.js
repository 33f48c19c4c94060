// What the user may have done to streams: the only place where buttons and forms change anything.

import { ask, complain, find, notify, streamUrl } from "./page.js";
import { shortTitle } from "./streams.js";
import { playedPath, togglePreview } from "./preview.js";

// Which commands make sense in which states.
const SENSIBLE = {
  start: ["stopped", "backoff", "broken"],
  stop: ["starting", "running", "grace", "backoff", "broken", "blocked"],
  restart: ["starting", "running"],
  preview: ["running"],
};

const COMMANDS = {
  start: (stream) => send(stream, "start"),
  stop: (stream) => send(stream, "stop"),
  restart: (stream) => send(stream, "restart"),
  preview: togglePreview,
  delete: remove,
};

const isSensible = ({ status, preview }, command) => {
  if (command === "preview" && (preview || !playedPath(status))) return Boolean(preview);
  return SENSIBLE[command]?.includes(status.state) ?? true;
};

// Has the buttons of a part of a stream's row work.
export function wire(stream, part) {
  for (const button of part.querySelectorAll("[data-command]")) {
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") COMMANDS[button.dataset.command](stream);
    });
  }
}

export function renderCommands(stream) {
  const name = shortTitle(stream.id);
  for (const button of stream.row.querySelectorAll("[data-command]")) {
    const { command } = button.dataset;
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
    button.setAttribute("aria-disabled", !isSensible(stream, command));
    if (command === "delete") button.hidden = !stream.status.declared;
    if (command === "preview") button.setAttribute("aria-pressed", Boolean(stream.preview));
  }
}

async function send(stream, command) {
  const answer = await ask("POST", `${streamUrl(stream.id)}/${command}`);
  const name = shortTitle(stream.id);
  if (answer.ok) notify(`${name}: ${command} is under way`);
  else complain(`${name}: ${command} failed: ${answer.problem}`);
}

async function remove(stream) {
  if (!confirm(`Delete the declaration of ${stream.id}? Its worker is ended.`)) return;
  const answer = await ask("DELETE", streamUrl(stream.id));
  if (answer.ok) notify(`${stream.id}: deleted`);
  else complain(`${stream.id}: not deleted: ${answer.problem}`);
}

async function declare(event) {
  event.preventDefault();
  const form = event.target;
  const filled = [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  const answer = await ask("POST", "v1/streams", Object.fromEntries(filled));
  if (!answer.ok) return complain(`Not declared: ${answer.problem}`);
  form.reset();
  notify(`${answer.body.id}: declared`);
}

find("#declare form").addEventListener("submit", declare);

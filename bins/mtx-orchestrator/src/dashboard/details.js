// What a stream's row shows below when it is opened.

import { wire } from "./commands.js";
import { addEarlier } from "./events.js";
import { since } from "./format.js";
import { find, setText } from "./page.js";
import { closePreview } from "./preview.js";
import { renderSoon } from "./list.js";
import { STATES, shortTitle } from "./streams.js";
import { renderTimeline } from "./timeline.js";

const clients = (list) => list.map(({ type }) => type).join(", ") || "nobody";

const facts = (status) => [
  ["State", `${status.state} for ${since(status.since)}: ${STATES[status.state] ?? ""}`],
  ["Breaker", [status.breaker.state, status.breaker.reason].filter(Boolean).join(": ")],
  ["Last failure", status.lastFailure ?? "none"],
  ["Worker", status.pid === null ? "none" : `process ${status.pid}, ${status.worker?.state ?? "no report yet"}`],
  ["Frames", status.worker ? `${status.worker.frames} passed on, ${status.worker.dropped} dropped` : "–"],
  ["Input", status.worker ? `${status.worker.lost} packets lost, ${status.worker.damaged} frames damaged` : "–"],
  ["Time stamps", status.worker ? `jumped ${status.worker.discontinuities} times in the source` : "–"],
  ["Latency", status.worker ? `${status.worker.latencyMs.toFixed(1)} ms within the worker` : "–"],
  ...(status.route ? [["Route", status.route]] : []),
  ["Published by", status.source?.type ?? "nobody"],
  ["Input read by", clients(status.inputReaders)],
  ["Output read by", clients(status.outputReaders)],
  ...(status.declared ? [["Declared source", status.declared.source]] : []),
];

export function toggleDetails(stream) {
  if (stream.details) closeDetails(stream);
  else openDetails(stream);
}

export function openDetails(stream) {
  if (stream.details) return;
  const details = find("#details").content.cloneNode(true).firstElementChild;
  stream.details = details;
  stream.row.append(details);
  stream.row.toggleAttribute("data-open", true);
  find(".toggle", stream.row).setAttribute("aria-expanded", true);
  find(".events", details).setAttribute("aria-label", `Events of ${shortTitle(stream.id)}`);
  wire(stream, details);
  renderDetails(stream);
  renderSoon(stream);
  addEarlier(stream.id);
}

function closeDetails(stream) {
  closePreview(stream);
  stream.details.remove();
  stream.details = null;
  stream.timelineAsked = 0;
  stream.row.toggleAttribute("data-open", false);
  find(".toggle", stream.row).setAttribute("aria-expanded", false);
}

export function renderDetails(stream) {
  const { details, status } = stream;
  setList(find("dl", details), facts(status).flat(), (index) => (index % 2 ? "dd" : "dt"));
  const sinks = status.outputs.map(({ url, state, reason }) => [url, state, reason].filter(Boolean).join(" – "));
  setList(find(".outputs", details), sinks.length ? sinks : ["none"], () => "li");
  renderTimeline(stream);
}

function setList(list, texts, tag) {
  while (list.children.length > texts.length) list.lastChild.remove();
  texts.forEach((text, index) => {
    setText(list.children[index] ?? list.appendChild(document.createElement(tag(index))), text);
  });
}

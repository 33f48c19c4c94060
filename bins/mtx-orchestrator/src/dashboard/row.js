// One stream's row.

import { renderCommands, wire } from "./commands.js";
import { renderDetails, toggleDetails } from "./details.js";
import { age, bits, bytes, since } from "./format.js";
import { find, setText } from "./page.js";
import { renderPicture } from "./pictures.js";
import { drawSparkline } from "./sparkline.js";
import { STATES, shortTitle, title, trouble } from "./streams.js";

const fields = {
  bitrate: ({ worker }) => (worker ? bits(worker.bitrate) : "–"),
  fps: ({ worker }) => (worker ? worker.fps.toFixed(1) : "–"),
  lastFrame: ({ worker }) => (worker?.lastFrame ? age(worker.lastFrame) : "–"),
  memory: ({ memoryBytes }) => (memoryBytes === null ? "–" : bytes(memoryBytes)),
  uptime: ({ started }) => (started ? since(started) : "–"),
  restarts: ({ restarts }) => `${restarts}`,
  reconnects: ({ worker }) => (worker ? `${worker.reconnects}` : "–"),
  readers: ({ outputReaders }) => (outputReaders.length === 0 ? "idle" : `${outputReaders.length}`),
};

export function makeStream(status) {
  const row = find("#row").content.cloneNode(true).firstElementChild;
  const stream = { id: status.id, status, row, samples: [], details: null, preview: null, isVisible: false };
  stream.cells = [...row.querySelectorAll("[data-field]")];
  wire(stream, row);
  find(".toggle", row).addEventListener("click", () => toggleDetails(stream));
  return stream;
}

const sinks = ({ outputs }) => {
  if (outputs.length === 0) return "";
  const { path, url } = outputs[0];
  const more = outputs.length > 1 ? ` and ${outputs.length - 1} more` : "";
  return `→ ${path ?? url}${more}`;
};

// What seldom changes.
export function renderRow(stream) {
  const { status, row } = stream;
  const name = status.declared?.name;
  const id = shortTitle(status.id);
  row.dataset.state = status.state;
  setText(find(".title", row), title(status));
  setText(find(".id", row), name ? id : status.path === id ? "" : (status.path ?? ""));
  setText(find(".sinks", row), sinks(status));
  find(".sinks", row).title = status.outputs.map(({ url }) => url).join("\n");
  find(".declared", row).hidden = !status.declared;
  const pill = find(".pill", row);
  setText(pill, status.state);
  pill.title = STATES[status.state] ?? "";
  const why = trouble(status);
  row.toggleAttribute("data-trouble", Boolean(why));
  find(".trouble", row).hidden = !why;
  setText(find(".trouble td", row), why);
  renderPicture(stream);
  renderCommands(stream);
  if (stream.isVisible) renderNumbers(stream);
}

// What changes with each report, and with time.
export function renderNumbers(stream) {
  const { status, cells, row } = stream;
  for (const cell of cells) setText(cell, fields[cell.dataset.field](status));
  setText(find(".since", row), `for ${since(status.since)}`);
  drawSparkline(find(".chart canvas", row), stream.samples);
  if (stream.details) renderDetails(stream);
}

// The rows: their order, which of them are shown, and when they are painted. Numbers are painted only in view.

import { find, setText } from "./page.js";
import { takePictures } from "./pictures.js";
import { makeStream, renderNumbers, renderRow } from "./row.js";
import { STATES, counts, inOrder, index, matches, streams } from "./streams.js";

const STILL = 1500; // Milliseconds: rows keep their places for so long after somebody was busy among them.

const changed = new Set();
let needsOrder = false;
let touched = -STILL;
let frame = 0;

export function setStatus(status) {
  const stream = streams.get(status.id) ?? add(status);
  stream.status = status;
  stream.seen = Date.now();
  needsOrder = index(stream) || needsOrder;
  renderSoon(stream);
}

function add(status) {
  const stream = makeStream(status);
  streams.set(status.id, stream);
  find("#table").append(stream.row);
  inView.observe(stream.row);
  byRow.set(stream.row, stream);
  renameNamesake(status.id);
  return stream;
}

// The path that reads like a short id has its slash only beside that.
function renameNamesake(id) {
  const namesake = streams.get(`/${id}`);
  if (!namesake) return;
  index(namesake);
  renderSoon(namesake);
}

export function remove(id) {
  const stream = streams.get(id);
  if (!stream) return;
  const hadFocus = stream.row.contains(document.activeElement);
  const neighbour = shownRow(stream.row, "nextElementSibling") ?? shownRow(stream.row, "previousElementSibling");
  streams.delete(id);
  changed.delete(stream);
  inView.unobserve(stream.row);
  stream.row.remove();
  renameNamesake(id);
  needsOrder = true;
  requestRender();
  if (hadFocus) (neighbour ? find(".toggle", neighbour) : find("#streams")).focus();
}

const byRow = new WeakMap();
const inView = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const stream = byRow.get(target);
      stream.isVisible = isIntersecting;
      if (isIntersecting) renderSoon(stream);
    }
  },
  { rootMargin: "100px" },
);

export function renderSoon(stream) {
  changed.add(stream);
  requestRender();
}

export function requestRender() {
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  if (needsOrder && performance.now() - touched >= STILL) arrange();
  changed.forEach(renderRow);
  changed.clear();
  renderSummary();
}

// Once a second: rates come with reports, and ages grow by themselves.
export function tick() {
  if (document.hidden) return;
  for (const stream of streams.values()) if (stream.isVisible) renderNumbers(stream);
  takePictures();
  if (needsOrder) requestRender();
}

// Which rows there are.

const search = find("#search");
const choices = find("#choices");
let choice = "all";

function arrange() {
  needsOrder = false;
  const table = find("#table");
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let place = find("thead", table).nextElementSibling;
  let shown = 0;
  for (const stream of inOrder()) {
    const { row } = stream;
    row.hidden = !matches(stream, words, choice);
    if (!row.hidden) shown += 1;
    if (row === place) place = place.nextElementSibling;
    else move(table, row, place);
  }
  renderChoices();
  const isFiltered = words.length > 0 || choice !== "all";
  setText(find("#found"), isFiltered ? `${shown} of ${streams.size} shown` : "");
  find("#nothing").hidden = shown > 0 || streams.size === 0;
  find("#table").hidden = shown === 0;
}

// Moves a row without taking the focus from it, or its preview's picture.
function move(table, row, place) {
  if (table.moveBefore) return table.moveBefore(row, place);
  const focus = row.contains(document.activeElement) ? document.activeElement : null;
  table.insertBefore(row, place);
  focus?.focus({ preventScroll: true });
}

function renderChoices() {
  const found = counts();
  for (const name of ["all", "trouble", ...Object.keys(STATES)]) {
    const input = find(`[value="${name}"]`, choices) ?? addChoice(name);
    const label = input.parentElement;
    label.hidden = !found[name] && name !== choice && name !== "all";
    setText(find(".count", label), `${found[name] ?? 0}`);
  }
}

function addChoice(name) {
  const label = find("#choice").content.cloneNode(true).firstElementChild;
  const input = find("input", label);
  input.value = name;
  input.checked = name === choice;
  label.dataset.choice = name;
  setText(find(".word", label), name === "trouble" ? "in trouble" : name);
  choices.append(label);
  return input;
}

function renderSummary() {
  const { all, trouble, running = 0 } = counts();
  const parts = [`${running} of ${all} running`];
  if (trouble) parts.push(`${trouble} in trouble`);
  setText(find("#summary"), all ? parts.join(", ") : "");
  document.title = trouble ? `(${trouble}) Streams` : "Streams";
  find("#tools").hidden = all === 0;
  if (all === 0) find("#table").hidden = true;
  find("#empty").hidden = all > 0 || document.body.dataset.known !== "yes";
}

// What the user looks for stays in the address, so that it outlasts a reload.
function look() {
  const wanted = new URLSearchParams();
  if (search.value) wanted.set("q", search.value);
  if (choice !== "all") wanted.set("state", choice);
  history.replaceState(null, "", wanted.size ? `?${wanted}` : location.pathname);
  needsOrder = true;
  touched = -STILL;
  requestRender();
}

function showAll() {
  search.value = "";
  choice = "all";
  find('[value="all"]', choices).checked = true;
  look();
}

// The keyboard.

const shownRow = (row, sibling) => {
  let next = row[sibling];
  while (next && (next.hidden || next.tagName !== "TBODY")) next = next[sibling];
  return next;
};

const rowBy = {
  ArrowDown: (row) => shownRow(row, "nextElementSibling"),
  ArrowUp: (row) => shownRow(row, "previousElementSibling"),
  Home: (row) => shownRow(row.parentElement.firstElementChild, "nextElementSibling"),
  End: (row) => (row.parentElement.lastElementChild.hidden ? shownRow(row.parentElement.lastElementChild, "previousElementSibling") : row.parentElement.lastElementChild),
};

function moveFocus(event) {
  if (!event.target.matches(".toggle") || !rowBy[event.key]) return;
  event.preventDefault();
  const row = rowBy[event.key](event.target.closest("tbody"));
  if (row) find(".toggle", row).focus();
}

function searchKeys(event) {
  if (event.key === "Escape") showAll();
  if (event.key !== "ArrowDown") return;
  event.preventDefault();
  const row = shownRow(find("thead"), "nextElementSibling");
  if (row) find(".toggle", row).focus();
}

function shortcut(event) {
  const types = event.target.matches("input:not([type='radio'])");
  if (event.key !== "/" || types || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  search.select();
}

function touch() {
  touched = performance.now();
}

const start = new URLSearchParams(location.search);
search.value = start.get("q") ?? "";
choice = start.get("state") in STATES || start.get("state") === "trouble" ? start.get("state") : "all";
search.addEventListener("input", look);
search.addEventListener("keydown", searchKeys);
choices.addEventListener("change", ({ target }) => {
  choice = target.value;
  look();
});
find("#show-all").addEventListener("click", () => {
  showAll();
  search.focus();
});
find("#table").addEventListener("keydown", moveFocus);
for (const kind of ["pointermove", "pointerdown", "keydown"]) find("#table").addEventListener(kind, touch, { passive: true });
document.addEventListener("keydown", shortcut);

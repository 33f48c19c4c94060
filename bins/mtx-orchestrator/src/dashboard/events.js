// What has happened: a list for all streams, and one in each stream's details.

import { clock } from "./format.js";
import { ask, find, streamUrl } from "./page.js";
import { shortTitle, streams } from "./streams.js";

const LOG_LENGTH = 200;
const STREAM_LOG_LENGTH = 50;
const GOOD = ["found", "started", "breaker-closed"];
const BAD = ["lost", "ended", "condemned", "breaker-open", "blocked"];

export function addEvent(id, event) {
  add(find("#log-list"), id, event, LOG_LENGTH);
  find("#log-list").hidden = false;
  find("#log-empty").hidden = true;
  const stream = streams.get(id);
  if (stream?.details) add(find(".events", stream.details), null, event, STREAM_LOG_LENGTH);
}

export async function addEarlier(id) {
  const { body } = await ask("GET", streamUrl(id));
  for (const event of body?.events ?? []) addEvent(id, event);
}

// The latest one comes first.
function add(list, id, { at, kind, detail }, most) {
  const key = `${at} ${id} ${kind} ${detail}`;
  let next = list.firstElementChild;
  for (; next && next.dataset.at >= at; next = next.nextElementSibling) if (next.dataset.key === key) return;
  next = list.firstElementChild;
  while (next && next.dataset.at > at) next = next.nextElementSibling;
  list.insertBefore(item({ at, kind, detail }, id, key), next);
  while (list.children.length > most) list.lastChild.remove();
}

function item({ at, kind, detail }, id, key) {
  const item = document.createElement("li");
  item.dataset.at = at;
  item.dataset.key = key;
  if (GOOD.includes(kind)) item.dataset.tone = "good";
  // A worker that was told to end does so with success.
  if (BAD.includes(kind) && !detail.startsWith("exit code 0")) item.dataset.tone = "bad";
  const time = document.createElement("time");
  time.dateTime = at;
  time.textContent = clock(at);
  item.append(time);
  for (const [name, text] of [["who", id === null ? null : shortTitle(id)], ["what", kind], ["detail", detail]]) {
    if (text === null) continue;
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part);
  }
  return item;
}

// Pictures of the streams in view: a key frame every few seconds, two at a time so that commands need not wait.

import { find, setText, streamUrl, url } from "./page.js";
import { shortTitle, streams } from "./streams.js";

const EVERY = 5_000; // Milliseconds from one picture of a stream to its next one.
const AFTER_FAILURE = 30_000;
const MOST_AT_ONCE = 2;
const WIDTH = 320; // Pixels that are kept of each.

let underWay = 0;

// Asks for the pictures that are due, those that have waited longest first.
export function takePictures() {
  const isDue = ({ isVisible, row, status, pictureDue = 0 }) =>
    isVisible && !row.hidden && status.state === "running" && pictureDue <= Date.now();
  const due = [...streams.values()].filter(isDue);
  due.sort((a, b) => (a.pictureDue ?? 0) - (b.pictureDue ?? 0));
  due.slice(0, MOST_AT_ONCE - underWay).forEach(take);
}

async function take(stream) {
  underWay += 1;
  stream.pictureDue = Infinity;
  const { bitmap, reason, wait } = await ask(stream.id);
  underWay -= 1;
  stream.pictureDue = Date.now() + wait;
  // It may have been stopped meanwhile.
  const isRunning = stream.status.state === "running";
  if (bitmap && isRunning) show(stream, bitmap);
  else if (reason && isRunning) showNone(stream, reason);
  takePictures();
}

async function ask(id) {
  try {
    const response = await fetch(url(`${streamUrl(id)}/picture`));
    if (response.ok) {
      const bitmap = await createImageBitmap(await response.blob(), { resizeWidth: WIDTH, resizeQuality: "medium" });
      return { bitmap, wait: EVERY };
    }
    if (response.status === 503) return { wait: 2000 };
    const { detail } = await response.json();
    return { reason: detail.replace("no picture: ", ""), wait: AFTER_FAILURE };
  } catch {
    return { wait: EVERY };
  }
}

function show(stream, bitmap) {
  const canvas = find(".picture canvas", stream.row);
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  canvas.hidden = false;
  canvas.setAttribute("aria-label", `Picture of ${shortTitle(stream.id)}`);
  setText(find(".picture .reason", stream.row), "");
}

function showNone(stream, reason) {
  find(".picture canvas", stream.row).hidden = true;
  const text = find(".picture .reason", stream.row);
  setText(text, reason);
  text.title = `No picture: ${reason}`;
}

// A stream that does not run has none, and its last one would deceive.
export function renderPicture(stream) {
  const isRunning = stream.status.state === "running";
  if (!isRunning) showNone(stream, `no picture while ${stream.status.state}`);
  else if (stream.hasPictures === false) {
    setText(find(".picture .reason", stream.row), "");
    stream.pictureDue = 0;
  }
  stream.hasPictures = isRunning;
}

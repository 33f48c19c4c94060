// The preview of a stream: MediaMTX's own player, in a frame.

import { find } from "./page.js";
import { shortTitle, streams } from "./streams.js";
import { openDetails } from "./details.js";
import { renderSoon } from "./list.js";

const { player } = document.documentElement.dataset;

// The first path of MediaMTX's where it comes out, which is where the player finds it.
export const playedPath = ({ outputs }) => outputs.find(({ path }) => path)?.path;

// A path, as a URL wants it; its slashes stay.
const inUrl = (path) => path.split("/").map(encodeURIComponent).join("/");

export function togglePreview(stream) {
  if (stream.preview) return closePreview(stream);
  // Each plays a video: one at a time.
  streams.forEach(closePreview);
  openDetails(stream);
  const frame = document.createElement("iframe");
  frame.title = `Preview of ${shortTitle(stream.id)}`;
  frame.allow = "autoplay; fullscreen";
  frame.referrerPolicy = "no-referrer";
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  frame.src = `${player}${inUrl(playedPath(stream.status))}/`;
  stream.preview = frame;
  find(".preview", stream.row).append(frame);
  find(".preview", stream.row).hidden = false;
  renderSoon(stream);
}

export function closePreview(stream) {
  if (!stream.preview) return;
  stream.preview.remove();
  stream.preview = null;
  find(".preview", stream.row).hidden = true;
  renderSoon(stream);
}

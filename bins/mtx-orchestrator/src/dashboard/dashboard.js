// Follows the streams over the WebSocket /v1/events. Everything that comes from elsewhere becomes text, never markup.

import { addEarlier, addEvent } from "./events.js";
import { setServerTime } from "./format.js";
import { remove, requestRender, setStatus, tick } from "./list.js";
import { ask, find, setText, url } from "./page.js";
import { addSample } from "./sparkline.js";
import { inOrder, streams } from "./streams.js";

const LOOKED_BACK = 20; // Streams whose earlier events are asked for at once.
const SILENCE = 25_000; // Each stream has a heartbeat every 10 s.
const LONGEST_WAIT = 10_000;

const handlers = {
  "stream:status": ({ stream }) => setStatus(stream),
  "stream:report": ({ id, worker, memoryBytes, at }) => {
    const stream = streams.get(id);
    if (!stream) return;
    Object.assign(stream.status, { worker, memoryBytes });
    addSample(stream, at, worker);
  },
  "stream:event": ({ id, event }) => addEvent(id, event),
  "stream:gone": ({ id, at }) => {
    addEvent(id, { at, kind: "gone", detail: "the stream is no longer known" });
    remove(id);
  },
};

let socket;
let attempts = 0;
let answers = false; // The server does, if not over the WebSocket.
let retryTimer;
let lastMessage = 0;

function showConnection(state, text) {
  find("#connection").dataset.state = state;
  setText(find("#connection-text"), text);
  document.body.toggleAttribute("data-stale", state === "lost");
}

// The stylesheet hides what this login may not do.
function showPowers() {
  const { powers } = document.documentElement.dataset;
  const may = (power) => powers.split(" ").includes(power);
  if (!may("read")) {
    setText(find("#powers"), "This login may send events, and see nothing. Log in with a token that may read.");
    showConnection("lost", "Not allowed to read");
  } else if (!may("operate")) {
    setText(find("#powers"), "This login may look, and change nothing here.");
  }
  find("#powers").hidden = may("operate");
  return may("read");
}

function connect() {
  clearTimeout(retryTimer);
  const feed = url("v1/events");
  feed.protocol = feed.protocol.replace("http", "ws");
  socket = new WebSocket(feed);
  socket.onopen = opened;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    lastMessage = Date.now();
    setServerTime(message.at);
    handlers[message.type]?.(message);
  };
  socket.onclose = retry;
}

async function opened() {
  attempts = 0;
  answers = false;
  lastMessage = Date.now();
  showConnection("live", "Live");
  const asked = Date.now();
  const { ok, body } = await ask("GET", "v1/streams");
  if (!ok) return;
  const known = new Set(body.streams.map(({ id }) => id));
  for (const [id, stream] of streams) if (!known.has(id) && stream.seen < asked) remove(id);
  if (streams.size === 0) await showHowToPublish();
  document.body.dataset.known = "yes";
  requestRender();
  for (const { id } of inOrder().slice(0, LOOKED_BACK)) await addEarlier(id);
}

async function retry() {
  clearTimeout(retryTimer);
  attempts += 1;
  const wait = Math.min(LONGEST_WAIT, 500 * 2 ** attempts);
  const refused = "Not live: too many listen, or a proxy without WebSockets";
  showConnection("lost", answers ? refused : "Connection lost, trying again");
  retryTimer = setTimeout(async () => {
    const { ok, status } = await ask("GET", "v1/streams");
    if (status === 401) {
      return showConnection("lost", "Login needed: load this page again");
    }
    answers = ok;
    if (!ok) return retry();
    // Renews the cookie that a new process does not know.
    await ask("HEAD", "./");
    connect();
  }, wait);
}

// What the routes are for decides what may be published; the first one is the example.
async function showHowToPublish() {
  const { publish } = document.documentElement.dataset;
  const { body } = await ask("GET", "v1/routes");
  const patterns = body?.routes.map(({ path }) => path) ?? [];
  find("#publish").hidden = patterns.length === 0;
  find("#no-routes").hidden = patterns.length > 0;
  if (patterns.length === 0) return;
  setText(find("#publish-paths"), patterns.join(", "));
  const path = patterns[0]
    .replace(/\*+/g, "my-stream")
    .replace(/\?/g, "1")
    .replace(/\[!?(.)[^\]]*\]/g, "$1");
  setText(find("#publish-file"), `ffmpeg -re -stream_loop -1 -i video.mp4 -c copy -f flv ${publish}/${path}`);
  setText(
    find("#publish-picture"),
    `ffmpeg -re -f lavfi -i testsrc2 -c:v libx264 -preset veryfast -tune zerolatency -g 50 -pix_fmt yuv420p -f flv ${publish}/${path}`,
  );
  const slash = path.lastIndexOf("/");
  setText(find("#publish-server"), slash < 0 ? `${publish}/${path}` : `${publish}/${path.slice(0, slash)}`);
  setText(find("#publish-key"), slash < 0 ? "none" : path.slice(slash + 1));
}

if (showPowers()) {
  setInterval(() => {
    const isSilent = streams.size > 0 && Date.now() - lastMessage > SILENCE;
    if (isSilent && !document.hidden && socket.readyState === WebSocket.OPEN) socket.close();
    tick();
  }, 1000);
  connect();
}

// Follows the streams over the WebSocket /v1/events. Everything that comes from elsewhere becomes text, never markup.

const WINDOW = 120; // Seconds that a sparkline shows.
const LOG_LENGTH = 200;
const STREAM_LOG_LENGTH = 50;
const LOOKED_BACK = 20; // Streams whose earlier events are asked for at once.
const SILENCE = 25_000; // Each stream has a heartbeat every 10 s.
const LONGEST_WAIT = 10_000;

const STATES = {
  starting: "A worker is about to run, or runs without media yet",
  running: "Its worker passes media on",
  grace: "The stream is away; it may come back before the grace period is over",
  backoff: "Its worker failed and is started again soon",
  broken: "Its worker failed too often: nothing is tried for a while",
  stopped: "Told to stop",
  blocked: "It would feed itself, or its outputs can't be: no worker is started",
};
const GOOD_EVENTS = ["found", "started", "breaker-closed"];
const BAD_EVENTS = ["lost", "ended", "condemned", "breaker-open", "blocked"];
// Which commands make sense in which states.
const COMMANDS = {
  start: ["stopped", "backoff", "broken"],
  stop: ["starting", "running", "grace", "backoff", "broken", "blocked"],
  restart: ["starting", "running"],
  preview: ["running"],
};

const find = (selector, within = document) => within.querySelector(selector);
const { player, publish } = document.documentElement.dataset;
// Where this page is, without the login that its address may have: fetch refuses those.
const base = location.origin + location.pathname;
const streams = new Map();
let clockSkew = 0; // Ages are told by the server's clock.

const now = () => Date.now() + clockSkew;
const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// How values are written.

const bits = (rate) => {
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(rate >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.round(rate / 1e3)} kbit/s`;
};
const bytes = (count) => `${(count / 1024 / 1024).toFixed(1)} MiB`;
const span = (milliseconds) => {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0s";
  const [size, unit] = parts[first];
  const whole = `${Math.floor(seconds / size)}${unit}`;
  const next = parts[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return rest ? `${whole} ${rest}${next[1]}` : whole;
};
const age = (timestamp) => {
  const milliseconds = now() - Date.parse(timestamp);
  return milliseconds < 2500 ? "now" : `${span(milliseconds)} ago`;
};
const clock = (timestamp) => new Date(timestamp).toLocaleTimeString([], { hour12: false });
const count = (list) => (list.length === 0 ? "idle" : `${list.length}`);
const clients = (list) => list.map((client) => client.type).join(", ") || "nobody";

// What a stream looks like.

const fields = {
  bitrate: ({ worker }) => (worker ? bits(worker.bitrate) : "–"),
  fps: ({ worker }) => (worker ? worker.fps.toFixed(1) : "–"),
  lastFrame: ({ worker }) => (worker?.lastFrame ? age(worker.lastFrame) : "–"),
  memory: ({ memoryBytes }) => (memoryBytes === null ? "–" : bytes(memoryBytes)),
  uptime: ({ started }) => (started ? span(now() - Date.parse(started)) : "–"),
  restarts: ({ restarts }) => `${restarts}`,
  reconnects: ({ worker }) => (worker ? `${worker.reconnects}` : "–"),
  readers: ({ outputReaders }) => count(outputReaders),
};

const facts = (status) => [
  ["State", `${status.state} for ${span(now() - Date.parse(status.since))}: ${STATES[status.state] ?? ""}`],
  ["Breaker", [status.breaker.state, status.breaker.reason].filter(Boolean).join(": ")],
  ["Last failure", status.lastFailure ?? "none"],
  ["Worker", status.pid === null ? "none" : `process ${status.pid}, ${status.worker?.state ?? "no report yet"}`],
  ["Frames", status.worker ? `${status.worker.frames} passed on, ${status.worker.dropped} dropped` : "–"],
  ["Input", status.worker ? `${status.worker.lost} packets lost, ${status.worker.damaged} frames damaged` : "–"],
  ["Time stamps", status.worker ? `jumped ${status.worker.discontinuities} times in the source` : "–"],
  ["Latency", status.worker ? `${status.worker.latencyMs.toFixed(1)} ms within the worker` : "–"],
  ...(status.route ? [["Route", status.route]] : []),
  ["Outputs", status.outputs.map(({ url }) => url).join("\n") || "none"],
  ["Published by", status.source?.type ?? "nobody"],
  ["Input read by", clients(status.inputReaders)],
  ["Output read by", clients(status.outputReaders)],
  ...(status.declared
    ? [["Declared source", status.declared.source]]
    : []),
];

// The first path of MediaMTX's where it comes out, which is where the player finds it.
const playedPath = ({ outputs }) => outputs.find(({ path }) => path)?.path;
// A path, as a URL wants it; its slashes stay.
const inUrl = (path) => path.split("/").map(encodeURIComponent).join("/");
const streamUrl = (id) => `v1/streams/${encodeURIComponent(id)}`;
// The slash that tells a path of one segment from a short id is for programs, unless both are there.
const shortTitle = (id) => (id.startsWith("/") && !streams.has(id.slice(1)) ? id.slice(1) : id);

const trouble = ({ state, breaker, lastFailure, blocked }) => {
  if (blocked) return `Blocked: ${blocked}`;
  if (breaker.state !== "closed") return `Breaker ${breaker.state}: ${breaker.reason ?? "no reason given"}`;
  if (state === "backoff") return `Worker failed: ${lastFailure ?? "no reason given"}`;
  if (state === "starting" && lastFailure) return `No media: ${lastFailure}`;
  return "";
};

function render(stream) {
  const { status, row } = stream;
  const name = status.declared?.name;
  row.dataset.state = status.state;
  const id = shortTitle(status.id);
  const path = status.path === id ? "" : status.path;
  setText(find(".title", row), name || id);
  setText(find(".id", row), name ? id : (path ?? ""));
  find(".declared", row).hidden = !status.declared;
  find('[data-command="delete"]', row).hidden = !status.declared;
  const pill = find(".pill", row);
  setText(pill, status.state);
  pill.title = STATES[status.state] ?? "";
  for (const cell of row.querySelectorAll("[data-field]")) setText(cell, fields[cell.dataset.field](status));
  for (const button of row.querySelectorAll("[data-command]")) {
    const { command } = button.dataset;
    const open = command === "preview" && stream.preview;
    const possible = command !== "preview" || playedPath(status);
    const sensible = open || (possible && (COMMANDS[command]?.includes(status.state) ?? true));
    button.setAttribute("aria-disabled", !sensible);
  }
  const why = trouble(status);
  find(".trouble", row).hidden = !why;
  setText(find(".trouble td", row), why);
  if (stream.open) renderFacts(stream);
  drawSparkline(stream);
}

function renderFacts({ row, status }) {
  const list = find("dl", row);
  const wanted = facts(status);
  while (list.children.length > 2 * wanted.length) list.lastChild.remove();
  wanted.flat().forEach((text, index) => {
    const element = list.children[index] ?? list.appendChild(document.createElement(index % 2 ? "dd" : "dt"));
    setText(element, text);
  });
}

function drawSparkline({ row, history }) {
  const canvas = find("canvas", row);
  if (canvas.offsetParent === null) return;
  const { width, height } = canvas;
  const draw = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const end = now() / 1000;
  const shown = history.filter((sample) => end - sample.at <= WINDOW);
  draw.clearRect(0, 0, width, height);
  const x = (sample) => width * (1 - (end - sample.at) / WINDOW);
  const line = (value, top, closed) => {
    const most = Math.max(...shown.map(value), 1);
    const y = (sample) => height - 3 - height * top * (value(sample) / most);
    draw.beginPath();
    let before;
    for (const sample of shown) {
      // Where reports are missing, so is the line.
      if (!before || sample.at - before.at > 5) {
        if (closed && before) draw.lineTo(x(before), height);
        draw.moveTo(x(sample), closed ? height : y(sample));
      }
      draw.lineTo(x(sample), y(sample));
      before = sample;
    }
    if (closed && before) draw.lineTo(x(before), height);
  };
  // Frames run above bits, so that two steady lines don't hide each other.
  line((sample) => sample.bitrate, 0.6, true);
  draw.fillStyle = style.getPropertyValue("--bits-fill");
  draw.fill();
  draw.setLineDash([]);
  draw.lineWidth = 3;
  draw.strokeStyle = style.getPropertyValue("--bits");
  line((sample) => sample.bitrate, 0.6, false);
  draw.stroke();
  draw.setLineDash([8, 5]);
  draw.lineWidth = 2.5;
  draw.strokeStyle = style.getPropertyValue("--frames");
  line((sample) => sample.fps, 0.85, false);
  draw.stroke();
}

function renderPage() {
  const states = [...streams.values()].map(({ status }) => status.state);
  const running = states.filter((state) => state === "running").length;
  const troubled = states.filter((state) => ["broken", "backoff", "blocked"].includes(state)).length;
  const parts = [`${running} of ${states.length} running`];
  if (troubled) parts.push(`${troubled} in trouble`);
  setText(find("#summary"), states.length ? parts.join(", ") : "");
  find("#table").hidden = states.length === 0;
  find("#empty").hidden = states.length > 0 || document.body.dataset.known !== "yes";
}

// What happens to streams.

function addStream(status) {
  const row = find("#row").content.cloneNode(true).firstElementChild;
  const stream = { id: status.id, status, row, history: [], open: false, preview: null };
  const after = [...streams.values()].filter(({ id }) => id > status.id).sort((a, b) => (a.id < b.id ? -1 : 1))[0];
  find("#table").insertBefore(row, after?.row ?? null);
  for (const button of row.querySelectorAll("button")) {
    const { command } = button.dataset;
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      if (!command) toggleDetails(stream);
      else if (command === "preview") togglePreview(stream);
      else if (command === "delete") deleteStream(stream);
      else sendCommand(stream, command);
    });
  }
  streams.set(status.id, stream);
  label(stream);
  renameNamesake(status.id);
  return stream;
}

function label({ id, row }) {
  for (const button of row.querySelectorAll("button[data-command]"))
    button.setAttribute("aria-label", `${button.textContent} ${shortTitle(id)}`);
  find(".details .events", row).setAttribute("aria-label", `Events of ${shortTitle(id)}`);
}

// The path that reads like a short id has its slash only beside that.
function renameNamesake(id) {
  const namesake = streams.get(`/${id}`);
  if (!namesake) return;
  label(namesake);
  changed.add(namesake);
}

function removeStream(id) {
  const stream = streams.get(id);
  if (!stream) return;
  const focused = stream.row.contains(document.activeElement);
  const neighbour = stream.row.nextElementSibling ?? stream.row.previousElementSibling;
  streams.delete(id);
  renameNamesake(id);
  stream.row.remove();
  if (focused) (neighbour?.querySelector(".toggle") ?? find("#streams")).focus();
}

function update(id, change) {
  const stream = streams.get(id);
  if (!stream) return;
  Object.assign(stream.status, change);
  changed.add(stream);
}

const changed = new Set();
const handlers = {
  "stream:status": ({ stream: status }) => {
    const stream = streams.get(status.id) ?? addStream(status);
    stream.status = status;
    stream.seen = Date.now();
    changed.add(stream);
  },
  "stream:report": ({ id, worker, memoryBytes, at }) => {
    update(id, { worker, memoryBytes });
    const history = streams.get(id)?.history;
    history?.push({ at: Date.parse(at) / 1000, bitrate: worker.bitrate, fps: worker.fps });
    if (history?.length > WINDOW + 10) history.shift();
  },
  "stream:event": ({ id, event }) => {
    addEvent(find("#log-list"), id, event, LOG_LENGTH);
    const stream = streams.get(id);
    if (stream?.open) addEvent(find(".events", stream.row), null, event, STREAM_LOG_LENGTH);
  },
  "stream:gone": ({ id, at }) => {
    addEvent(find("#log-list"), id, { at, kind: "gone", detail: "the stream is no longer known" }, LOG_LENGTH);
    removeStream(id);
  },
};

// The latest one comes first.
function addEvent(list, id, { at, kind, detail }, most) {
  const key = `${at} ${id} ${kind} ${detail}`;
  for (const item of list.children) {
    if (item.dataset.at < at) break;
    if (item.dataset.key === key) return;
  }
  const item = document.createElement("li");
  item.dataset.at = at;
  item.dataset.key = key;
  if (GOOD_EVENTS.includes(kind)) item.dataset.tone = "good";
  // A worker that was told to end does so with success.
  if (BAD_EVENTS.includes(kind) && !detail.startsWith("exit code 0")) item.dataset.tone = "bad";
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
  const older = [...list.children].find((known) => known.dataset.at <= at);
  list.insertBefore(item, older ?? null);
  while (list.children.length > most) list.lastChild.remove();
  if (list.id === "log-list") {
    list.hidden = false;
    find("#log-empty").hidden = true;
  }
}

// What the user does.

async function toggleDetails(stream) {
  stream.open = !stream.open;
  find(".details", stream.row).hidden = !stream.open;
  find(".toggle", stream.row).setAttribute("aria-expanded", stream.open);
  if (!stream.open) return closePreview(stream);
  renderFacts(stream);
  await logEarlier(stream.id);
}

async function logEarlier(id) {
  const { body } = await ask("GET", streamUrl(id));
  const stream = streams.get(id);
  for (const event of body?.events ?? []) {
    addEvent(find("#log-list"), id, event, LOG_LENGTH);
    if (stream?.open) addEvent(find(".events", stream.row), null, event, STREAM_LOG_LENGTH);
  }
}

function togglePreview(stream) {
  if (stream.preview) return closePreview(stream);
  // Each plays a video: one at a time.
  streams.forEach(closePreview);
  if (!stream.open) toggleDetails(stream);
  const frame = document.createElement("iframe");
  frame.title = `Preview of ${shortTitle(stream.id)}`;
  frame.allow = "autoplay; fullscreen";
  frame.referrerPolicy = "no-referrer";
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  frame.src = `${player}${inUrl(playedPath(stream.status))}/`;
  stream.preview = frame;
  find(".preview", stream.row).append(frame);
  find(".preview", stream.row).hidden = false;
  find('[data-command="preview"]', stream.row).setAttribute("aria-pressed", "true");
}

function closePreview(stream) {
  if (!stream.preview) return;
  stream.preview.remove();
  stream.preview = null;
  find(".preview", stream.row).hidden = true;
  find('[data-command="preview"]', stream.row).setAttribute("aria-pressed", "false");
  changed.add(stream);
}

async function sendCommand(stream, command) {
  const answer = await ask("POST", `${streamUrl(stream.id)}/${command}`);
  const title = shortTitle(stream.id);
  if (answer.ok) notify(`${title}: ${command} is under way`);
  else complain(`${title}: ${command} failed: ${answer.problem}`);
}

async function deleteStream(stream) {
  if (!confirm(`Delete the declaration of ${stream.id}? Its worker is ended.`)) return;
  const answer = await ask("DELETE", streamUrl(stream.id));
  if (answer.ok) notify(`${stream.id}: deleted`);
  else complain(`${stream.id}: not deleted: ${answer.problem}`);
}

async function declareStream(event) {
  event.preventDefault();
  const form = event.target;
  const filled = [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  const answer = await ask("POST", "v1/streams", Object.fromEntries(filled));
  if (!answer.ok) return complain(`Not declared: ${answer.problem}`);
  form.reset();
  notify(`${answer.body.id}: declared`);
}

async function ask(method, path, content) {
  const headers = content ? { "Content-Type": "application/json" } : {};
  try {
    const response = await fetch(new URL(path, base), { method, headers, body: content && JSON.stringify(content) });
    const body = await response.json().catch(() => null);
    const problem = body?.detail ?? `${response.status} ${response.statusText}`;
    return { ok: response.ok, status: response.status, body, problem };
  } catch {
    return { ok: false, status: 0, body: null, problem: "the orchestrator does not answer" };
  }
}

let noticeTimer;
function notify(text) {
  find("#problem").hidden = true;
  setText(find("#notice"), text);
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => setText(find("#notice"), ""), 5000);
}

function complain(text) {
  setText(find("#notice"), "");
  find("#problem").hidden = false;
  setText(find("#problem-text"), text);
}

// The connection.

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

function connect() {
  clearTimeout(retryTimer);
  const url = new URL("v1/events", base);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onopen = async () => {
    attempts = 0;
    answers = false;
    lastMessage = Date.now();
    showConnection("live", "Live");
    const asked = Date.now();
    const { ok, body } = await ask("GET", "v1/streams");
    if (!ok) return;
    const known = new Set(body.streams.map(({ id }) => id));
    for (const [id, stream] of streams) if (!known.has(id) && stream.seen < asked) removeStream(id);
    if (streams.size === 0) await showHowToPublish();
    document.body.dataset.known = "yes";
    renderPage();
    for (const id of [...known].slice(0, LOOKED_BACK)) await logEarlier(id);
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    lastMessage = Date.now();
    clockSkew = Date.parse(message.at) - Date.now();
    handlers[message.type]?.(message);
    requestRender();
  };
  socket.onclose = () => retry();
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

let rendering = false;
function requestRender() {
  if (rendering) return;
  rendering = true;
  requestAnimationFrame(() => {
    rendering = false;
    changed.forEach((stream) => streams.has(stream.id) && render(stream));
    changed.clear();
    renderPage();
  });
}

function tick() {
  if (document.hidden) return;
  if (socket?.readyState === WebSocket.OPEN && streams.size && Date.now() - lastMessage > SILENCE) socket.close();
  streams.forEach((stream) => changed.add(stream));
  requestRender();
}

// What the routes are for decides what may be published; the first one is the example.
async function showHowToPublish() {
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

find("#declare form").addEventListener("submit", declareStream);
find("#problem-close").addEventListener("click", () => (find("#problem").hidden = true));
setInterval(tick, 1000);
connect();

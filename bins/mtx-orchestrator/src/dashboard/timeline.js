// A stream's last hour: its bit rate above a band of its states, with a mark for each restart.

import { bits, now, span } from "./format.js";
import { ask, colour, find, setText, streamUrl } from "./page.js";

const HOUR = 3_600_000;
const STEP = 10_000;
const BAND = 14; // Pixels of the states' band.
const COLOURS = {
  running: "good",
  starting: "busy",
  grace: "warn",
  backoff: "warn",
  broken: "bad",
  blocked: "bad",
  stopped: "idle",
};

// Asks for the hour again once another step is over, and paints it.
export async function renderTimeline(stream) {
  if (Date.now() - (stream.timelineAsked ?? 0) >= STEP) {
    stream.timelineAsked = Date.now();
    const { ok, body, problem } = await ask("GET", `${streamUrl(stream.id)}/history`);
    if (ok) stream.hour = body.steps.map((step) => ({ ...step, at: Date.parse(step.at) }));
    if (!stream.details) return;
    setText(find(".hour-text", stream.details), ok ? inWords(stream.hour) : problem);
  }
  if (stream.details && stream.hour) draw(find(".hour", stream.details), stream.hour);
}

function inWords(steps) {
  const times = new Map();
  for (const { state } of steps) times.set(state, (times.get(state) ?? 0) + STEP);
  const states = [...times].sort(([, a], [, b]) => b - a).map(([state, time]) => `${state} ${span(time)}`);
  const restarts = steps.reduce((sum, step) => sum + step.restarts, 0);
  const most = Math.max(0, ...steps.map(({ bitrate }) => bitrate));
  return [...states, `${restarts} ${restarts === 1 ? "restart" : "restarts"}`, `at most ${bits(most)}`].join(", ");
}

function draw(canvas, steps) {
  const width = (canvas.width = Math.round(canvas.clientWidth * devicePixelRatio));
  const height = (canvas.height = Math.round(canvas.clientHeight * devicePixelRatio));
  const pen = canvas.getContext("2d");
  const end = now();
  const x = (time) => width * (1 - (end - time) / HOUR);
  const band = BAND * devicePixelRatio;
  const most = Math.max(1, ...steps.map(({ bitrate }) => bitrate));
  steps.forEach(({ at, state, bitrate, restarts }, index) => {
    // A step that follows at once leaves no gap.
    const next = steps[index + 1]?.at ?? end;
    const [left, right] = [x(at), x(Math.min(next, at + 1.5 * STEP))];
    pen.fillStyle = colour(COLOURS[state] ?? "idle");
    pen.fillRect(left, height - band, right - left, band);
    const top = (height - band - 4) * (bitrate / most);
    pen.fillStyle = colour("bits");
    pen.fillRect(left, height - band - 2 - top, right - left, top);
    if (!restarts) return;
    pen.fillStyle = colour("bad");
    pen.fillRect(left, 0, 2 * devicePixelRatio, height);
  });
}

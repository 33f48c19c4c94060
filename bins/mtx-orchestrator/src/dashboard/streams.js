// What is known of the streams: what is wrong with them, how they are ordered and found.

export const streams = new Map();

export const STATES = {
  starting: "A worker is about to run, or runs without media yet",
  running: "Its worker passes media on",
  grace: "The stream is away; it may come back before the grace period is over",
  backoff: "Its worker failed and is started again soon",
  broken: "Its worker failed too often: nothing is tried for a while",
  stopped: "Told to stop",
  blocked: "It would feed itself, or its outputs can't be: no worker is started",
};

// The slash that tells a path of one segment from a short id is for programs, unless both are there.
export const shortTitle = (id) => (id.startsWith("/") && !streams.has(id.slice(1)) ? id.slice(1) : id);

export const title = ({ id, declared }) => declared?.name || shortTitle(id);

// Why a stream or an output does not run though it should; empty if all is well.
export const trouble = ({ state, breaker, lastFailure, blocked, outputs }) => {
  if (state === "stopped") return "";
  if (blocked) return `Blocked: ${blocked}`;
  if (breaker.state !== "closed") return `Breaker ${breaker.state}: ${breaker.reason ?? "no reason given"}`;
  if (state === "backoff") return `Worker failed: ${lastFailure ?? "no reason given"}`;
  if (state === "starting" && lastFailure) return `No media: ${lastFailure}`;
  const failing = state === "running" && outputs.find(({ state }) => state === "retrying" || state === "lost");
  if (failing) return `Output ${failing.path ?? failing.url} is ${failing.state}: ${failing.reason ?? "no reason given"}`;
  return "";
};

// What is wrong comes first, what was stopped on purpose comes last.
const rank = (status) => {
  if (trouble(status)) return 0;
  if (status.state === "grace") return 1;
  return status.state === "stopped" ? 3 : 2;
};

// Camera 2 stands before Camera 10.
const { compare } = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

// Takes note of what a stream's order and finding depend on. Returns whether any of that has changed.
export function index(stream) {
  const { status } = stream;
  const sinks = status.outputs.map(({ url }) => url);
  const found = {
    rank: rank(status),
    title: title(status),
    group: trouble(status) ? "trouble" : "",
    text: [title(status), status.id, status.path, status.state, status.route, status.declared?.source, trouble(status), ...sinks]
      .filter(Boolean)
      .join("\n")
      .toLowerCase(),
    state: status.state,
  };
  const before = stream.index;
  stream.index = found;
  return !before || Object.keys(found).some((key) => before[key] !== found[key]);
}

export const inOrder = () =>
  [...streams.values()].sort(
    ({ index: a, id: one }, { index: b, id: other }) =>
      a.rank - b.rank || compare(a.title, b.title) || compare(one, other),
  );

// How many streams each choice of the filter has.
export function counts() {
  const found = { all: streams.size, trouble: 0 };
  for (const { index } of streams.values()) {
    found[index.state] = (found[index.state] ?? 0) + 1;
    if (index.group) found.trouble += 1;
  }
  return found;
}

// Whether a stream has all the words, and the state or what stands for several.
export const matches = ({ index }, words, choice) =>
  (choice === "all" || choice === index.state || choice === index.group) &&
  words.every((word) => index.text.includes(word));

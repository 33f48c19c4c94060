// What all parts of the page use: its elements, its colours, its messages, and the orchestrator's API.

export const find = (selector, within = document) => within.querySelector(selector);

export const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// Where this page is, without the login that its address may have: fetch refuses those.
const base = location.origin + location.pathname;
export const url = (path) => new URL(path, base);
export const streamUrl = (id) => `v1/streams/${encodeURIComponent(id)}`;

export async function ask(method, path, content) {
  const headers = content ? { "Content-Type": "application/json" } : {};
  try {
    const response = await fetch(url(path), { method, headers, body: content && JSON.stringify(content) });
    const body = await response.json().catch(() => null);
    const problem = body?.detail ?? `${response.status} ${response.statusText}`;
    return { ok: response.ok, status: response.status, body, problem };
  } catch {
    return { ok: false, status: 0, body: null, problem: "the orchestrator does not answer" };
  }
}

let noticeTimer;
export function notify(text) {
  find("#problem").hidden = true;
  setText(find("#notice"), text);
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => setText(find("#notice"), ""), 5000);
}

export function complain(text) {
  setText(find("#notice"), "");
  find("#problem").hidden = false;
  setText(find("#problem-text"), text);
}

find("#problem-close").addEventListener("click", () => (find("#problem").hidden = true));

// Asking for the style of the document is slow, and seldom brings another one.
let colours = new Map();
export function colour(name) {
  if (!colours.has(name)) {
    colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`));
  }
  return colours.get(name);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (colours = new Map()));

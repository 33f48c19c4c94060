// How values are written.

let clockSkew = 0; // How far the server's clock is ahead, in milliseconds: ages are told by it.

export const setServerTime = (timestamp) => {
  clockSkew = Date.parse(timestamp) - Date.now();
};
export const now = () => Date.now() + clockSkew;

export const bits = (rate) => {
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(rate >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.round(rate / 1e3)} kbit/s`;
};
export const bytes = (count) => `${(count / 1024 / 1024).toFixed(1)} MiB`;

export const span = (milliseconds) => {
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

export const since = (timestamp) => span(now() - Date.parse(timestamp));

export const age = (timestamp) => {
  const milliseconds = now() - Date.parse(timestamp);
  return milliseconds < 2500 ? "now" : `${span(milliseconds)} ago`;
};

export const clock = (timestamp) => new Date(timestamp).toLocaleTimeString([], { hour12: false });

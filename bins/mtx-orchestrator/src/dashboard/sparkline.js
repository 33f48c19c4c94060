// A stream's bits and frames a second over the last two minutes, as far as this page has seen them.

import { now } from "./format.js";
import { colour } from "./page.js";

const WINDOW = 120; // Seconds.

export function addSample({ samples }, at, { bitrate, fps }) {
  samples.push({ at: Date.parse(at) / 1000, bitrate, fps });
  if (samples.length > WINDOW + 10) samples.shift();
}

export function drawSparkline(canvas, samples) {
  const { width, height } = canvas;
  const draw = canvas.getContext("2d");
  const end = now() / 1000;
  const shown = samples.filter((sample) => end - sample.at <= WINDOW);
  canvas.hidden = shown.length === 0;
  if (canvas.hidden) return;
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
  line(({ bitrate }) => bitrate, 0.6, true);
  draw.fillStyle = colour("bits-fill");
  draw.fill();
  draw.setLineDash([]);
  draw.lineWidth = 3;
  draw.strokeStyle = colour("bits");
  line(({ bitrate }) => bitrate, 0.6, false);
  draw.stroke();
  draw.setLineDash([8, 5]);
  draw.lineWidth = 2.5;
  draw.strokeStyle = colour("frames");
  line(({ fps }) => fps, 0.85, false);
  draw.stroke();
}

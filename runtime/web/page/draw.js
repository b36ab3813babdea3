// Pictures of what sensors measure: depth in false colour, radar points from two sides, traces of an IMU.

import { colour, sharp } from "./dom.js";

const STOPS = [
  [255, 246, 205], [255, 190, 85], [240, 105, 80], [180, 55, 120], [95, 45, 140], [45, 40, 105], [22, 24, 60], [12, 13, 30],
];
const PALETTE = new Uint32Array(256);
for (let level = 1; level < 256; level += 1) {
  const place = ((level - 1) / 254) ** 1.15 * (STOPS.length - 1);
  const lower = Math.min(Math.floor(place), STOPS.length - 2);
  const [r, g, b] = STOPS[lower].map((from, i) => Math.round(from + (STOPS[lower + 1][i] - from) * (place - lower)));
  PALETTE[level] = (255 << 24) | (b << 16) | (g << 8) | r;
}
PALETTE[0] = (255 << 24) | (0x0e << 16) | (0x08 << 8) | 0x07;

/** Draws a depth picture; the canvas takes its size. */
export function drawDepth(canvas, { columns, rows, bytes }) {
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = PALETTE[bytes[i]];
  context.putImageData(image, 0, 0);
}

/** Draws radar points. `side` is "above" (x across, y away) or "side" (y away, z up). Points are x, y, z, speed. */
export function drawRadar(canvas, points, side, height = 150) {
  const { context, width } = sharp(canvas, height);
  context.fillStyle = colour("screen");
  context.fillRect(0, 0, width, height);
  const above = side === "above";
  const scale = Math.min(width / 6, height / (above ? 6 : 3)) * 0.96;
  const origin = above ? [width / 2, height - 6] : [width * 0.04, height * 0.62];
  context.lineWidth = 1;
  context.strokeStyle = "rgb(120 130 170 / .35)";
  context.fillStyle = "rgb(160 170 205 / .8)";
  context.font = "10px system-ui, sans-serif";
  for (let metres = 1; metres <= 6; metres += 1) {
    context.beginPath();
    if (above) context.arc(...origin, metres * scale, Math.PI, 2 * Math.PI);
    else {
      context.moveTo(origin[0] + metres * scale, 0);
      context.lineTo(origin[0] + metres * scale, height);
    }
    context.stroke();
    if (metres % 2 === 0) {
      if (above) context.fillText(`${metres} m`, origin[0] + 3, origin[1] - metres * scale + 11);
      else context.fillText(`${metres} m`, origin[0] + metres * scale + 3, height - 4);
    }
  }
  for (let i = 0; i + 3 < points.length; i += 4) {
    const [x, y, z, speed] = points.subarray(i, i + 4);
    const at = above
      ? [origin[0] + x * scale, origin[1] - y * scale]
      : [origin[0] + y * scale, origin[1] - z * scale];
    const fast = Math.min(Math.abs(speed) / 1.5, 1);
    context.fillStyle = speed > 0.05 ? `hsl(${200 - 40 * fast} 90% 66%)` : speed < -0.05 ? `hsl(${30 - 20 * fast} 95% 62%)` : "#c6cbe0";
    context.beginPath();
    context.arc(...at, 2.6 + 2 * fast, 0, 2 * Math.PI);
    context.fill();
  }
}

/** How far an axis must reach so that no value of these rows is cut off; at least `usual`. */
export function reachOf(rows, { begin, end, first = 1, usual }) {
  let reach = usual;
  for (let i = 0; i < rows.length; i += 7) {
    if (rows[i] < begin || rows[i] > end) continue;
    for (let axis = first; axis < first + 3; axis += 1) reach = Math.max(reach, Math.abs(rows[i + axis]) || 0);
  }
  return reach;
}

export const AXES = ["#e5484d", "#2f9e63", "#4c7dff"];

/**
 * Draws three axes over time. `rows` holds [time, ax, ay, az, gx, gy, gz] in flat rows of seven.
 */
export function drawTraces(context, rows, { left, top, width, height, begin, end, first = 1, reach }) {
  const middle = top + height / 2;
  context.strokeStyle = "rgb(120 130 170 / .3)";
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(left, middle);
  context.lineTo(left + width, middle);
  context.stroke();
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.lineWidth = 1.3;
  for (let axis = 0; axis < 3; axis += 1) {
    context.strokeStyle = AXES[axis];
    context.beginPath();
    let pen = false;
    let before = 0;
    for (let i = 0; i < rows.length; i += 7) {
      const at = rows[i];
      const value = rows[i + first + axis];
      if (!Number.isFinite(value)) continue;
      const x = left + ((at - begin) / (end - begin)) * width;
      const y = middle - (value / reach) * (height / 2);
      if (pen && at - before < (end - begin) / 8 + 0.2) context.lineTo(x, y);
      else context.moveTo(x, y);
      pen = true;
      before = at;
    }
    context.stroke();
  }
  context.restore();
}

// Sixteen that people tell apart, from each other and from the three below.
const COLOURS = [
  "#4a68e0", "#23964a", "#cf3a32", "#e2741a", "#8b3fc0", "#1c9cb4", "#d0389f", "#7da31a",
  "#96561f", "#0f6b66", "#b48ae0", "#e98a9c", "#2c3f94", "#8a1f45", "#4fb795", "#5f6b14",
];
const given = new Map();

/** The colour of an activity, the same everywhere on the page. */
export function activityColour(name) {
  if (name === "none") return "#8d93a8";
  if (name === "gap") return "#7a4a52";
  if (name === "uncertain" || !name) return "#c9a24a";
  if (!given.has(name)) {
    let sum = 0;
    for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
    let at = sum % COLOURS.length;
    const taken = new Set(given.values());
    for (let tries = 0; tries < COLOURS.length && taken.has(at); tries += 1) at = (at + 1) % COLOURS.length;
    given.set(name, at);
  }
  return COLOURS[given.get(name)];
}

/** The colour of text on a colour "#rrggbb": white or dark, whichever has more contrast (WCAG 2.2, relative luminance). */
export function inkOn(ground) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = parseInt(ground.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 ? "#1b1e2b" : "#ffffff";
}

// @ts-check
/**
 * Lines of numbers over time, as SVG.
 */
import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 32;

/**
 * The last values of something that is measured, the oldest first.
 */
export class History {
  /** @param {number} [most] how many are kept */
  constructor(most = 60) {
    /** @type {number[]} */
    this.values = [];
    this.most = most;
  }

  /** @param {number} value */
  add(value) {
    this.values.push(value);
    if (this.values.length > this.most) this.values.shift();
  }
}

/**
 * A small line. Its label is for who does not see it.
 * @param {readonly number[]} values the oldest first
 * @param {string} label
 */
export function sparkline(values, label) {
  return svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("polyline", { points: pointsOf(values), fill: "none", "vector-effect": "non-scaling-stroke" }),
  );
}

/**
 * Where the line goes, for an attribute `points`.
 * @param {readonly number[]} values
 */
export function pointsOf(values) {
  const most = Math.max(...values, 0);
  const least = Math.min(...values, 0);
  const height = most - least || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  return values
    .map((value, at) => {
      const y = HEIGHT - 1 - ((value - least) / height) * (HEIGHT - 2);
      return `${round(at * step)},${round(y)}`;
    })
    .join(" ");
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}

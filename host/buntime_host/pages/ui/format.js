// @ts-check
/**
 * Numbers, sizes and times as people read them.
 */
import { language } from "./texts.js";

const UNITS = ["B", "KB", "MB", "GB", "TB"];
const STEPS = /** @type {const} */ ([
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
]);

/**
 * A number with its thousands apart.
 * @param {number | null | undefined} value
 */
export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString(language);
}

/**
 * A size: `1.5 MB`.
 * @param {number | null | undefined} value in bytes
 */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${digits(size)} ${UNITS[unit]}`;
}

/**
 * A span of time with its two largest units: `2 h 5 min`.
 * @param {number} milliseconds
 */
export function span(milliseconds) {
  if (milliseconds < 1000) return `${digits(milliseconds)} ms`;
  const parts = [];
  let rest = milliseconds;
  for (const [unit, size] of STEPS) {
    const whole = Math.floor(rest / size);
    if (whole > 0 && parts.length < 2) parts.push(`${whole} ${unit}`);
    else if (parts.length > 0) break;
    rest -= whole * size;
  }
  return parts.join(" ");
}

/**
 * A point in time, to the second.
 * @param {number | null | undefined} milliseconds since 1970
 */
export function when(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  const form = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  return form.format(milliseconds);
}

/** @param {number} value */
function digits(value) {
  return Number(value.toPrecision(value >= 100 ? 4 : 3)).toLocaleString(language);
}

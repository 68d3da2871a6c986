// @ts-check
/**
 * Overview: what the store holds and does just now.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { History, sparkline } from "../.well-known/buntime/ui/chart.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { bytes, count } from "../.well-known/buntime/ui/format.js";
import { repeat } from "../.well-known/buntime/ui/live.js";
import { t } from "../.well-known/buntime/ui/texts.js";

const LOOK_SECONDS = 2;

/**
 * @typedef {object} Numbers what `/metrics` says, as far as it is shown here
 * @property {{totals: {operations: number, errors: number}, operations: Record<string, Operation>}} operations
 * @property {{entries: number, sizeBytes: number} | null} storage
 * @property {{pending: number, processing: number, dlq: number} | null} [queue]
 * @property {{watchers: number}} [streams]
 */
/** @typedef {{count: number, errors: number, avgLatencyMs: number}} Operation */

/**
 * @typedef {object} Shown a number with its history
 * @property {string} title
 * @property {(now: Numbers, before: Numbers | null, seconds: number) => number | null} of null where it is not known
 * @property {(value: number) => string} form
 */

/** @type {Shown[]} */
const SHOWN = [
  { title: "Entries", of: (now) => now.storage?.entries ?? null, form: count },
  { title: "Size", of: (now) => now.storage?.sizeBytes ?? null, form: bytes },
  { title: "Operations per second", of: rate, form: rounded },
  { title: "Mean time of an operation", of: latency, form: (value) => `${rounded(value)} ms` },
  { title: "Errors", of: (now) => now.operations.totals.errors, form: count },
  { title: "Messages waiting", of: (now) => now.queue?.pending ?? null, form: count },
  { title: "Messages in work", of: (now) => now.queue?.processing ?? null, form: count },
  { title: "Dead letters", of: (now) => now.queue?.dlq ?? null, form: count },
  { title: "Watchers", of: (now) => now.streams?.watchers ?? null, form: count },
];

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openOverview({ signal }) {
  const histories = SHOWN.map(() => new History());
  const cards = h("dl", { class: "cards" });
  const problem = h("p", { class: "problem", role: "status" });
  /** @type {Numbers | null} */
  let before = null;
  let at = 0;

  async function look() {
    try {
      const now = /** @type {Numbers} */ (await api("metrics", { signal }));
      const seconds = (performance.now() - at) / 1000;
      fill(
        cards,
        SHOWN.map((shown, place) => card(shown, shown.of(now, before, seconds), histories[place])),
      );
      before = now;
      at = performance.now();
      problem.textContent = "";
    } catch (error) {
      if (!signal.aborted) problem.textContent = error instanceof Error ? error.message : "";
      throw error;
    }
  }

  void repeat(look, LOOK_SECONDS, signal);
  return h("div", { class: "stack" }, problem, cards);
}

/**
 * @param {Shown} shown
 * @param {number | null} value
 * @param {History} history
 */
function card(shown, value, history) {
  if (value !== null) history.add(value);
  const title = t(shown.title);
  return h(
    "div",
    { class: "card" },
    h("dt", {}, title),
    h("dd", {}, value === null ? "–" : shown.form(value)),
    h("dd", {}, sparkline(history.values, t("{title}, the last values", { title }))),
  );
}

/**
 * @param {Numbers} now
 * @param {Numbers | null} before
 * @param {number} seconds
 */
function rate(now, before, seconds) {
  if (before === null) return null;
  return Math.max(0, now.operations.totals.operations - before.operations.totals.operations) / seconds;
}

/**
 * The mean of those since the last look, or of all at the first one.
 * @param {Numbers} now
 * @param {Numbers | null} before
 */
function latency(now, before) {
  const [newer, older] = [spent(now), before === null ? { count: 0, time: 0 } : spent(before)];
  const since = newer.count - older.count;
  return since > 0 ? (newer.time - older.time) / since : null;
}

/** @param {Numbers} numbers */
function spent(numbers) {
  let [all, time] = [0, 0];
  for (const operation of Object.values(numbers.operations.operations)) {
    all += operation.count;
    time += operation.count * operation.avgLatencyMs;
  }
  return { count: all, time };
}

/** @param {number} value */
function rounded(value) {
  return count(Number(value.toPrecision(3)));
}

// @ts-check
/**
 * The history of a key, as far as the log of changes goes back; with values where it keeps them.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { attempt } from "../.well-known/buntime/ui/notice.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { elementsOf, membersOf } from "./json.js";
import { keyText } from "./key.js";
import { boundsOf } from "./log.js";

/** @typedef {import("./key.js").Key} Key */
/** @typedef {Record<string, string>} Raw members of a record, as texts of JSON */

const PAGE = 1000;
const PAGES_AT_ONCE = 10;
const SHOWN = 100;
const CUT = 200;

/**
 * What is read when it is opened: the log has to be gone through for it.
 * @param {Key} key
 * @param {AbortSignal} signal
 */
export function history(key, signal) {
  const place = h("div", { class: "stack" });
  const details = h("details", {}, h("summary", {}, t("History")), place);
  /** @type {Raw[]} */
  let found = [];
  let isBegun = false;

  /** @param {number} after */
  async function goOn(after) {
    const read = await readHistory(key, after, signal);
    found = [...found, ...read.records].slice(-SHOWN);
    const more = h("button", { type: "button", onclick: () => void attempt(() => goOn(read.next)) }, t("Look further"));
    fill(
      place,
      drawn(found),
      read.next < read.last
        ? h("div", { class: "toolbar" }, h("span", { class: "hint" }, t("Looked through up to {next} of {last}", { next: count(read.next), last: count(read.last) })), more)
        : null,
    );
  }

  details.addEventListener("toggle", () => {
    if (!details.open || isBegun) return;
    isBegun = true;
    void attempt(async () => {
      const { first } = await boundsOf(key, signal);
      await goOn(Math.max(0, first - 1));
    });
  });
  return details;
}

/**
 * Records of a key behind a position, of so many pages of the log.
 * @param {Key} key
 * @param {number} after
 * @param {AbortSignal} signal
 * @returns {Promise<{records: Raw[], next: number, last: number}>}
 */
async function readHistory(key, after, signal) {
  const wanted = keyText(key);
  /** @type {Raw[]} */
  const records = [];
  let next = after;
  let last = after;
  for (let page = 0; page < PAGES_AT_ONCE; page += 1) {
    const query = { after: next, prefix: wanted, limit: PAGE };
    const told = membersOf(await api("stream", { query, signal, raw: true }));
    records.push(...elementsOf(told.records).map(membersOf).filter((record) => keyText(JSON.parse(record.key)) === wanted));
    [next, last] = [JSON.parse(told.next), JSON.parse(told.last)];
    if (next >= last) break;
  }
  return { records, next, last };
}

/** @param {Raw[]} records the oldest first */
function drawn(records) {
  const hasValues = records.some(({ value }) => value !== undefined);
  return h(
    "div",
    { class: "stack" },
    hasValues ? null : h("p", { class: "hint" }, t("The log keeps no values of this key: the option changes.values of plugin-keyval has it keep them.")),
    table(
      t("History"),
      [
        { title: t("Position"), heads: true, numeric: true, cell: ({ seq }) => seq },
        { title: t("Time"), cell: ({ at }) => when(JSON.parse(at)) },
        { title: t("What happened"), cell: ({ action }) => JSON.parse(action) },
        { title: t("Writes"), numeric: true, cell: ({ version }) => (version === "null" ? "–" : version) },
        { title: t("Value"), cell: ({ value }) => (value === undefined ? "–" : h("code", { class: "cut" }, value.slice(0, CUT))) },
      ],
      records.toReversed(),
      t("The log has nothing of this key"),
    ),
  );
}

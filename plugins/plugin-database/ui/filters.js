// @ts-check
/**
 * Filters of rows, as the API has them: `{"column": {"gt": 5}}`, all of which must hold.
 */
import { field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { sayError } from "../.well-known/buntime/ui/notice.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { select } from "./targets.js";
import { isBlob, read } from "./values.js";

/** @typedef {import("./values.js").Column} Column */
/** @typedef {import("./values.js").Value} Value */
/** @typedef {Record<string, Record<string, Value>>} Filter by column and operator */

/** @type {Record<string, string>} */
const SIGNS = { eq: "=", ne: "≠", lt: "<", lte: "≤", gt: ">", gte: "≥", like: "LIKE" };

/**
 * The filter of an address; what is none is an empty one.
 * @param {string | null} text
 * @returns {Filter}
 */
export function readFilter(text) {
  /** @type {Filter} */
  const filter = {};
  for (const [name, tests] of Object.entries(objectOf(text))) {
    const isTests = tests !== null && typeof tests === "object" && !isBlob(tests) && !("$int" in tests);
    filter[name] = isTests ? { ...tests } : { eq: tests };
  }
  return filter;
}

/**
 * A filter as a text for the address; null for an empty one.
 * @param {Filter} filter
 */
function writeFilter(filter) {
  const used = Object.entries(filter).filter(([, tests]) => Object.keys(tests).length > 0);
  return used.length > 0 ? JSON.stringify(Object.fromEntries(used)) : null;
}

/**
 * What is asked for, to take away, and fields to ask for more.
 * @param {Column[]} columns
 * @param {Filter} filter
 * @param {(filter: string | null) => void} change
 */
export function filterBar(columns, filter, change) {
  const column = select(columns.map(({ name }) => [name, name]), columns[0]?.name ?? "");
  const sign = select(Object.entries(SIGNS), "eq");
  const value = h("input", { autocomplete: "off" });
  const isNull = h("input", { type: "checkbox" });
  isNull.addEventListener("change", () => {
    value.disabled = isNull.checked;
  });
  const form = h(
    "form",
    { class: "row" },
    field(t("Column"), column),
    field(t("Comparison"), sign),
    field(t("Value"), value),
    h("label", { class: "ticked" }, isNull, " NULL"),
    h("button", { type: "submit" }, t("Filter")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const declared = columns.find(({ name }) => name === column.value)?.type ?? "";
    try {
      const wanted = isNull.checked ? null : likely(value.value, declared);
      change(writeFilter({ ...filter, [column.value]: { ...filter[column.value], [sign.value]: wanted } }));
    } catch (error) {
      sayError(error);
    }
  });
  return h("div", { class: "stack" }, form, chips(filter, change));
}

/**
 * @param {Filter} filter
 * @param {(filter: string | null) => void} change
 */
function chips(filter, change) {
  const tests = Object.entries(filter).flatMap(([name, found]) =>
    Object.entries(found).map(([operator, value]) => ({ name, operator, value })),
  );
  if (tests.length === 0) return null;
  return h(
    "ul",
    { class: "chips", "aria-label": t("Filters") },
    tests.map(({ name, operator, value }) => {
      const text = `${name} ${SIGNS[operator] ?? operator} ${value === null ? "NULL" : JSON.stringify(value)}`;
      const remove = () => {
        const { [operator]: _, ...rest } = filter[name];
        change(writeFilter({ ...filter, [name]: rest }));
      };
      const away = h("button", { type: "button", "aria-label": t("Take away {filter}", { filter: text }), onclick: remove }, "×");
      return h("li", { class: "chip" }, text, " ", away);
    }),
  );
}

/**
 * What is written for a column, as a number where that holds numbers and it is one.
 * @param {string} text
 * @param {string} declared
 * @returns {Value}
 */
export function likely(text, declared) {
  const isNumeric = /int|real|num|dec|floa|doub/i.test(declared);
  try {
    return isNumeric ? read("number", text) : text;
  } catch {
    return text;
  }
}

/**
 * @param {string | null} text
 * @returns {Record<string, any>}
 */
function objectOf(text) {
  try {
    const found = JSON.parse(text ?? "{}");
    return found !== null && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}

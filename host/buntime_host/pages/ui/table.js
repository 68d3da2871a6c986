// @ts-check
/**
 * Tables of rows.
 */
import { h } from "./dom.js";
import { t } from "./texts.js";

/**
 * @template R
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: R) => import("./dom.js").Child} cell
 * @property {boolean} [numeric]
 * @property {boolean} [heads] whether it names the row
 */

/**
 * A table, which scrolls by itself where it is wider than the page.
 * @template R
 * @param {string} caption what it is a table of, for who does not see it
 * @param {Column<R>[]} columns
 * @param {readonly R[]} rows
 * @param {string} [empty] what stands there without rows
 */
export function table(caption, columns, rows, empty = t("Nothing here")) {
  const head = columns.map(({ title, numeric }) =>
    h("th", { scope: "col", class: numeric ? "number" : null }, title),
  );
  const body = rows.map((row) =>
    h(
      "tr",
      {},
      columns.map(({ cell, numeric, heads }) => {
        const attributes = { class: numeric ? "number" : null, scope: heads ? "row" : null };
        return h(heads ? "th" : "td", attributes, cell(row));
      }),
    ),
  );
  const none = h("tr", {}, h("td", { colspan: columns.length, class: "empty" }, empty));
  return h(
    "div",
    { class: "scroller", role: "region", "aria-label": caption, tabindex: 0 },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.length ? body : none)),
  );
}

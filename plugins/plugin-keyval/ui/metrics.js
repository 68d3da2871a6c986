// @ts-check
/**
 * Metrics: every operation with its numbers, and the texts that other programs read.
 */
import { api, apiUrl } from "../.well-known/buntime/ui/api.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { repeat } from "../.well-known/buntime/ui/live.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";

/** @typedef {import("./overview.js").Operation & {name: string}} Row */

const LOOK_SECONDS = 5;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openMetrics({ signal }) {
  const place = h("div", { class: "stack" });
  const json = h("pre", { tabindex: 0 });
  const problem = h("p", { class: "problem", role: "status" });

  async function look() {
    try {
      const numbers = await api("metrics", { signal });
      fill(place, operations(numbers.operations.operations));
      json.textContent = JSON.stringify(numbers, null, 2);
      problem.textContent = "";
    } catch (error) {
      if (!signal.aborted) problem.textContent = error instanceof Error ? error.message : "";
      throw error;
    }
  }

  void repeat(look, LOOK_SECONDS, signal);
  const prometheus = apiUrl("metrics/prometheus").href;
  return h(
    "div",
    { class: "stack" },
    problem,
    place,
    h("details", {}, h("summary", {}, t("All of it as JSON")), json),
    h("p", {}, h("a", { href: prometheus }, t("All of it for Prometheus"))),
  );
}

/** @param {Record<string, import("./overview.js").Operation>} known */
function operations(known) {
  const rows = Object.entries(known).map(([name, operation]) => ({ name, ...operation }));
  return table(
    t("Operations"),
    [
      { title: t("Operation"), heads: true, cell: ({ name }) => h("code", {}, name) },
      { title: t("Number"), numeric: true, cell: (/** @type {Row} */ row) => count(row.count) },
      { title: t("Mean time, ms"), numeric: true, cell: ({ avgLatencyMs }) => count(Number(avgLatencyMs.toPrecision(3))) },
      { title: t("Errors"), numeric: true, cell: ({ errors }) => count(errors) },
    ],
    rows,
    t("Nothing was done yet"),
  );
}

// @ts-check
/**
 * SQL console: one statement at a time, which reads unless it is said that it may write.
 */
import { whoIsIt } from "../.well-known/buntime/ui/access.js";
import { api } from "../.well-known/buntime/ui/api.js";
import { field, release, ticked } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { guardForm } from "../.well-known/buntime/ui/drafts.js";
import { save } from "../.well-known/buntime/ui/files.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { shownValue } from "./cells.js";
import { History } from "./history.js";
import { loadAdapters, loadTenants, mayDo, picker, queryOf, targetOf } from "./targets.js";
import { toCsv } from "./values.js";

/** @typedef {import("./values.js").Row} Row */

/**
 * @typedef {object} Result
 * @property {Row[]} rows
 * @property {{name: string, type: string | null}[]} columns
 * @property {number} rowsAffected
 * @property {string | null} lastInsertRowid
 * @property {boolean} truncated
 * @property {number} duration in milliseconds
 */

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openConsole({ query, signal }) {
  const adapters = await loadAdapters(signal);
  const somebody = await whoIsIt(); // asked for a key by now, where one is needed
  const target = targetOf(query, adapters);
  const tenants = await loadTenants(somebody, target.type, signal);
  const mayWrite = adapters.write && mayDo(somebody, "write", target);
  const history = new History();

  const sql = h("textarea", { rows: 6, spellcheck: "false", required: true });
  const args = h("textarea", { rows: 2, spellcheck: "false", class: "short" });
  const most = h("input", { type: "number", min: 1, max: 1000, value: "100" });
  const writes = h("input", {});
  const result = h("div", { class: "stack" });
  const status = h("p", { class: "hint", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  const run = h("button", { type: "submit", class: "primary" }, t("Run"));
  const explain = h("button", { type: "button", onclick: () => void ask(true) }, t("Explain"));
  const cancel = h("button", { type: "button", disabled: true }, t("Cancel"));
  const past = h("div", {});

  const drawPast = () =>
    fill(
      past,
      history.shown(async (entry) => {
        if (!(await release())) return;
        sql.value = entry.sql;
        args.value = entry.args;
        draft.forget();
        sql.focus();
      }),
    );

  const remember = (/** @type {import("./history.js").Statement} */ statement) => {
    history.add(statement);
    draft.forget();
    drawPast();
  };

  const ask = async (/** @type {boolean} */ isPlan) => {
    const abort = new AbortController();
    const stop = () => abort.abort();
    signal.addEventListener("abort", stop);
    const pressed = document.activeElement;
    cancel.onclick = stop;
    cancel.disabled = false;
    run.disabled = explain.disabled = true;
    problem.textContent = "";
    status.textContent = t("Running…");
    try {
      const text = sql.value.trim().replace(/;$/, "");
      if (text === "") throw new SyntaxError(t("Write a statement"));
      const plan = target.type === "postgres" ? "EXPLAIN" : "EXPLAIN QUERY PLAN";
      const found = /** @type {Result} */ (
        await api("query", {
          method: "POST",
          json: {
            ...queryOf(target),
            sql: isPlan ? `${plan} ${text}` : text,
            args: argumentsOf(args.value),
            readonly: isPlan || !writes.checked,
            maxRows: Number(most.value) || 100,
          },
          signal: abort.signal,
        })
      );
      if (!isPlan) remember({ sql: sql.value, args: args.value });
      status.textContent = said(found);
      fill(result, shownResult(found));
    } catch (error) {
      const isStopped = abort.signal.aborted;
      status.textContent = isStopped ? t("Stopped") : "";
      if (!isStopped) problem.textContent = error instanceof Error ? error.message : String(error);
      fill(result);
    }
    signal.removeEventListener("abort", stop);
    cancel.disabled = true;
    run.disabled = explain.disabled = false;
    if (document.activeElement === document.body && pressed instanceof HTMLElement) pressed.focus();
  };

  const form = h(
    "form",
    { class: "stack", novalidate: true },
    field(t("Statement"), sql, t("Ctrl+Enter runs it")),
    field(t("Arguments"), args, t("A list such as [1, null], or an object of names, in JSON")),
    h(
      "div",
      { class: "row" },
      field(t("Most rows"), most),
      mayWrite ? ticked(t("May write"), writes) : h("span", { class: "hint" }, t("Read only")),
    ),
    h("div", { class: "toolbar" }, run, explain, cancel),
  );
  const draft = guardForm(form, signal);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void ask(false);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !run.disabled) void ask(false);
  });
  drawPast();
  return h(
    "div",
    { class: "stack" },
    picker("console", adapters, tenants, target),
    form,
    problem,
    status,
    result,
    past,
  );
}

/**
 * @param {string} text
 * @returns {unknown[] | object}
 */
function argumentsOf(text) {
  if (text.trim() === "") return [];
  const found = JSON.parse(text);
  if (found === null || typeof found !== "object") {
    throw new SyntaxError(t("Arguments are a list or an object"));
  }
  return found;
}

/** @param {Result} result */
function said({ rows, columns, rowsAffected, duration, truncated }) {
  const values = { rows: count(rows.length), affected: count(rowsAffected), took: duration };
  if (columns.length === 0) return t("{affected} rows changed, {took} ms", values);
  return truncated
    ? t("The first {rows} rows, {took} ms: there are more", values)
    : t("{rows} rows, {took} ms", values);
}

/** @param {Result} result */
function shownResult({ rows, columns }) {
  if (columns.length === 0) return null;
  const names = columns.map(({ name }) => name);
  const csv = () => save("result.csv", [toCsv(names, rows)], "text/csv");
  const json = () => save("result.json", [JSON.stringify(rows, null, 2)], "application/json");
  return [
    h(
      "div",
      { class: "toolbar" },
      h("button", { type: "button", onclick: csv }, t("Save as CSV")),
      h("button", { type: "button", onclick: json }, t("Save as JSON")),
    ),
    table(
      t("Result"),
      columns.map((column) => ({
        title: column.name,
        cell: (/** @type {Row} */ row) => shownValue(row[column.name], column, "result", null),
      })),
      rows,
      t("No rows"),
    ),
  ];
}

// @ts-check
/**
 * Studio: tables and views, their rows and what they are made of.
 */
import { whoIsIt } from "../.well-known/buntime/ui/access.js";
import { ApiError, api } from "../.well-known/buntime/ui/api.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { addressOf } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { openRows } from "./rows.js";
import { loadAdapters, loadTenants, mayDo, picker, queryOf, targetOf } from "./targets.js";

/** @typedef {{name: string, type: string, rowCount?: number}} Table */

/**
 * @typedef {object} Schema
 * @property {import("./values.js").Column[]} columns
 * @property {{name: string, unique: boolean, columns: (string | null)[]}[]} indexes
 * @property {{column: string, table: string, to: string | null, onUpdate: string, onDelete: string}[]} foreignKeys
 * @property {string | null} sql
 */

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openStudio({ query, signal }) {
  const adapters = await loadAdapters(signal);
  const somebody = await whoIsIt(); // asked for a key by now, where one is needed
  const target = targetOf(query, adapters);
  const [tenants, listed] = await Promise.all([
    loadTenants(somebody, target.type, signal),
    api("tables", { query: queryOf(target), signal }).catch((error) => {
      if (error instanceof ApiError && error.code === "TENANT_NOT_FOUND") return error;
      throw error;
    }),
  ]);
  if (listed instanceof ApiError) {
    // It may have been deleted, or is the default one and was not made yet: others can be chosen.
    return h(
      "div",
      { class: "stack" },
      picker("studio", adapters, tenants, target),
      h("p", { class: "problem", role: "alert" }, listed.message),
    );
  }
  /** @type {Table[]} */
  const tables = listed.tables;
  const chosen = tables.find(({ name }) => name === query.get("table"));
  const mayWrite = adapters.write && mayDo(somebody, "write", target) && chosen?.type === "table";
  const content = chosen
    ? await shown(chosen, { query, target, signal, mayWrite })
    : h("p", { class: "hint" }, t("Choose a table."));
  return h(
    "div",
    { class: "stack" },
    picker("studio", adapters, tenants, target),
    h(
      "div",
      { class: "studio" },
      sidebar(tables, target, chosen?.name),
      h("section", { class: "stack", "aria-label": chosen?.name ?? t("Table") }, content),
    ),
  );
}

/**
 * @param {Table[]} tables
 * @param {import("./targets.js").Target} target
 * @param {string | undefined} chosen
 */
function sidebar(tables, target, chosen) {
  const search = h("input", { type: "search", "aria-label": t("Search tables"), placeholder: t("Search tables") });
  const list = h("ul", { class: "tables" });
  const draw = () => {
    const wanted = search.value.toLowerCase();
    const found = tables.filter(({ name }) => name.toLowerCase().includes(wanted));
    fill(
      list,
      found.map(({ name, type }) =>
        h(
          "li",
          {},
          h(
            "a",
            {
              href: addressOf("studio", { ...queryOf(target), table: name }),
              "aria-current": name === chosen ? "true" : null,
            },
            name,
            type === "view" ? [" ", h("span", { class: "badge" }, t("view"))] : null,
          ),
        ),
      ),
    );
    if (found.length === 0) fill(list, h("li", { class: "hint" }, t("No tables")));
  };
  search.addEventListener("input", draw);
  draw();
  return h("aside", { class: "stack", "aria-label": t("Tables") }, search, list);
}

/**
 * @param {Table} chosen
 * @param {object} context
 * @param {URLSearchParams} context.query
 * @param {import("./targets.js").Target} context.target
 * @param {AbortSignal} context.signal
 * @param {boolean} context.mayWrite
 */
async function shown(chosen, { query, target, signal, mayWrite }) {
  const path = `tables/${encodeURIComponent(chosen.name)}`;
  /** @type {Schema} */
  const schema = await api(`${path}/schema`, { query: queryOf(target), signal });
  const isSchema = query.get("tab") === "schema";
  const at = { ...queryOf(target), table: chosen.name };
  const tabs = h(
    "div",
    { class: "toolbar" },
    h("h2", {}, chosen.name),
    h("a", { href: addressOf("studio", at), "aria-current": isSchema ? null : "true" }, t("Rows")),
    h(
      "a",
      { href: addressOf("studio", { ...at, tab: "schema" }), "aria-current": isSchema ? "true" : null },
      t("Schema"),
    ),
  );
  const content = isSchema
    ? described(schema)
    : await openRows({ path, columns: schema.columns, query, target, table: chosen.name, signal, mayWrite });
  return h("div", { class: "stack" }, tabs, content);
}

/** @param {Schema} schema */
function described({ columns, indexes, foreignKeys, sql }) {
  return h(
    "div",
    { class: "stack" },
    table(
      t("Columns"),
      [
        { title: t("Column"), heads: true, cell: ({ name }) => name },
        { title: t("Type"), cell: ({ type }) => type || "–" },
        { title: t("NULL"), cell: ({ nullable }) => (nullable ? t("yes") : t("no")) },
        { title: t("Key"), cell: ({ pkIndex }) => (pkIndex ? count(pkIndex) : "–") },
        { title: t("Default"), cell: (column) => (column.default === null ? "–" : String(column.default)) },
      ],
      columns,
    ),
    table(
      t("Indexes"),
      [
        { title: t("Index"), heads: true, cell: ({ name }) => name },
        { title: t("Columns"), cell: (index) => index.columns.map((name) => name ?? t("expression")).join(", ") },
        { title: t("Unique"), cell: ({ unique }) => (unique ? t("yes") : t("no")) },
      ],
      indexes,
      t("No indexes"),
    ),
    table(
      t("Foreign keys"),
      [
        { title: t("Column"), heads: true, cell: ({ column }) => column },
        { title: t("Leads to"), cell: (key) => `${key.table}${key.to ? ` (${key.to})` : ""}` },
        { title: t("On update, on delete"), cell: (key) => `${key.onUpdate}, ${key.onDelete}` },
      ],
      foreignKeys,
      t("No foreign keys"),
    ),
    sql === null ? null : h("pre", { tabindex: 0, "aria-label": t("Definition") }, sql),
  );
}

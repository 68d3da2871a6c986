// @ts-check
/**
 * Entries: a page of them at a time, as a table or as a tree of their keys.
 */
import { ApiError } from "../.well-known/buntime/ui/api.js";
import { ask, field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { keyText, parseKey } from "./key.js";
import { chips, keyField } from "./keyfield.js";
import { problemOf } from "./json.js";
import { firstPrefix, mayKey, readable } from "./rights.js";
import { countBelow, deleteBelow, deleteKeys, readEntry, readPage } from "./store.js";
import { exportBelow, importFile } from "./transfer.js";
import { drawTree } from "./tree.js";

/** @typedef {import("./store.js").Entry} Entry */

const PAGE = 50;
const SHOWN = 160;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openEntries({ query, signal, somebody }) {
  const text = query.get("prefix") ?? firstPrefix(somebody);
  const prefix = parseKey(text);
  const where = query.get("where") ?? "";
  const isTree = query.get("as") === "tree";
  const mayWrite = mayKey(somebody, "write", prefix);
  const form = selector(text, where, isTree);
  const tools = toolbar(prefix, mayWrite, signal);
  if (!mayKey(somebody, "read", prefix)) return h("div", { class: "stack" }, form, readable(somebody, "entries"));
  try {
    const content = isTree
      ? await drawTree(prefix, signal)
      : await drawTable({ prefix, where, cursor: query.get("cursor"), text, mayWrite, signal });
    return h("div", { class: "stack" }, form, tools, content);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 403 && prefix.length === 0)) throw error;
    // Some keys are the store's own, and for who may do everything with it.
    return h("div", { class: "stack" }, form, h("p", {}, t("Not all of the keys are for you to see: say below which key you want to look.")));
  }
}

/**
 * @param {string} text
 * @param {string} where
 * @param {boolean} isTree
 */
function selector(text, where, isTree) {
  const prefix = keyField(t("Keys below"), text);
  const filter = h("input", { type: "text", class: "mono", value: where, spellcheck: "false" });
  const problem = h("p", { class: "problem", role: "alert" });
  const as = h(
    "select",
    {},
    h("option", { value: "", selected: !isTree }, t("Table")),
    h("option", { value: "tree", selected: isTree }, t("Tree")),
  );

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    const wrong = filter.value.trim() === "" ? null : problemOf(filter.value);
    problem.textContent = wrong?.message ?? "";
    try {
      prefix.read();
    } catch {
      return; // the field says so already
    }
    if (wrong === null) {
      void go("entries", { prefix: prefix.input.value.trim(), where: filter.value.trim(), as: as.value });
    }
  }

  return h(
    "form",
    { class: "row", onsubmit: submit },
    prefix.element,
    field(t("Filter of values"), filter, t('As {"age": {"$gte": 18}}; of the table alone')),
    field(t("Show as"), as),
    h("button", { type: "submit", class: "primary" }, t("Show")),
    problem,
  );
}

/**
 * @param {import("./key.js").Key} prefix
 * @param {boolean} mayWrite
 * @param {AbortSignal} signal
 */
function toolbar(prefix, mayWrite, signal) {
  const counted = h("span", { role: "status", class: "hint" });
  const file = h("input", { type: "file", class: "hidden", "aria-label": t("File to import"), accept: ".ndjson,.jsonl,.json" });
  file.addEventListener("change", async () => {
    if (file.files?.[0]) await attempt(() => importFile(/** @type {File} */ (file.files?.[0]), signal));
    await go("entries", { prefix: prefix.length > 0 ? keyText(prefix) : null }, { replaces: true });
  });

  async function showCount() {
    counted.textContent = "…";
    const found = await attempt(() => countBelow(prefix, { signal }));
    counted.textContent = found === undefined ? "" : t("{count} entries", { count: count(found) });
  }

  return h(
    "div",
    { class: "toolbar" },
    mayWrite ? h("a", { class: "button", href: addressOf("entry", { new: keyText(prefix) }) }, t("New entry")) : null,
    h("button", { type: "button", onclick: () => void showCount() }, t("Count")),
    h("button", { type: "button", onclick: () => void attempt(() => exportBelow(prefix, counted, signal)) }, t("Export")),
    mayWrite ? h("button", { type: "button", onclick: () => file.click() }, t("Import")) : null,
    mayWrite ? file : null,
    mayWrite && prefix.length > 0
      ? h("button", { type: "button", class: "danger", onclick: () => void removeBelow(prefix) }, t("Delete all below"))
      : null,
    counted,
  );
}

/**
 * Ask, with what would go, and delete a key and all below it.
 * @param {import("./key.js").Key} prefix
 */
async function removeBelow(prefix) {
  const found = await attempt(async () => {
    const [below, entry, page] = await Promise.all([
      countBelow(prefix),
      readEntry(prefix),
      readPage({ prefix, limit: 5, values: false }),
    ]);
    return { all: below + (entry === null ? 0 : 1), first: page.entries };
  });
  if (found === undefined) return;
  let deleted = 0;
  const isDone = await ask({
    title: t("Delete {count} entries?", { count: count(found.all) }),
    content: h(
      "div",
      {},
      h("p", {}, t("The entry of this key, and all below it:"), " ", chips(prefix)),
      h("ul", {}, found.first.map(({ key }) => h("li", {}, chips(key))), found.all > 5 ? h("li", {}, "…") : null),
    ),
    action: t("Delete"),
    dangerous: true,
    submit: async () => {
      deleted = await deleteBelow(prefix);
    },
  });
  if (!isDone) return;
  say(t("{count} entries deleted", { count: count(deleted) }));
  await go("entries", { prefix: keyText(prefix) }, { replaces: true });
}

/**
 * @typedef {object} Wanted
 * @property {import("./key.js").Key} prefix
 * @property {string} text the prefix as it is in the address
 * @property {string} where
 * @property {string | null} cursor
 * @property {boolean} mayWrite
 * @property {AbortSignal} signal
 */

/** @param {Wanted} wanted */
async function drawTable({ prefix, text, where, cursor, mayWrite, signal }) {
  const page = await readPage(
    {
      prefix,
      limit: PAGE,
      ...(where ? { where: JSON.parse(where) } : {}),
      ...(cursor ? { cursor } : {}),
    },
    signal,
  );
  /** @type {Map<string, HTMLInputElement>} */
  const boxes = new Map();
  const remove = h("button", { type: "button", class: "danger", disabled: true, onclick: () => void removeChosen() }, t("Delete selected"));

  /** @param {Entry} entry */
  function box(entry) {
    const name = keyText(entry.key);
    const made = h("input", { type: "checkbox", "aria-label": t("Select {key}", { key: name }) });
    made.addEventListener("change", () => {
      remove.disabled = ![...boxes.values()].some((other) => other.checked);
    });
    boxes.set(name, made);
    return made;
  }

  async function removeChosen() {
    const keys = page.entries.map(({ key }) => key).filter((key) => boxes.get(keyText(key))?.checked);
    const isDone = await ask({
      title: t("Delete {count} entries?", { count: keys.length }),
      content: h("ul", {}, keys.map((key) => h("li", {}, chips(key)))),
      action: t("Delete"),
      dangerous: true,
      submit: async () => void (await deleteKeys(keys)),
    });
    if (!isDone) return;
    say(t("{count} entries deleted", { count: keys.length }));
    await go("entries", { prefix: text, where, cursor }, { replaces: true });
  }

  /** @type {import("../.well-known/buntime/ui/table.js").Column<Entry>[]} */
  const columns = [
    {
      title: t("Key"),
      heads: true,
      cell: ({ key }) => h("a", { href: addressOf("entry", { key: keyText(key) }) }, chips(key)),
    },
    { title: t("Value"), cell: ({ value }) => h("code", { class: "cut" }, value.slice(0, SHOWN)) },
    { title: t("Changed"), cell: ({ updatedAt }) => when(updatedAt) },
    { title: t("Expires"), cell: ({ expiresAt }) => when(expiresAt) },
  ];
  if (mayWrite) columns.unshift({ title: "", cell: box });
  return h(
    "div",
    { class: "stack" },
    table(t("Entries"), columns, page.entries, t("No entries here")),
    h(
      "div",
      { class: "toolbar" },
      mayWrite ? remove : null,
      cursor ? h("a", { class: "button", href: addressOf("entries", { prefix: text, where }) }, t("First page")) : null,
      page.cursor
        ? h("a", { class: "button", href: addressOf("entries", { prefix: text, where, cursor: page.cursor }) }, t("Next page"))
        : null,
    ),
  );
}

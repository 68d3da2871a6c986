// @ts-check
/**
 * Search: indexes, and what they find.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field, sendingForm, ticked } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { keyText, parseKey } from "./key.js";
import { chips, keyField } from "./keyfield.js";
import { firstPrefix, mayAny, mayKey } from "./rights.js";

/** @typedef {import("./key.js").Key} Key */
/** @typedef {{prefix: Key, fields: string[], tokenize: string, documents: number, entries: number, ready: boolean}} Index */
/** @typedef {{key: Key, highlight?: Record<string, string>, snippet?: Record<string, string>, score?: number}} Hit */

const TOKENIZERS = ["unicode61", "porter", "ascii", "trigram", "cjk"];
const PAGE = 20;
const WORDS = 24;
// No text of a user has these: the API puts them where a hit begins and ends.
const MARKS = ["\u0002", "\u0003"];

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openSearch({ query, signal, somebody }) {
  // Which indexes there are is for who manages all of them; to search takes a prefix alone.
  /** @type {Index[] | null} */
  const indexes = mayKey(somebody, "index:admin", []) ? await api("indexes", { signal }) : null;
  const mayManage = mayAny(somebody, "index:admin");
  const words = query.get("query") ?? "";
  return h(
    "div",
    { class: "stack" },
    asking(indexes === null ? typed(query.get("prefix") ?? firstPrefix(somebody)) : chosen(indexes, query.get("prefix") ?? ""), query),
    words === "" ? null : await hits(query, signal),
    indexes === null ? null : h("h2", {}, t("Indexes")),
    indexes === null ? null : listed(indexes, mayManage),
    mayManage ? creation(signal) : null,
  );
}

/**
 * @typedef {object} Place where to search
 * @property {HTMLElement} element
 * @property {() => string} text of the prefix
 */

/**
 * One of the indexes; null where there are none.
 * @param {Index[]} indexes
 * @param {string} prefix
 * @returns {Place | null}
 */
function chosen(indexes, prefix) {
  if (indexes.length === 0) return null;
  const options = indexes.map((index) => {
    const text = keyText(index.prefix);
    return h("option", { value: text, selected: text === prefix }, text);
  });
  const select = h("select", {}, options);
  return { element: field(t("Index"), select), text: () => select.value };
}

/**
 * A prefix that is typed.
 * @param {string} prefix
 * @returns {Place}
 */
function typed(prefix) {
  const { element, input } = keyField(t("Keys below"), prefix);
  return { element, text: () => input.value.trim() };
}

/**
 * @param {Place | null} place
 * @param {URLSearchParams} query
 */
function asking(place, query) {
  if (place === null) return h("p", { class: "hint" }, t("There is no index yet"));
  const words = h("input", { type: "search", value: query.get("query") ?? "", autocomplete: "off" });
  const fuzzy = h("input", { checked: query.get("fuzzy") === "true" });
  const explain = h("input", { checked: query.get("explain") === "true" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("search", {
      prefix: place.text(),
      query: words.value,
      fuzzy: fuzzy.checked ? "true" : null,
      explain: explain.checked ? "true" : null,
    });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    place.element,
    field(t("Query"), words, t('As cream sugar, "in this order", sug*, title:word')),
    ticked(t("Similar words, where nothing is found"), fuzzy),
    ticked(t("Explain"), explain),
    h("button", { type: "submit", class: "primary" }, t("Search")),
  );
}

/**
 * @param {URLSearchParams} query
 * @param {AbortSignal} signal
 */
async function hits(query, signal) {
  const json = {
    prefix: parseKey(query.get("prefix") ?? ""),
    query: query.get("query"),
    fuzzy: query.get("fuzzy") === "true",
    explain: query.get("explain") === "true",
    limit: PAGE,
    highlight: MARKS,
    snippet: WORDS,
    ...(query.get("cursor") ? { cursor: query.get("cursor") } : {}),
  };
  /** @type {{entries: Hit[], cursor: string | null, warnings?: string[], searchedFor?: string, explained?: import("./client.js").Explained}} */
  const page = await api("search/paginate", { method: "POST", json, signal });
  const again = Object.fromEntries(query.entries());
  /** @type {import("../.well-known/buntime/ui/table.js").Column<Hit>[]} */
  const columns = [
    {
      title: t("Key"),
      heads: true,
      cell: ({ key }) => h("a", { href: addressOf("entry", { key: keyText(key) }) }, chips(key)),
    },
    { title: t("Found in"), cell: extracts },
  ];
  /** @type {import("../.well-known/buntime/ui/table.js").Column<Hit>} */
  const score = { title: t("Score"), numeric: true, cell: (hit) => (hit.score ?? 0).toPrecision(4) };
  return h(
    "div",
    { class: "stack" },
    (page.warnings ?? []).map((warning) => h("p", { class: "hint" }, warning)),
    page.searchedFor ? h("p", { class: "hint" }, t("Found for: {query}", { query: page.searchedFor })) : null,
    table(t("Hits"), page.explained ? [...columns, score] : columns, page.entries, t("Nothing found")),
    page.cursor
      ? h("p", {}, h("a", { class: "button", href: addressOf("search", { ...again, cursor: page.cursor }) }, t("Next page")))
      : null,
    page.explained ? explanation(page.explained) : null,
  );
}

/**
 * What the query became, and how the engine goes about it.
 * @param {import("./client.js").Explained} explained
 */
function explanation({ tokenize, terms, asked, plan }) {
  return h(
    "section",
    { class: "stack", "aria-label": t("Explanation") },
    h("h2", {}, t("Explanation")),
    h("p", {}, t("Tokenizer"), ": ", h("code", {}, tokenize)),
    table(
      t("Words and phrases"),
      [
        { title: t("Text"), heads: true, cell: ({ text, prefix }) => h("code", {}, prefix ? `${text}*` : text) },
        { title: t("Field"), cell: ({ field: name }) => name ?? t("any") },
        { title: t("Entries"), numeric: true, cell: ({ entries, more }) => `${count(entries)}${more ? "+" : ""}` },
      ],
      terms,
      t("Nothing to look for"),
    ),
    asked === null
      ? null
      : h(
          "details",
          { open: true },
          h("summary", {}, t("Asked of the engine, and its plan")),
          h("div", { class: "stack" }, h("pre", { tabindex: 0 }, asked), h("pre", { tabindex: 0 }, plan.join("\n"))),
        ),
  );
}

/** @param {Hit} hit */
function extracts({ snippet = {} }) {
  const found = Object.entries(snippet).filter(([, text]) => text.includes(MARKS[0]));
  return found.map(([name, text]) => h("p", {}, h("small", { class: "inline" }, `${name}: `), marked(text)));
}

/** @param {string} text */
function marked(text) {
  return text.split(MARKS[0]).flatMap((piece, place) => {
    if (place === 0) return [piece];
    const [hit, rest = ""] = piece.split(MARKS[1]);
    return [h("mark", {}, hit), rest];
  });
}

/**
 * @param {Index[]} indexes
 * @param {boolean} mayManage
 */
function listed(indexes, mayManage) {
  /** @type {import("../.well-known/buntime/ui/table.js").Column<Index>[]} */
  const columns = [
    { title: t("Prefix"), heads: true, cell: ({ prefix }) => chips(prefix) },
    { title: t("Fields"), cell: ({ fields }) => fields.join(", ") },
    { title: t("Tokenizer"), cell: ({ tokenize }) => tokenize },
    { title: t("Documents"), numeric: true, cell: ({ documents, entries }) => `${count(documents)} / ${count(entries)}` },
    { title: t("State"), cell: ({ ready }) => (ready ? t("ready") : t("is being made")) },
  ];
  if (mayManage) {
    columns.push({
      title: "",
      cell: ({ prefix }) => h("button", { type: "button", onclick: () => void remove(prefix) }, t("Remove")),
    });
  }
  return table(t("Indexes"), columns, indexes, t("There is no index yet"));
}

/** @param {Key} prefix */
async function remove(prefix) {
  const isDone = await ask({
    title: t("Remove this index?"),
    content: h("p", {}, chips(prefix), " ", t("The entries stay.")),
    action: t("Remove"),
    dangerous: true,
    submit: async () => void (await api("indexes", { method: "DELETE", json: { prefix } })),
  });
  if (isDone) await go("search", {}, { replaces: true });
}

/** @param {AbortSignal} signal */
function creation(signal) {
  const prefix = keyField(t("Prefix"), "");
  const fields = h("input", { type: "text", autocomplete: "off" });
  const tokenize = h("select", {}, TOKENIZERS.map((name) => h("option", { value: name }, name)));
  const submit = async (/** @type {() => void} */ forget) => {
    const names = fields.value.split(",").map((name) => name.trim());
    const json = { prefix: prefix.read(), fields: names.filter((name) => name !== ""), tokenize: tokenize.value };
    await api("indexes", { method: "POST", json });
    forget();
    say(t("The index is ready"));
    await attempt(() => go("search", { prefix: keyText(json.prefix) }, { replaces: true }));
  };
  const form = sendingForm("stack", signal, submit, (problem) => [
    h("div", { class: "row" }, prefix.element, field(t("Fields"), fields, t("As title, author.name")), field(t("Tokenizer"), tokenize)),
    problem,
    h("div", {}, h("button", { type: "submit", class: "primary" }, t("Create"))),
  ]);
  return h("details", {}, h("summary", {}, t("New index")), form);
}

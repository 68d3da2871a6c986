// @ts-check
/**
 * Streams: the log of all changes, in their order.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { repeat } from "../.well-known/buntime/ui/live.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { keyText, parseKey } from "./key.js";
import { chips, keyField } from "./keyfield.js";
import { boundsOf } from "./log.js";
import { firstPrefix, mayKey, readable } from "./rights.js";

/** @typedef {{seq: number, action: string, key: import("./key.js").Key, value?: unknown, versionstamp: string, version: number | null, type: string | null, at: number}} Change */

const ACTIONS = ["", "create", "update", "delete", "expire"];
const LOOK_SECONDS = 2;
const SHOWN = 100;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openStreams({ query, signal, somebody }) {
  const text = query.get("prefix") ?? firstPrefix(somebody);
  const key = parseKey(text);
  if (!mayKey(somebody, "read", key)) return h("div", { class: "stack" }, form(text, ""), readable(somebody, "streams"));
  const { first, last } = await boundsOf(key, signal);
  const action = query.get("action") ?? "";
  const prefix = key.length > 0 ? keyText(key) : null;
  const from = Math.max(Number(query.get("after") ?? Math.max(last - SHOWN, 0)), first - 1, 0);
  let after = from;
  /** @type {Change[]} */
  let shown = [];
  const place = h("div", { class: "stack" });
  const problem = h("p", { class: "problem", role: "status" });

  async function look() {
    try {
      const page = await api("stream", { query: { after, prefix, action: action || null, limit: SHOWN }, signal });
      if (page.records.length > 0 || place.childElementCount === 0) {
        shown = [...shown, ...page.records].slice(-SHOWN);
        fill(place, changeTable(shown.toReversed()));
      }
      after = page.next;
      problem.textContent = "";
    } catch (error) {
      if (!signal.aborted) problem.textContent = error instanceof Error ? error.message : "";
      throw error;
    }
  }

  void repeat(look, LOOK_SECONDS, signal);
  const older = Math.max(from - SHOWN, first - 1, 0);
  return h(
    "div",
    { class: "stack" },
    form(text, action),
    h("p", { class: "hint" }, t("Kept are the positions {first} to {last}", { first: count(first), last: count(last) })),
    problem,
    place,
    older < from
      ? h("p", {}, h("a", { class: "button", href: addressOf("streams", { prefix: text, action, after: String(older) }) }, t("Older")))
      : null,
  );
}

/**
 * @param {string} text
 * @param {string} action
 */
function form(text, action) {
  const prefix = keyField(t("Keys below"), text);
  const chosen = h(
    "select",
    {},
    ACTIONS.map((name) => h("option", { value: name, selected: name === action }, name || t("all"))),
  );
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("streams", { prefix: prefix.input.value.trim(), action: chosen.value });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    prefix.element,
    field(t("What happened"), chosen),
    h("button", { type: "submit", class: "primary" }, t("Show")),
  );
}

/**
 * @param {Change[]} changes in the order in which they are shown
 * @param {string} [empty] what stands there without any
 */
export function changeTable(changes, empty = t("No changes")) {
  return table(
    t("Changes"),
    [
      { title: t("Position"), heads: true, numeric: true, cell: ({ seq }) => seq },
      { title: t("Time"), cell: ({ at }) => when(at) },
      { title: t("What happened"), cell: ({ action }) => action },
      { title: t("Key"), cell: ({ key }) => h("a", { href: addressOf("entry", { key: keyText(key) }) }, chips(key)) },
      { title: t("Writes"), numeric: true, cell: ({ version }) => version ?? "–" },
      { title: t("Type"), cell: ({ type }) => type ?? "–" },
    ],
    changes,
    empty,
  );
}

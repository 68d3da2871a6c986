// @ts-check
/**
 * Consumers: how far each has come, and who is at work.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { firstName, limitedTo, mayNamed } from "./rights.js";

/**
 * @typedef {object} Consumer as the API has it
 * @property {string} name
 * @property {number} position
 * @property {number} lag changes behind the position
 * @property {string | null} owner
 * @property {number | null} until
 * @property {number} updatedAt
 * @property {{seq: number, attempts: number, error: string | null} | null} failing
 */

const LOOK_SECONDS = 3;
const MOST = 200;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openConsumers({ query, signal, somebody }) {
  const prefix = query.get("prefix") ?? firstName(somebody, "consume");
  const list = mayNamed(somebody, "consume", prefix) ? refreshed(draw, LOOK_SECONDS, signal) : null;

  async function draw() {
    /** @type {Consumer[]} */
    const consumers = (await api("consumers", { query: { prefix: prefix || null, limit: MOST }, signal })).consumers;
    return table(
      t("Consumers"),
      [
        { title: t("Consumer"), heads: true, cell: ({ name }) => h("a", { href: addressOf("consumer", { name }) }, name) },
        { title: t("Position"), numeric: true, cell: ({ position }) => count(position) },
        { title: t("Changes behind it"), numeric: true, cell: ({ lag }) => count(lag) },
        { title: t("Owner"), cell: ({ owner }) => owner ?? "–" },
        { title: t("Last heard of"), cell: ({ updatedAt }) => when(updatedAt) },
        { title: t("Does not get past"), cell: failingOf },
      ],
      consumers,
      t("No consumers"),
    );
  }

  return h("div", { class: "stack" }, chooser(prefix), list === null ? limitedTo(somebody, "consume") : list.element);
}

/**
 * The record that a consumer does not get past.
 * @param {Consumer} consumer
 */
export function failingOf({ failing }) {
  if (failing === null) return "–";
  const { seq, attempts, error } = failing;
  return [t("{seq}, after {attempts} attempts", { seq, attempts }), error === null ? null : h("small", {}, error)];
}

/** @param {string} prefix */
function chooser(prefix) {
  const name = h("input", { type: "text", value: prefix, autocomplete: "off" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("consumers", { prefix: name.value });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    field(t("Names that begin with"), name),
    h("button", { type: "submit" }, t("Show")),
  );
}

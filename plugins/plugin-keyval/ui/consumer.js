// @ts-check
/**
 * One consumer: its position, what comes next, and what it could not process.
 */
import { ApiError, api } from "../.well-known/buntime/ui/api.js";
import { ask, field, sendingForm } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { failingOf } from "./consumers.js";
import { keyText } from "./key.js";
import { chips } from "./keyfield.js";
import { firstPrefix, limitedTo, mayKey, mayNamed } from "./rights.js";
import { changeTable } from "./streams.js";

/** @typedef {import("./consumers.js").Consumer} Consumer */
/** @typedef {{record: import("./streams.js").Change, error: string | null, attempts: number, failedAt: number, requeued: boolean}} Letter */

const LOOK_SECONDS = 3;
const SHOWN = 20;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openConsumer({ query, signal, somebody }) {
  const name = query.get("name") ?? "";
  if (!mayNamed(somebody, "consume", name)) return limitedTo(somebody, "consume");
  const after = query.get("after");
  const path = `consumers/${encodeURIComponent(name)}`;
  const prefix = firstPrefix(somebody) || null;
  const readsAll = mayKey(somebody, "read", []);
  const shown = refreshed(draw, LOOK_SECONDS, signal);

  async function draw() {
    /** @type {Consumer} */
    let consumer;
    try {
      consumer = await api(path, { signal });
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return h("p", {}, t("There is no such consumer"));
      throw error;
    }
    const letters = readsAll ? (await api(`${path}/dead`, { query: { after, limit: SHOWN }, signal })).letters : null;
    return [facts(consumer), h("h2", {}, t("What comes next")), await next(), ...(letters === null ? [] : dead(letters))];
  }

  /** What it would be given next; nobody takes it by that. */
  async function next() {
    try {
      const { records } = await api(`${path}/peek`, { query: { limit: SHOWN, prefix }, signal });
      return changeTable(records, t("It is up to date"));
    } catch (error) {
      // Trimmed away, or not for who looks: the rest of the page holds.
      if (error instanceof ApiError && [403, 410].includes(error.status)) return h("p", { class: "problem" }, error.message);
      throw error;
    }
  }

  /**
   * @param {Letter[]} letters
   * @returns {Node[]}
   */
  function dead(letters) {
    const all = h("button", { type: "button", onclick: () => void work(() => requeue(null)) }, t("Deliver all again"));
    const last = letters.length === SHOWN ? String(letters[SHOWN - 1].record.seq) : null;
    return [
      h("h2", {}, t("Dead letters")),
      table(
        t("Dead letters"),
        [
          { title: t("Position"), heads: true, numeric: true, cell: ({ record }) => record.seq },
          { title: t("Key"), cell: ({ record }) => h("a", { href: addressOf("entry", { key: keyText(record.key) }) }, chips(record.key)) },
          { title: t("Error"), cell: ({ error }) => error ?? "–" },
          { title: t("Attempts"), numeric: true, cell: ({ attempts }) => attempts },
          { title: t("Failed at"), cell: ({ failedAt }) => when(failedAt) },
          { title: t("Actions"), cell: (letter) => actions(letter) },
        ],
        letters,
        t("No dead letters"),
      ),
      h(
        "div",
        { class: "toolbar" },
        letters.length > 0 ? all : null,
        after ? h("a", { class: "button", href: addressOf("consumer", { name }) }, t("First page")) : null,
        last ? h("a", { class: "button", href: addressOf("consumer", { name, after: last }) }, t("Next page")) : null,
      ),
    ];
  }

  /** @param {Letter} letter */
  function actions({ record, requeued }) {
    const { seq } = record;
    return [
      requeued
        ? h("span", { class: "badge" }, t("comes again"))
        : h("button", { type: "button", "aria-label": t("Deliver again: {seq}", { seq }), onclick: () => void work(() => requeue(seq)) }, t("Deliver again")),
      " ",
      h("button", { type: "button", "aria-label": t("Delete {seq}", { seq }), onclick: () => void work(() => api(`${path}/dead`, { method: "DELETE", query: { seq } })) }, t("Delete")),
    ];
  }

  /** @param {number | null} seq null for all */
  async function requeue(seq) {
    const { requeued } = await api(`${path}/dead`, { method: "POST", json: seq === null ? {} : { seq } });
    say(t("{count} are delivered again", { count: count(requeued) }));
  }

  /** @param {() => Promise<unknown>} change */
  async function work(change) {
    await attempt(change);
    await shown.again();
  }

  async function remove() {
    const isDone = await ask({
      title: t("Forget the consumer {name}?", { name }),
      content: h("p", {}, t("Its position and its dead letters are gone then; one of that name begins anew.")),
      action: t("Forget"),
      dangerous: true,
      submit: async () => void (await api(path, { method: "DELETE" })),
    });
    if (isDone) await go("consumers", {}, { replaces: true });
  }

  return h(
    "div",
    { class: "stack" },
    h("p", {}, h("code", {}, name)),
    shown.element,
    placing(path, shown.again, signal),
    h("div", {}, h("button", { type: "button", class: "danger", onclick: () => void remove() }, t("Forget"))),
    h("p", {}, h("a", { href: addressOf("consumers") }, t("All consumers"))),
  );
}

/** @param {Consumer} consumer */
function facts(consumer) {
  /** @type {[string, import("../.well-known/buntime/ui/dom.js").Child][]} */
  const known = [
    [t("Position"), count(consumer.position)],
    [t("Changes behind it"), count(consumer.lag)],
    [t("Owner"), consumer.owner ?? "–"],
    [t("Until"), when(consumer.until)],
    [t("Last heard of"), when(consumer.updatedAt)],
    [t("Does not get past"), failingOf(consumer)],
  ];
  return h(
    "dl",
    { class: "cards small" },
    known.map(([title, content]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, content))),
  );
}

/**
 * A form that has a consumer go on behind another record.
 * @param {string} path
 * @param {() => Promise<void>} again
 * @param {AbortSignal} signal
 */
function placing(path, again, signal) {
  const seq = h("input", { type: "number", min: 0, required: true });
  const submit = async (/** @type {() => void} */ forget) => {
    await api(`${path}/position`, { method: "PUT", json: { seq: Number(seq.value) } });
    forget();
    say(t("It goes on behind {seq}", { seq: seq.value }));
    await again();
  };
  return sendingForm("row", signal, submit, (problem) => [
    field(t("Go on behind the position"), seq, t("Who has it has to fetch again; 0 is the beginning")),
    h("button", { type: "submit" }, t("Set")),
    problem,
  ]);
}

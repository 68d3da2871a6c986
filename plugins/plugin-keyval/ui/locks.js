// @ts-check
/**
 * Locks: who has them, until when, and how many wait.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { firstName, limitedTo, mayNamed } from "./rights.js";

/** @typedef {{name: string, owner: string, token: string, acquiredAt: number, expiresAt: number, metadata: unknown, waiting: number}} Lock */

const LOOK_SECONDS = 2;
const MOST = 200;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openLocks({ query, signal, somebody }) {
  const prefix = query.get("prefix") ?? firstName(somebody, "lock");
  const shown = mayNamed(somebody, "lock", prefix) ? refreshed(draw, LOOK_SECONDS, signal) : null;

  async function draw() {
    const { locks } = await api("locks", { query: { prefix: prefix || null, limit: MOST }, signal });
    return drawn(locks, async () => void (await shown?.again()));
  }

  return h("div", { class: "stack" }, chooser(prefix), shown === null ? limitedTo(somebody, "lock") : shown.element);
}

/** @param {string} prefix */
function chooser(prefix) {
  const name = h("input", { type: "text", value: prefix, autocomplete: "off" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("locks", { prefix: name.value });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    field(t("Names that begin with"), name),
    h("button", { type: "submit" }, t("Show")),
  );
}

/**
 * @param {Lock[]} locks
 * @param {() => Promise<void>} again
 */
function drawn(locks, again) {
  return table(
    t("Locks"),
    [
      { title: t("Lock"), heads: true, cell: ({ name }) => h("code", {}, name) },
      { title: t("Owner"), cell: ({ owner }) => owner },
      { title: t("Since"), cell: ({ acquiredAt }) => when(acquiredAt) },
      { title: t("Until"), cell: ({ expiresAt }) => when(expiresAt) },
      { title: t("Waiting"), numeric: true, cell: ({ waiting }) => count(waiting) },
      { title: t("Metadata"), cell: ({ metadata }) => (metadata === null ? "" : h("code", { class: "cut" }, JSON.stringify(metadata))) },
      {
        title: "",
        cell: (/** @type {Lock} */ lock) =>
          h("button", { type: "button", onclick: () => void release(lock, again) }, t("Release")),
      },
    ],
    locks,
    t("Nobody has a lock"),
  );
}

/**
 * @param {Lock} lock
 * @param {() => Promise<void>} again
 */
async function release({ name, owner, token }, again) {
  const isDone = await ask({
    title: t("Release the lock {name}?", { name }),
    content: h("p", {}, t("{owner} may still be at work: whoever gets it next works at the same time.", { owner })),
    action: t("Release"),
    dangerous: true,
    submit: async () => {
      const path = `locks/${encodeURIComponent(name)}/release`;
      const { released } = await api(path, { method: "POST", json: { owner, token } });
      return released ? null : t("Somebody else has it by now, or nobody");
    },
  });
  if (isDone) await again();
}

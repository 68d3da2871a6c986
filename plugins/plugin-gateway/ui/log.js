// @ts-check
/**
 * The newest requests of the host, with their answers.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { mayReset } from "./rights.js";

/** @typedef {{id: string, timestamp: number, ip: string, method: string, path: string, status: number, duration: number, rateLimited: boolean}} Logged `duration` in milliseconds */
/** @typedef {{total: number, rateLimited: number, byStatus: Record<string, number>, avgDuration: number}} Statistics */

const MOST = 5000;
const LIMITED = "limited";

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openLog({ query, signal, somebody }) {
  const show = query.get("show") ?? "";
  const ip = query.get("ip") ?? "";
  const which = {
    ip: ip || null,
    rateLimited: show === LIMITED ? "true" : null,
    statusRange: show === LIMITED || show === "" ? null : show,
  };
  /** @type {[Logged[], Statistics]} */
  const [logged, statistics] = await Promise.all([
    api("logs", { query: { limit: MOST, ...which }, signal }),
    api("logs/stats", { signal }),
  ]);
  const clear = async () => {
    const isDone = await ask({
      title: t("Forget the log?"),
      action: t("Forget"),
      dangerous: true,
      submit: async () => void (await api("logs", { method: "DELETE" })),
    });
    if (isDone) await go("log", { show, ip }, { replaces: true });
  };
  return h(
    "div",
    { class: "stack" },
    chooser(show, ip),
    h("p", { class: "hint" }, summary(statistics)),
    logTable(logged),
    mayReset(somebody) ? h("div", {}, h("button", { type: "button", class: "danger", onclick: () => void clear() }, t("Forget the log"))) : null,
  );
}

/**
 * @param {string} show
 * @param {string} ip
 */
function chooser(show, ip) {
  /** @type {[string, string][]} */
  const choices = [
    ["", t("all")],
    [LIMITED, t("refused by a limit")],
    ...["2", "3", "4", "5"].map((digit) => /** @type {[string, string]} */ ([digit, `${digit}xx`])),
  ];
  const chosen = h("select", {}, choices.map(([value, text]) => h("option", { value, selected: value === show }, text)));
  const address = h("input", { value: ip, autocomplete: "off", spellcheck: "false" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("log", { show: chosen.value, ip: address.value.trim() });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    field(t("Answers"), chosen),
    field(t("Address"), address, t("Of the client; empty for all")),
    h("button", { type: "submit", class: "primary" }, t("Show")),
  );
}

/** @param {Statistics} statistics */
function summary({ total, rateLimited, byStatus, avgDuration }) {
  const kinds = Object.entries(byStatus).map(([kind, number]) => `${kind}: ${count(number)}`);
  return [
    t("{count} requests are kept, {refused} of them refused by a limit", { count: count(total), refused: count(rateLimited) }),
    ...kinds,
    t("{time} ms on average", { time: count(avgDuration) }),
  ].join(" · ");
}

/** @param {readonly Logged[]} logged the newest first */
export function logTable(logged) {
  return table(
    t("Requests"),
    [
      { title: t("Time"), cell: ({ timestamp }) => when(timestamp) },
      { title: t("Request"), heads: true, cell: ({ method, path }) => h("code", {}, `${method} ${path}`) },
      {
        title: t("Answer"),
        numeric: true,
        cell: ({ status, rateLimited }) => [status, rateLimited ? h("small", {}, t("refused by a limit")) : null],
      },
      { title: t("Time, ms"), numeric: true, cell: ({ duration }) => count(duration) },
      { title: t("Address"), cell: ({ ip }) => ip },
    ],
    logged,
    t("No requests"),
  );
}

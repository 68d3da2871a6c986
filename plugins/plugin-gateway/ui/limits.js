// @ts-check
/**
 * Limits: what they are, and how much of them each client has left.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, span, when } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { share } from "./counts.js";
import { limitText } from "./overview.js";
import { mayReset } from "./rights.js";

/** @typedef {{key: string, tokens: number, retryAfter: number, lastActivity: number}} Bucket `retryAfter` in seconds */

const LOOK_SECONDS = 5;
const SHOWN = 200;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openLimits({ signal, somebody }) {
  const { rateLimit } = await api("config", { signal });
  if (rateLimit === null) return h("p", {}, t("There are no limits. The option rateLimit of plugin-gateway makes some."));
  const mayChange = mayReset(somebody);
  const shown = refreshed(draw, LOOK_SECONDS, signal);

  async function draw() {
    const [counts, buckets] = await Promise.all([
      api("rate-limit/metrics", { signal }),
      api("rate-limit/buckets", { query: { limit: SHOWN }, signal }),
    ]);
    return [numbers(counts), clients(buckets, mayChange ? forget : null)];
  }

  /** @param {string} key */
  async function forget(key) {
    await attempt(async () => {
      await api(`rate-limit/buckets/${encodeURIComponent(key)}`, { method: "DELETE" });
      say(t("{client} begins anew", { client: key }));
    });
    await shown.again();
  }

  async function clear() {
    const isDone = await ask({
      title: t("Let all clients begin anew?"),
      action: t("Begin anew"),
      dangerous: true,
      submit: async () => {
        const { cleared } = await api("rate-limit/clear", { method: "POST" });
        say(t("{count} clients begin anew", { count: count(cleared) }));
      },
    });
    if (isDone) await shown.again();
  }

  return h(
    "div",
    { class: "stack" },
    h("p", {}, limitText(rateLimit)),
    shown.element,
    mayChange ? h("div", {}, h("button", { type: "button", class: "danger", onclick: () => void clear() }, t("Let all begin anew"))) : null,
  );
}

/** @param {import("./counts.js").Counts} counts */
function numbers(counts) {
  /** @type {[string, string][]} */
  const shown = [
    [t("Requests"), count(counts.totalRequests)],
    [t("Let pass"), count(counts.allowedRequests)],
    [t("Refused"), `${count(counts.blockedRequests)} (${count(share(counts))} %)`],
    [t("Clients that are counted"), count(counts.activeBuckets)],
  ];
  return h(
    "dl",
    { class: "cards" },
    shown.map(([title, text]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, text))),
  );
}

/**
 * @param {Bucket[]} buckets
 * @param {((key: string) => Promise<void>) | null} forget
 */
function clients(buckets, forget) {
  /** @type {import("../.well-known/buntime/ui/table.js").Column<Bucket>[]} */
  const columns = [
    { title: t("Client"), heads: true, cell: ({ key }) => h("code", {}, key) },
    { title: t("Left"), numeric: true, cell: ({ tokens }) => count(tokens) },
    { title: t("Next one in"), cell: ({ retryAfter }) => (retryAfter > 0 ? span(retryAfter * 1000) : "–") },
    { title: t("Asked last"), cell: ({ lastActivity }) => when(lastActivity) },
  ];
  if (forget !== null) {
    columns.push({
      title: t("Actions"),
      cell: ({ key }) =>
        h("button", { type: "button", "aria-label": t("Let {client} begin anew", { client: key }), onclick: () => void forget(key) }, t("Begin anew")),
    });
  }
  return table(t("Clients"), columns, buckets, t("Every client has its whole limit"));
}

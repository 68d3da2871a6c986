// @ts-check
/**
 * Overview: what of the gateway is on, what it does just now and did in the last hour.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { History, sparkline } from "../.well-known/buntime/ui/chart.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { share } from "./counts.js";
import { follow } from "./events.js";
import { history } from "./history.js";
import { logTable } from "./log.js";
import { mayReset } from "./rights.js";

/**
 * @typedef {object} Stats what `/stats` says
 * @property {{enabled: boolean, config: LimitConfig | null}} rateLimit
 * @property {{enabled: boolean, config: CorsConfig | null}} cors
 * @property {{enabled: boolean, entries: number}} cache
 * @property {{enabled: boolean, encodings: string[]}} compression
 * @property {{enabled: boolean, dir: string | null, excludesCount: number}} shell
 */
/** @typedef {{requests: number, window: string, keyBy: string}} LimitConfig */
/** @typedef {{origin: string[], credentials: boolean, methods: string[], maxAge: number}} CorsConfig */
/** @typedef {{title: string, isOn: boolean, says: string}} Part */

const NEWEST = 5;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openOverview({ signal, somebody }) {
  /** @type {Stats} */
  const stats = await api("stats", { signal });
  const state = h("span", { class: "badge", role: "status" }, t("connecting"));
  const cards = h("dl", { class: "cards" });
  const newest = h("div", {});
  const draw = counters();
  void follow(
    (told) => {
      if (told.rateLimit !== null) fill(cards, draw(told.rateLimit.metrics));
      fill(newest, logTable(told.recentLogs.slice(0, NEWEST)));
    },
    (isConnected) => fill(state, isConnected ? t("live") : t("connecting")),
    signal,
  );
  return h(
    "div",
    { class: "stack" },
    h("div", {}, state),
    stats.rateLimit.enabled ? cards : null,
    table(
      t("What is on"),
      [
        { title: t("Part"), heads: true, cell: ({ title }) => title },
        { title: t("State"), cell: ({ isOn }) => h("span", { class: isOn ? "badge good" : "badge" }, isOn ? t("on") : t("off")) },
        { title: t("As configured"), cell: ({ isOn, says }) => (isOn ? says : "–") },
      ],
      parts(stats),
    ),
    history(mayReset(somebody), signal),
    h("section", { class: "stack" }, h("h2", {}, t("The newest requests")), newest),
  );
}

/** @param {Stats} stats @returns {Part[]} */
function parts({ rateLimit, cors, cache, compression, shell }) {
  return [
    { title: t("Limits"), isOn: rateLimit.enabled, says: rateLimit.config ? limitText(rateLimit.config) : "" },
    { title: t("Pages of other origins"), isOn: cors.enabled, says: cors.config ? corsText(cors.config) : "" },
    { title: t("Kept answers"), isOn: cache.enabled, says: t("{count} answers are kept", { count: count(cache.entries) }) },
    { title: t("Smaller answers"), isOn: compression.enabled, says: compression.encodings.join(", ") },
    { title: t("Shell"), isOn: shell.enabled, says: t("{folder}, but for {count} segments", { folder: shell.dir ?? "", count: count(shell.excludesCount) }) },
  ];
}

/**
 * A limit, as people read it.
 * @param {LimitConfig} config
 */
export function limitText({ requests, window, keyBy }) {
  return t("{requests} in {window} for each {keyBy}", { requests: count(requests), window, keyBy });
}

/** @param {CorsConfig} config */
function corsText({ origin, credentials, methods, maxAge }) {
  const who = t("{origins}: {methods}, remembered for {seconds} s", { origins: origin.join(", "), methods: methods.join(", "), seconds: count(maxAge) });
  return credentials ? t("{what}, with the cookie of the host", { what: who }) : who;
}

/** Draws counts with the history of each, which it keeps. */
function counters() {
  const kept = [new History(), new History(), new History(), new History()];
  /** @type {import("./counts.js").Counts | null} */
  let before = null;

  /** @param {import("./counts.js").Counts} now */
  return (now) => {
    const last = before ?? now;
    before = now;
    const values = [
      now.totalRequests - last.totalRequests,
      now.blockedRequests - last.blockedRequests,
      share(now),
      now.activeBuckets,
    ];
    values.forEach((value, at) => kept[at].add(value));
    const titles = [t("Requests per second"), t("Refused per second"), t("Refused since the start"), t("Clients that are counted")];
    return titles.map((title, at) =>
      h(
        "div",
        { class: "card" },
        h("dt", {}, title),
        h("dd", {}, at === 2 ? `${count(values[at])} %` : count(values[at])),
        h("dd", {}, sparkline(kept[at].values, t("{title}, the last values", { title }))),
      ),
    );
  };
}

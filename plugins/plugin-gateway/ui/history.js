// @ts-check
/**
 * What was counted in the last hour, as lines.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { sparkline } from "../.well-known/buntime/ui/chart.js";
import { ask } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { perMinute } from "./counts.js";

const MOST_SNAPSHOTS = 3600;
const LOOK_SECONDS = 30;

/**
 * The section of the history.
 * @param {boolean} mayReset
 * @param {AbortSignal} signal
 */
export function history(mayReset, signal) {
  const shown = refreshed(() => drawn(signal), LOOK_SECONDS, signal);
  const clear = async () => {
    const isDone = await ask({
      title: t("Forget the history?"),
      action: t("Forget"),
      dangerous: true,
      submit: async () => void (await api("metrics/history", { method: "DELETE" })),
    });
    if (isDone) await shown.again();
  };
  return h(
    "section",
    { class: "stack", "aria-label": t("The last hour") },
    h("h2", {}, t("The last hour")),
    shown.element,
    mayReset ? h("div", {}, h("button", { type: "button", onclick: () => void clear() }, t("Forget the history"))) : null,
  );
}

/** @param {AbortSignal} signal */
async function drawn(signal) {
  /** @type {import("./counts.js").Snapshot[]} */
  const snapshots = await api("metrics/history", { query: { limit: MOST_SNAPSHOTS }, signal });
  if (snapshots.length === 0) return h("p", { class: "hint" }, t("Nothing is kept: it needs plugin-keyval and a limit."));
  const now = Date.now();
  return h(
    "div",
    { class: "cards wide" },
    chart(t("Let pass, in each minute"), perMinute(snapshots, "allowedRequests", now)),
    chart(t("Refused, in each minute"), perMinute(snapshots, "blockedRequests", now)),
  );
}

/**
 * @param {string} title
 * @param {number[]} values
 */
function chart(title, values) {
  const most = count(Math.max(...values));
  return h(
    "figure",
    { class: "card" },
    h("figcaption", {}, title, h("small", {}, t("{most} at the most", { most }))),
    sparkline(values, `${title}: ${t("{most} at the most", { most })}`),
  );
}

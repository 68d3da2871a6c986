// @ts-check
/**
 * The first page: which plugins run, and whether they are well.
 */
import { HOST, hostApi } from "./api.js";
import { fill, h } from "./dom.js";
import { repeat } from "./live.js";
import { openShell } from "./shell.js";
import { table } from "./table.js";
import { t } from "./texts.js";

const LOOK_SECONDS = 10;

/** @typedef {{name: string, base: string | null}} Plugin */
/** @typedef {{ready: boolean, state: string, reason?: string}} Health */

/** @param {import("./shell.js").Opened} opened */
async function open({ signal }) {
  /** @type {Plugin[]} */
  const plugins = await hostApi("plugins/loaded", { asks: false, signal });
  const place = h("div", {}, drawn(plugins, {}));
  const look = async () => {
    fill(place, drawn(plugins, (await readiness(signal)).plugins));
  };
  void repeat(look, LOOK_SECONDS, signal);
  return place;
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<{plugins: Record<string, Health>}>}
 */
async function readiness(signal) {
  const url = new URL("health/ready", HOST);
  return (await fetch(url, { signal, cache: "no-store" })).json(); // 503 tells of it as well
}

/**
 * @param {Plugin[]} plugins
 * @param {Record<string, Health>} health
 */
function drawn(plugins, health) {
  return table(
    t("Plugins"),
    [
      { title: t("Plugin"), heads: true, cell: (plugin) => plugin.name },
      { title: t("Path"), cell: (plugin) => plugin.base ?? "–" },
      { title: t("State"), cell: (plugin) => stateOf(health[plugin.name]) },
    ],
    plugins,
  );
}

/** @param {Health | undefined} health */
function stateOf(health) {
  if (health === undefined) return "…";
  if (health.ready) return h("span", { class: "badge good" }, t("ready"));
  return [h("span", { class: "badge bad" }, t("not ready")), " ", health.reason];
}

await openShell([{ path: "", title: "Plugins", open }]);

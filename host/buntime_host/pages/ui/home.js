// @ts-check
/**
 * The first page: which plugins run, and whether they are well.
 */
import { hostApi } from "./api.js";
import { fill, h } from "./dom.js";
import { readiness } from "./health.js";
import { repeat } from "./live.js";
import { openShell } from "./shell.js";
import { table } from "./table.js";
import { t } from "./texts.js";

const LOOK_SECONDS = 10;

/** @typedef {{name: string, base: string | null}} Plugin */
/** @typedef {import("./health.js").Health} Health */

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

// @ts-check
/**
 * Plugins: what became of each, and what it brings.
 */
import { HOST, hostApi } from "./api.js";
import { h } from "./dom.js";
import { span } from "./format.js";
import { readiness } from "./health.js";
import { refreshed } from "./refreshed.js";
import { addressOf } from "./shell.js";
import { table } from "./table.js";
import { t } from "./texts.js";

/**
 * @typedef {object} Plugin as `/plugins/status` has it
 * @property {string} name
 * @property {string} version
 * @property {string} state
 * @property {string | null} reason why it does not run
 * @property {string | null} base
 * @property {string} source
 * @property {string} path
 * @property {string[]} dependencies
 * @property {string[]} optionalDependencies
 * @property {string[]} hooks
 * @property {string | null} provides
 * @property {string[]} routes
 * @property {number | null} initMs
 */
/** @typedef {import("./health.js").Health} Health */

const LOOK_SECONDS = 10;

/** @param {import("./shell.js").Opened} opened */
export async function openPlugins({ query, signal }) {
  const name = query.get("name");
  if (name !== null) return one(name, signal);
  const shown = refreshed(async () => {
    const [plugins, { plugins: health }] = await Promise.all([hostApi("plugins/status", { signal }), readiness(signal)]);
    return all(plugins, health);
  }, LOOK_SECONDS, signal);
  return shown.element;
}

/**
 * @param {Plugin[]} plugins
 * @param {Record<string, Health>} health
 */
function all(plugins, health) {
  return table(
    t("Plugins"),
    [
      { title: t("Plugin"), heads: true, cell: ({ name }) => h("a", { href: addressOf("plugins", { name }) }, name) },
      { title: t("Version"), cell: ({ version }) => version },
      { title: t("State"), cell: (plugin) => stateOf(plugin, health[plugin.name]) },
      { title: t("Path"), cell: ({ base }) => base ?? "–" },
      { title: t("Found by"), cell: ({ source }) => source || "–" },
    ],
    plugins,
  );
}

/**
 * @param {Plugin} plugin
 * @param {Health | undefined} health of those that run
 */
function stateOf({ state, reason }, health) {
  const isWell = state === "loaded" && health?.ready !== false;
  const isOff = state === "disabled" || state === "excluded";
  const why = reason ?? health?.reason ?? null;
  return [
    h("span", { class: isWell ? "badge good" : isOff ? "badge" : "badge bad" }, state === "loaded" && !isWell ? t("not ready") : state),
    why === null ? null : h("small", {}, why),
  ];
}

/**
 * @param {string} name
 * @param {AbortSignal} signal
 */
async function one(name, signal) {
  /** @type {Plugin[]} */
  const plugins = await hostApi("plugins/status", { signal });
  const plugin = plugins.find((other) => other.name === name);
  const back = h("p", {}, h("a", { href: addressOf("plugins") }, t("All plugins")));
  if (plugin === undefined) return h("div", { class: "stack" }, h("p", {}, t("There is no such plugin")), back);
  const { base, state, initMs, provides } = plugin;
  const page = base === null || state !== "loaded" ? (base ?? "–") : h("a", { href: new URL(`.${base}/`, HOST).href }, base);
  /** @type {[string, import("./dom.js").Child][]} */
  const facts = [
    [t("State"), stateOf(plugin, undefined)],
    [t("Version"), plugin.version],
    [t("Path"), page],
    [t("Found by"), plugin.source || "–"],
    [t("Folder"), h("code", {}, plugin.path)],
    [t("Time of its start"), initMs === null ? "–" : span(initMs)],
    [t("Service that others may use"), provides === null ? "–" : h("code", {}, provides)],
    [t("Needs"), plugin.dependencies.join(", ") || "–"],
    [t("Uses, if there"), plugin.optionalDependencies.join(", ") || "–"],
    [t("Hooks"), plugin.hooks.join(", ") || "–"],
  ];
  return h(
    "div",
    { class: "stack" },
    h("h2", {}, plugin.name),
    h(
      "dl",
      { class: "cards small" },
      facts.map(([title, content]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, content))),
    ),
    table(t("Routes"), [{ title: t("Routes"), heads: true, cell: (path) => h("code", {}, path) }], plugin.routes, t("It tells of none")),
    back,
  );
}

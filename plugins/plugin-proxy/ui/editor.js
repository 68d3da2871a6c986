// @ts-check
/**
 * The editor of a rule.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field, ticked } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { say } from "../.well-known/buntime/ui/notice.js";
import { t } from "../.well-known/buntime/ui/texts.js";

/** @typedef {import("./rules.js").Rule & Record<string, any>} Rule */

/** What is off or on, and what it is where nobody says so. */
const FLAGS = /** @type {const} */ ([
  ["changeOrigin", "The target gets its own name as Host", false],
  ["secure", "The certificate of the target has to be good", true],
  ["ws", "Websockets pass", true],
  ["relativePaths", "Paths in pages become relative", false],
]);

/**
 * Ask for a rule, or for changes of one.
 * @param {import("./rules.js").Rule | null} given
 * @returns {Promise<boolean>} whether it is written
 */
export function editRule(given) {
  const rule = /** @type {Rule | null} */ (given);
  const text = (/** @type {string} */ name) =>
    h("input", { value: rule?.[name] ?? "", autocomplete: "off", spellcheck: "false" });
  const texts = {
    name: text("name"),
    pattern: text("pattern"),
    target: text("target"),
    rewrite: text("rewrite"),
    base: text("base"),
  };
  const headers = lines(Object.entries(rule?.headers ?? {}).map(([name, value]) => `${name}: ${value}`));
  const open = lines(routeLines(rule?.publicRoutes));
  const replaces = h("input", { checked: rule?.targetPath === "replace" });
  const flags = FLAGS.map(([name, title, usual]) => ({
    name,
    usual,
    title: t(title),
    box: h("input", { checked: rule?.[name] ?? usual }),
  }));
  return ask({
    title: rule ? t("Edit {rule}", { rule: rule.name || rule.pattern }) : t("New rule"),
    content: [
      field(t("Name"), texts.name),
      field(t("Pattern"), texts.pattern, t("A regular expression (RE2) that is looked for in the path, such as ^/app(/.*)$")),
      field(t("Target"), texts.target, t("A URL, such as http://127.0.0.1:3000")),
      field(t("Rewrite"), texts.rewrite, t("The path for the target; $1 is the first group of the pattern")),
      ticked(t("The path of the target is left out"), replaces),
      field(t("Base"), texts.base, t("Pages get it as their base")),
      field(t("Headers"), headers, t("One a line: Name: value")),
      field(t("Open to everybody"), open, t("Paths that need no key, one a line: GET /app/public/**")),
      ...flags.map(({ title, box }) => ticked(title, box)),
    ],
    action: t("Save"),
    wide: true,
    submit: async () => {
      // null is what a rule has where nobody says anything.
      const members = {
        ...Object.fromEntries(Object.entries(texts).map(([name, input]) => [name, input.value.trim() || null])),
        headers: readHeaders(headers.value),
        publicRoutes: readRoutes(open.value),
        targetPath: replaces.checked ? "replace" : null,
        ...Object.fromEntries(flags.map(({ name, box, usual }) => [name, box.checked === usual ? null : box.checked])),
      };
      if (rule) await api(`rules/${encodeURIComponent(rule.id)}`, { method: "PUT", json: members });
      else await api("rules", { method: "POST", json: withoutNulls(members) });
      say(t("The rule is written"));
    },
  });
}

/** @param {string[]} texts */
function lines(texts) {
  return h("textarea", { rows: 3, class: "short", spellcheck: "false", value: texts.join("\n") });
}

/**
 * Public routes as lines: a method and a path, or the path alone.
 * @param {string[] | Record<string, string[]> | null | undefined} routes
 * @returns {string[]}
 */
function routeLines(routes) {
  if (Array.isArray(routes)) return routes;
  return Object.entries(routes ?? {}).flatMap(([method, paths]) => paths.map((path) => `${method} ${path}`));
}

/**
 * Public routes of such lines; null for none. A path alone is for every method.
 * @param {string} text
 * @returns {Record<string, string[]> | null}
 */
function readRoutes(text) {
  /** @type {Record<string, string[]>} */
  const routes = {};
  for (const line of linesOf(text)) {
    const [method, path] = line.startsWith("/") ? ["ALL", line] : line.split(/\s+/, 2);
    if (!path) throw new SyntaxError(t("A line has a method and a path: {line}", { line }));
    (routes[method.toUpperCase()] ??= []).push(path);
  }
  return Object.keys(routes).length > 0 ? routes : null;
}

/**
 * Headers of lines; null for none.
 * @param {string} text
 * @returns {Record<string, string> | null}
 */
function readHeaders(text) {
  const headers = linesOf(text).map((line) => {
    const at = line.indexOf(":");
    if (at < 1) throw new SyntaxError(t("A line has a name and a value: {line}", { line }));
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
  return headers.length > 0 ? Object.fromEntries(headers) : null;
}

/** @param {string} text */
function linesOf(text) {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

/** @param {Record<string, unknown>} members */
function withoutNulls(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

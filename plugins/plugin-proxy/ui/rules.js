// @ts-check
/**
 * The rules, in the order in which they are looked at, and where a path would lead.
 */
import { may, whoIsIt } from "../.well-known/buntime/ui/access.js";
import { api } from "../.well-known/buntime/ui/api.js";
import { ask } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { editRule } from "./editor.js";
import { tester } from "./tester.js";

/**
 * @typedef {object} Rule as the API has it
 * @property {string} id
 * @property {string} [name]
 * @property {string} pattern
 * @property {string} target
 * @property {boolean} enabled
 * @property {boolean} readonly whether it is of the configuration
 */

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openRules({ signal }) {
  const place = h("div", {});
  const draw = async () => {
    /** @type {Rule[]} */
    const rules = await api("rules", { signal });
    fill(place, ruleTable(rules, await mayChange(), work));
  };
  const work = async (/** @type {() => Promise<unknown>} */ change) => {
    await attempt(async () => {
      if ((await change()) !== false) await draw();
    });
  };
  await draw();
  const add = h("button", { type: "button", class: "primary", onclick: () => void work(() => editRule(null)) }, t("New rule"));
  return h("div", { class: "stack" }, (await mayChange()) ? h("div", { class: "toolbar" }, add) : null, place, tester());
}

/** Whether who looks at the page may change rules. */
async function mayChange() {
  return may(await whoIsIt(), "proxy", "admin");
}

/**
 * @param {Rule[]} rules
 * @param {boolean} mayChange
 * @param {(change: () => Promise<unknown>) => Promise<void>} work
 */
function ruleTable(rules, mayChange, work) {
  const ours = rules.filter(({ readonly }) => !readonly);
  return table(
    t("Rules"),
    [
      { title: t("Rule"), heads: true, cell: (rule) => [h("code", {}, rule.pattern), rule.name ? h("small", {}, rule.name) : null] },
      { title: t("Target"), cell: ({ target }) => h("code", {}, target) },
      { title: t("State"), cell: (rule) => stateOf(rule, mayChange, work) },
      ...(mayChange ? [{ title: t("Actions"), cell: (/** @type {Rule} */ rule) => actionsOf(rule, ours, work) }] : []),
    ],
    rules,
    t("No rules"),
  );
}

/**
 * @param {Rule} rule
 * @param {boolean} mayChange
 * @param {(change: () => Promise<unknown>) => Promise<void>} work
 */
function stateOf(rule, mayChange, work) {
  if (rule.readonly) return h("span", { class: "badge" }, t("of the configuration"));
  if (!mayChange) return h("span", { class: "badge" }, rule.enabled ? t("in force") : t("off"));
  const box = h("input", {
    type: "checkbox",
    checked: rule.enabled,
    onchange: () => void work(() => api(`rules/${encodeURIComponent(rule.id)}/toggle`, { method: "PATCH" })),
  });
  return h("label", { class: "ticked" }, box, " ", t("in force"));
}

/**
 * @param {Rule} rule
 * @param {Rule[]} ours those that can be moved, in their order
 * @param {(change: () => Promise<unknown>) => Promise<void>} work
 */
function actionsOf(rule, ours, work) {
  if (rule.readonly) return null;
  const named = { rule: rule.name || rule.pattern };
  const at = ours.indexOf(rule);
  const move = (/** @type {number} */ by) => {
    const ids = ours.map(({ id }) => id);
    [ids[at], ids[at + by]] = [ids[at + by], ids[at]];
    return api("rules/reorder", { method: "PUT", json: { ids } });
  };
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => Promise<unknown>} */ change, disabled = false) =>
    h("button", { type: "button", "aria-label": label, disabled, onclick: () => void work(change) }, text);
  return [
    button("↑", t("Move {rule} up", named), () => move(-1), at === 0),
    button("↓", t("Move {rule} down", named), () => move(1), at === ours.length - 1),
    button(t("Edit"), t("Edit {rule}", named), () => editRule(rule)),
    button(t("Delete"), t("Delete {rule}", named), () => removed(rule, named)),
  ];
}

/**
 * @param {Rule} rule
 * @param {{rule: string}} named
 */
function removed(rule, named) {
  return ask({
    title: t("Delete {rule}", named),
    content: h("p", {}, t("Its paths are nobody's then, or another rule's.")),
    action: t("Delete"),
    dangerous: true,
    submit: async () => {
      await api(`rules/${encodeURIComponent(rule.id)}`, { method: "DELETE" });
      say(t("{rule} is deleted", named));
    },
  });
}

// @ts-check
/**
 * Keys on a page: how they are shown, and a field to type one.
 */
import { field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { keyText, makePart, parseKey, textOf, typeOf, visible } from "./key.js";

/** @typedef {import("./key.js").Key} Key */

const TYPES = ["string", "number", "bigint", "boolean", "bytes"];

/**
 * The parts of a key, each with its type where that is no text.
 * @param {Key} key
 */
export function chips(key) {
  return key.map(chip);
}

/** @param {import("./key.js").Part} part */
export function chip(part) {
  const type = typeOf(part);
  const shown = type === "string" ? visible(JSON.stringify(textOf(part))) : textOf(part);
  return h(
    "span",
    { class: `chip ${type}`, title: type },
    shown,
    type === "string" || type === "number" ? null : h("small", {}, ` ${type}`),
  );
}

/**
 * @typedef {object} KeyField
 * @property {HTMLElement} element
 * @property {HTMLInputElement} input
 * @property {() => Key} read raises an `Error` that says what is wrong
 */

/**
 * A field for a key, which shows how it is understood while it is typed.
 * @param {string} label
 * @param {string} text what it begins with
 * @param {{builds?: boolean}} [how] whether it has a way to add parts of any type
 * @returns {KeyField}
 */
export function keyField(label, text, { builds = false } = {}) {
  const input = h("input", { type: "text", class: "mono", value: text, autocomplete: "off", spellcheck: "false" });
  const shown = h("div", { class: "understood", "aria-live": "polite" });

  function show() {
    try {
      fill(shown, chips(parseKey(input.value)));
      input.removeAttribute("aria-invalid");
    } catch (error) {
      fill(shown, h("span", { class: "problem" }, error instanceof Error ? error.message : ""));
      input.setAttribute("aria-invalid", "true");
    }
  }

  input.addEventListener("input", show);
  show();
  const element = h(
    "div",
    { class: "stack tight" },
    field(label, input, t('As users/1, or as ["users", 1]')),
    shown,
    builds ? builder(input, show) : null,
  );
  return { element, input, read: () => parseKey(input.value) };
}

/**
 * What adds a part of any type to a key.
 * @param {HTMLInputElement} input
 * @param {() => void} show
 */
function builder(input, show) {
  const type = h("select", {}, TYPES.map((name) => h("option", { value: name }, name)));
  const text = h("input", { type: "text", class: "mono", autocomplete: "off" });
  const problem = h("p", { class: "problem", role: "alert" });

  function add() {
    try {
      const key = [...parseKey(input.value), makePart(type.value, text.value)];
      input.value = keyText(key);
      text.value = "";
      problem.textContent = "";
      show();
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : "";
    }
  }

  return h(
    "details",
    {},
    h("summary", {}, t("Add a part of another type")),
    h(
      "div",
      { class: "row" },
      field(t("Type"), type),
      field(t("Part"), text, t("Bytes as base64")),
      h("button", { type: "button", onclick: add }, t("Add")),
    ),
    problem,
  );
}

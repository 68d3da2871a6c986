// @ts-check
/**
 * A field for JSON, which says where it is wrong.
 */
import { field } from "../.well-known/buntime/ui/dialog.js";
import { h, newId } from "../.well-known/buntime/ui/dom.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { pretty, problemOf } from "./json.js";

/**
 * @typedef {object} ValueField
 * @property {HTMLElement} element
 * @property {HTMLTextAreaElement} area
 * @property {() => string} read the text; raises `JsonProblem`, with the caret at its place
 */

/**
 * @param {string} label
 * @param {string} text JSON, or nothing
 * @param {{rows?: number, optional?: boolean, readonly?: boolean}} [how] an optional one may be empty
 * @returns {ValueField}
 */
export function valueField(label, text, { rows = 10, optional = false, readonly = false } = {}) {
  const area = h("textarea", { rows, spellcheck: "false", readonly, value: text });
  const problem = h("p", { class: "problem", role: "status", id: newId() });

  function look() {
    const isFine = optional && area.value.trim() === "";
    const found = isFine ? null : problemOf(area.value);
    problem.textContent = found?.message ?? "";
    if (found === null) area.removeAttribute("aria-invalid");
    else area.setAttribute("aria-invalid", "true");
    return found;
  }

  area.addEventListener("input", look);
  const tidy = h("button", { type: "button", class: "plain", onclick: format }, t("Format"));

  function format() {
    if (area.value.trim() !== "" && look() === null) area.value = pretty(area.value);
  }

  return {
    element: h("div", { class: "stack tight" }, field(label, area), problem, readonly ? null : tidy),
    area,
    read() {
      const found = look();
      if (found === null) return area.value.trim();
      area.focus();
      area.setSelectionRange(found.at, Math.min(found.at + 1, area.value.length));
      throw found;
    },
  };
}

// @ts-check
/**
 * A field for JSON, which says where it is wrong.
 */
import { field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h, newId } from "../.well-known/buntime/ui/dom.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { pretty, problemOf } from "./json.js";
import { coloured } from "./shownjson.js";

/**
 * @typedef {object} ValueField
 * @property {HTMLElement} element
 * @property {HTMLTextAreaElement} area
 * @property {(text: string) => void} change puts another text in the place of what is there
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

  // The text that is seen lies below the one that is typed, whose own is transparent.
  const below = h("div", { class: "below", "aria-hidden": "true" });
  const colour = () => {
    fill(below, coloured(area.value), "\n");
    follow();
  };
  const follow = () => {
    below.scrollTop = area.scrollTop;
    below.scrollLeft = area.scrollLeft;
  };
  area.addEventListener("input", () => {
    look();
    colour();
  });
  area.addEventListener("scroll", follow);
  colour();
  const tidy = h("button", { type: "button", class: "plain", onclick: format }, t("Format"));

  function format() {
    if (area.value.trim() !== "" && look() === null) change(pretty(area.value));
  }

  /** @param {string} to */
  function change(to) {
    area.value = to;
    colour();
  }

  return {
    element: h("div", { class: "stack tight" }, field(label, area, undefined, h("div", { class: "code" }, below, area)), problem, readonly ? null : tidy),
    area,
    change,
    read() {
      const found = look();
      if (found === null) return area.value.trim();
      area.focus();
      area.setSelectionRange(found.at, Math.min(found.at + 1, area.value.length));
      throw found;
    },
  };
}

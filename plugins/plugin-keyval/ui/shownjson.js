// @ts-check
/**
 * JSON with a colour for each kind of its parts.
 */
import { h } from "../.well-known/buntime/ui/dom.js";
import { beginningOf, pretty } from "./json.js";

const LONGEST = 50_000;
const SHOWN = ["string", "number", "word"];

/**
 * A text as nodes, coloured as far as it is JSON; a long one stays plain.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function coloured(text) {
  if (text.length > LONGEST) return [text];
  /** @type {(Node | string)[]} */
  const nodes = [];
  const tokens = beginningOf(text);
  let place = 0;
  tokens.forEach(({ kind, start, end }, at) => {
    if (!SHOWN.includes(kind)) return;
    const isName = kind === "string" && tokens[at + 1]?.kind === ":";
    nodes.push(text.slice(place, start), h("span", { class: `json-${isName ? "name" : kind}` }, text.slice(start, end)));
    place = end;
  });
  nodes.push(text.slice(place));
  return nodes;
}

/**
 * A value, to be read.
 * @param {string} text JSON
 */
export function shownJson(text) {
  return h("pre", { tabindex: 0 }, coloured(pretty(text)));
}

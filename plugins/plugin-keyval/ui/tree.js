// @ts-check
/**
 * Keys as a tree. A branch is read when it is opened: one small request finds each next part, so
 * it does not matter how many entries are below.
 */
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { attempt } from "../.well-known/buntime/ui/notice.js";
import { addressOf } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { keyText, partBehind } from "./key.js";
import { chip } from "./keyfield.js";
import { countBelow, readPage } from "./store.js";

/** @typedef {import("./key.js").Key} Key */
/** @typedef {import("./key.js").Part} Part */

const BRANCHES = 30;
const COUNTED = 1000;

/**
 * @typedef {object} Branch
 * @property {Key} key
 * @property {boolean} isEntry whether there is an entry of this key
 * @property {number} below how many extend it, as far as they are counted
 */

/**
 * @param {Key} prefix
 * @param {AbortSignal} signal
 */
export async function drawTree(prefix, signal) {
  const list = h("ul", { class: "tree" });
  await grow(list, prefix, null, signal);
  return list;
}

/**
 * Add the next branches to a list.
 * @param {HTMLUListElement} list
 * @param {Key} prefix
 * @param {Part | null} from the first part that may come; null for any
 * @param {AbortSignal} signal
 */
async function grow(list, prefix, from, signal) {
  const { branches, next } = await branchesOf(prefix, from, signal);
  list.append(...branches.map((branch) => drawn(branch, signal)));
  if (next !== null) {
    const more = h("li", {}, h("button", { type: "button", onclick: () => void goOn() }, t("More")));
    const goOn = () =>
      attempt(async () => {
        await grow(list, prefix, next, signal);
        more.remove();
      });
    list.append(more);
  } else if (branches.length === 0 && from === null) {
    list.append(h("li", { class: "hint" }, t("No entries here")));
  }
}

/**
 * The parts that come next behind a prefix.
 * @param {Key} prefix
 * @param {Part | null} from
 * @param {AbortSignal} signal
 */
async function branchesOf(prefix, from, signal) {
  /** @type {Branch[]} */
  const branches = [];
  let next = from;
  while (branches.length < BRANCHES) {
    const start = next === null ? {} : { start: [...prefix, next] };
    const page = await readPage({ prefix, limit: 1, values: false, details: false, ...start }, signal);
    if (page.entries.length === 0) return { branches, next: null };
    const found = page.entries[0].key;
    const key = found.slice(0, prefix.length + 1);
    const below = await countBelow(key, { limit: COUNTED, signal });
    branches.push({ key, below, isEntry: found.length === key.length });
    next = partBehind(key[key.length - 1]);
    if (next === null) return { branches, next };
  }
  return { branches, next };
}

/**
 * @param {Branch} branch
 * @param {AbortSignal} signal
 */
function drawn({ key, isEntry, below }, signal) {
  const part = chip(key[key.length - 1]);
  const name = isEntry ? h("a", { href: addressOf("entry", { key: keyText(key) }) }, part) : part;
  if (below === 0) return h("li", {}, name);
  const inner = h("ul", {});
  const number = below < COUNTED ? count(below) : `${count(COUNTED)}+`;
  const details = h("details", {}, h("summary", {}, name, " ", h("small", { class: "inline" }, number)), inner);
  details.addEventListener("toggle", () => {
    if (details.open && inner.childElementCount === 0) {
      void attempt(() => grow(fill(inner), key, null, signal));
    }
  });
  return h("li", {}, details);
}

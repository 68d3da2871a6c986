// @ts-check
/**
 * What who looks at the pages may do in the store.
 */
import { may, permitted } from "../.well-known/buntime/ui/access.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { addressOf } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { isBelow, parseKey } from "./key.js";

/** @typedef {import("../.well-known/buntime/ui/access.js").Somebody | null} Somebody */

const COVERS = { admin: ["*"], "queue:admin": ["queue:send", "queue:receive"], "task:admin": ["task:send", "task:run"] };

/**
 * Whether somebody may do something to a key and all below it.
 * @param {Somebody} somebody
 * @param {"read" | "write" | "index:admin"} action
 * @param {import("./key.js").Key} key
 */
export function mayKey(somebody, action, key) {
  if (somebody === null) return true; // as below
  const prefixes = permitted(somebody, "keyval", action, COVERS);
  return prefixes === null || prefixes.some((prefix) => isBelow(key, parseKey(prefix)));
}

/**
 * Whether somebody may do something at all.
 * @param {Somebody} somebody
 * @param {string} action
 */
export function mayAny(somebody, action) {
  return may(somebody, "keyval", action, COVERS);
}

/** @typedef {"queue:send" | "queue:admin" | "task:send" | "task:admin" | "schedule" | "consume" | "lock"} Named what is permitted for the beginnings of names */

/**
 * Whether somebody may do something to what has a name; the empty one is for who may do it to all.
 * @param {Somebody} somebody
 * @param {Named} action
 * @param {string} name
 */
export function mayNamed(somebody, action, name) {
  if (somebody === null) return true; // the server asks for a key as soon as it is tried
  const names = permitted(somebody, "keyval", action, COVERS);
  return names === null || (name !== "" && names.some((beginning) => name.startsWith(beginning)));
}

/**
 * The first beginning of names that somebody may do something to; empty for all names.
 * @param {Somebody} somebody
 * @param {Named} action
 */
export function firstName(somebody, action) {
  return permitted(somebody, "keyval", action, COVERS)?.[0] ?? "";
}

/**
 * What stands in the place of what somebody may not see: for which names he may.
 * @param {Somebody} somebody
 * @param {Named} action
 */
export function limitedTo(somebody, action) {
  const names = permitted(somebody, "keyval", action, COVERS) ?? [];
  if (names.length === 0) return h("p", { class: "hint" }, t("This key does not permit to look at it."));
  return h("p", { class: "hint" }, t("This key permits it for names that begin with: {names}", { names: names.join(", ") }));
}

/**
 * What stands in the place of keys that somebody may not read: those that he may, to begin with.
 * @param {Somebody} somebody
 * @param {string} view that shows what is below a prefix
 */
export function readable(somebody, view) {
  const prefixes = permitted(somebody, "keyval", "read", COVERS) ?? [];
  if (prefixes.length === 0) return h("p", { class: "hint" }, t("This key does not permit to look at it."));
  const links = prefixes.map((prefix) => h("li", {}, h("a", { href: addressOf(view, { prefix }) }, h("code", {}, prefix))));
  return h("div", {}, h("p", { class: "hint" }, t("This key permits to look at what is below:")), h("ul", {}, links));
}

/**
 * The first prefix that somebody may read, to begin with; empty for everything.
 * @param {Somebody} somebody
 */
export function firstPrefix(somebody) {
  return permitted(somebody, "keyval", "read", COVERS)?.[0] ?? "";
}

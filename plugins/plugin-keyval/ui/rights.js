// @ts-check
/**
 * What who looks at the pages may do in the store.
 */
import { may, permitted } from "../.well-known/buntime/ui/access.js";
import { isBelow, parseKey } from "./key.js";

/** @typedef {import("../.well-known/buntime/ui/access.js").Somebody | null} Somebody */

const COVERS = { admin: ["*"], "queue:admin": ["queue:send", "queue:receive"] };

/**
 * Whether somebody may do something to a key and all below it.
 * @param {Somebody} somebody
 * @param {"read" | "write" | "index:admin"} action
 * @param {import("./key.js").Key} key
 */
export function mayKey(somebody, action, key) {
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

/**
 * Whether somebody may do something to a queue; the one without a name is for who may do it to all.
 * @param {Somebody} somebody
 * @param {"queue:send" | "queue:admin"} action
 * @param {string} queue
 */
export function mayQueue(somebody, action, queue) {
  const names = permitted(somebody, "keyval", action, COVERS);
  return names === null || (queue !== "" && names.some((name) => queue.startsWith(name)));
}

/**
 * The first prefix that somebody may read, to begin with; empty for everything.
 * @param {Somebody} somebody
 */
export function firstPrefix(somebody) {
  return permitted(somebody, "keyval", "read", COVERS)?.[0] ?? "";
}

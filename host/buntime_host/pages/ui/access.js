// @ts-check
/**
 * Who looks at the pages, and what that one may do. The server decides; here it is only for
 * leaving out what it would refuse.
 */
import { ApiError, hostApi } from "./api.js";
import { t } from "./texts.js";

/**
 * @typedef {object} Somebody
 * @property {string} id empty where the host asks nobody
 * @property {string} name
 * @property {string[]} grant scopes, as in docs/access.md
 */

/** @typedef {Record<string, string[]>} Covers actions that permit others as well, by name; `*` is all */

/** @type {Promise<Somebody | null> | null} */
let known = null;

/** Who it is; null for nobody, where the host wants a key. */
export function whoIsIt() {
  known ??= ask();
  return known;
}

/** Ask again next time: somebody has come or gone. */
export function forget() {
  known = null;
}

/**
 * Make a session of a key. Raises `ApiError`.
 * @param {string} key
 */
export async function signIn(key) {
  try {
    await hostApi("admin/session", { method: "POST", json: { key }, asks: false });
  } catch (error) {
    const isWrong = error instanceof ApiError && error.status === 401;
    throw isWrong ? new Error(t("There is no such key, or it is not good any more")) : error;
  }
  forget();
}

/** End the session. Raises `ApiError`. */
export async function signOut() {
  await hostApi("admin/session", { method: "DELETE", asks: false });
  forget();
}

/**
 * What somebody may do something to: null for everything, else a list, which may be empty.
 * @param {Somebody | null} somebody
 * @param {string} plugin the short name, as `keyval`
 * @param {string} action as `queue:send`
 * @param {Covers} [covers]
 * @returns {string[] | null} resources, as the plugin writes them
 */
export function permitted(somebody, plugin, action, covers = {}) {
  const actions = [action, "*", ...coveringActions(action, covers)];
  const found = [];
  for (const scope of somebody?.grant ?? []) {
    if (scope === "*") return null;
    for (const name of actions) {
      const whole = `${plugin}:${name}`;
      if (scope === whole) return null;
      if (scope.startsWith(`${whole}:`)) found.push(scope.slice(whole.length + 1));
    }
  }
  return found;
}

/**
 * Whether somebody may do something to anything at all.
 * @param {Somebody | null} somebody
 * @param {string} plugin
 * @param {string} action
 * @param {Covers} [covers]
 */
export function may(somebody, plugin, action, covers = {}) {
  const resources = permitted(somebody, plugin, action, covers);
  return resources === null || resources.length > 0;
}

/**
 * Whether somebody may do something with the host itself, whose name a grant may leave out.
 * @param {Somebody | null} somebody
 * @param {string} action as `keys:read`
 */
export function mayHost(somebody, action) {
  return may(somebody, "host", action) || (somebody?.grant ?? []).includes(action);
}

/**
 * @param {string} action
 * @param {Covers} covers
 */
function coveringActions(action, covers) {
  return Object.keys(covers).filter((name) =>
    covers[name].some((other) => other === "*" || other === action),
  );
}

/** @returns {Promise<Somebody | null>} */
async function ask() {
  try {
    return (await hostApi("admin/session", { asks: false })).data;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    known = null;
    throw error;
  }
}

// @ts-check
/**
 * How far the log of changes reaches.
 */
import { ApiError, api } from "../.well-known/buntime/ui/api.js";
import { keyText } from "./key.js";

/**
 * The first and the newest position that the log has. Asked of what is below a key, which may be
 * all that somebody may read.
 * @param {import("./key.js").Key} key
 * @param {AbortSignal} signal
 * @returns {Promise<{first: number, last: number}>}
 */
export async function boundsOf(key, signal) {
  const prefix = key.length > 0 ? keyText(key) : null;
  const read = (/** @type {number} */ after) => api("stream", { query: { after, prefix, limit: 1 }, signal });
  try {
    return await read(0);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 410)) throw error;
    return read(error.body.first - 1); // older ones were removed
  }
}

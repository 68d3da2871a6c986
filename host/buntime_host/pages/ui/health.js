// @ts-check
/**
 * Whether the plugins of the host are well.
 */
import { HOST } from "./api.js";

/** @typedef {{ready: boolean, state: string, reason?: string}} Health `reason` is for those who may look at plugins */

/**
 * @param {AbortSignal} signal
 * @returns {Promise<{plugins: Record<string, Health>}>}
 */
export async function readiness(signal) {
  const url = new URL("health/ready", HOST);
  return (await fetch(url, { signal, cache: "no-store" })).json(); // 503 tells of it as well
}

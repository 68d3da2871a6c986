// @ts-check
/**
 * What is counted, and what follows from it.
 */

/** @typedef {{totalRequests: number, blockedRequests: number, allowedRequests: number, activeBuckets: number}} Counts */
/** @typedef {Counts & {timestamp: number}} Snapshot counts that only grow, but for a new start */

const MINUTES = 60;
const MINUTE_MS = 60_000;

/**
 * How many of a hundred requests were refused.
 * @param {Counts} counts
 */
export function share({ totalRequests, blockedRequests }) {
  return totalRequests === 0 ? 0 : Math.round((blockedRequests / totalRequests) * 1000) / 10;
}

/**
 * How much a count grew in each of the last minutes, the oldest first.
 * @param {readonly Snapshot[]} snapshots the newest first
 * @param {keyof Counts} name
 * @param {number} now milliseconds since 1970
 * @returns {number[]} one for each minute of an hour
 */
export function perMinute(snapshots, name, now) {
  const grown = new Array(MINUTES).fill(0);
  // What the oldest one had counted came before it; nobody knows when.
  for (let at = 0; at + 1 < snapshots.length; at += 1) {
    const [newer, older] = [snapshots[at], snapshots[at + 1]];
    const minute = MINUTES - 1 - Math.max(0, Math.floor((now - newer.timestamp) / MINUTE_MS));
    if (minute < 0) break;
    const more = newer[name] - older[name];
    grown[minute] += more < 0 ? newer[name] : more; // it began anew
  }
  return grown;
}

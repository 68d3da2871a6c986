// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { perMinute, share } from "./gateway/counts.js";

const NOW = 1_000 * 60_000;

/**
 * @param {number} minutesAgo
 * @param {number} allowedRequests
 */
function snapshot(minutesAgo, allowedRequests) {
  const timestamp = NOW - minutesAgo * 60_000;
  return { timestamp, totalRequests: 0, blockedRequests: 0, activeBuckets: 0, allowedRequests };
}

test("what counts grew by, minute by minute", () => {
  const grown = perMinute([snapshot(0, 15), snapshot(0.5, 12), snapshot(2, 5), snapshot(3, 3)], "allowedRequests", NOW);
  assert.equal(grown.length, 60);
  assert.deepEqual(grown.slice(-4), [0, 2, 0, 10]);
});

test("a host that began anew counts from nothing", () => {
  const grown = perMinute([snapshot(0, 4), snapshot(1, 100), snapshot(70, 1)], "allowedRequests", NOW);
  assert.deepEqual(grown.slice(-2), [99, 4]);
});

test("how many of a hundred", () => {
  const counts = { allowedRequests: 0, activeBuckets: 0 };
  assert.equal(share({ ...counts, totalRequests: 0, blockedRequests: 0 }), 0);
  assert.equal(share({ ...counts, totalRequests: 3, blockedRequests: 1 }), 33.3);
});

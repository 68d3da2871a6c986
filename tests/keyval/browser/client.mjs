// What the client for pages does to a live server. `KV` is the URL of its API, `CLIENT` that of the
// module.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";

const { KeyVal, KeyValError, any, decode, encode, now, uuidv7 } =
  await import(process.env.CLIENT);
const kv = new KeyVal({ url: process.env.KV });

const all = async (items) => {
  const found = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
};
const refused = (code, status) => (error) =>
  error instanceof KeyValError && error.code === code && error.status === status;

test("values and keys come back as they were", async () => {
  const value = {
    text: "é\u2028<b>", number: -1.5, none: null, yes: true, list: [1n, [new Uint8Array([0, 255])]],
    huge: 2n ** 200n, bytes: new Uint8Array(100_000).fill(7), ["__proto__"]: 1,
  };
  const key = ["typed", "1", 1, 1n, true, "a/b", new Uint8Array([1, 2])];
  const { ok, versionstamp } = await kv.set(key, value);
  assert.equal(ok, true);
  assert.deepEqual(await kv.get(key), { key, value, versionstamp });
  assert.equal((await kv.get(["typed", "1", 1, 1n, true, "a/b"])), null);
  const both = await kv.getMany([["typed", "none"], key]);
  assert.deepEqual(both.map((entry) => entry?.versionstamp ?? null), [null, versionstamp]);
  const [first] = await kv.getMany([key], { values: false });
  assert.equal("value" in first, false);
});

test("times are texts, and moments of the server are numbers", async () => {
  const time = new Date("2026-01-02T03:04:05.678Z");
  await kv.set(["times", time], { at: time, now: now(1000) });
  const [entry] = await all(kv.list({ prefix: ["times"] }));
  assert.deepEqual(entry.key, ["times", "2026-01-02T03:04:05.678000Z"]);
  assert.equal(entry.value.at, "2026-01-02T03:04:05.678Z");
  assert.equal(typeof entry.value.now, "number");
});

test("what JSON would lose is refused before it is sent", async () => {
  const sparse = [1, undefined];
  assert.throws(() => encode(undefined), TypeError);
  for (const value of [NaN, Infinity, [undefined], sparse, () => 1, Symbol("s"), new Map(),
    new Set(), /x/, new Date(NaN), { a: { b: NaN } }, new (class Point {})()]) {
    await assert.rejects(kv.set(["lost"], value), TypeError);
  }
  assert.throws(() => encode({ deep: { size: NaN } }), /NaN at "size"/);
  await assert.rejects(kv.get("users/1"), /A key is an array/);
  assert.equal(await kv.get(["lost"]), null);
  assert.equal(encode({ a: undefined, b: 1 }), '{"b":1}');
  assert.equal(decode('{"a":9007199254740991,"b":"1234567890123456"}').a, 9007199254740991);
});

test("options of a set, conditions and details", async () => {
  const created = await kv.set(["doors", 1], "open", {
    ifVersion: null, metadata: { by: 1n }, type: "Door", expiresAt: new Date(Date.now() + 60_000),
  });
  assert.equal(created.ok, true);
  assert.deepEqual(await kv.set(["doors", 1], "shut", { ifVersion: null }), { ok: false });
  const entry = await kv.get(["doors", 1], { details: true });
  assert.deepEqual([entry.metadata, entry.type, entry.revision], [{ by: 1n }, "Door", 1]);
  assert.ok(entry.expiresAt > Date.now());
  const again = await kv.set(["doors", 1], "shut", { ifVersion: entry.versionstamp });
  assert.equal(again.ok, true);
  assert.equal((await kv.get(["doors", 1], { details: true })).expiresAt, null);
});

test("a write that is named is done once", async () => {
  const options = { idempotencyKey: "tests-of-pages-1" };
  const first = await kv.atomic().sum(["once"], 1).commit(options);
  assert.deepEqual(await kv.atomic().sum(["once"], 1).commit(options), first);
  assert.equal((await kv.get(["once"])).value, 1);
});

test("lists go through all pages, in order", async () => {
  const atomic = kv.atomic();
  for (let number = 0; number < 25; number += 1) {
    atomic.set(["many", number], { number, even: number % 2 === 0 });
  }
  await atomic.commit();
  const numbers = async (options) => (await all(kv.list(options))).map((entry) => entry.key[1]);
  const everything = [...Array(25).keys()];
  assert.deepEqual(await numbers({ prefix: ["many"], limit: 10 }), everything);
  assert.deepEqual(await numbers({ prefix: ["many"], limit: 7, snapshot: true }), everything);
  assert.deepEqual(
    await numbers({ prefix: ["many"], limit: 10, reverse: true }), everything.toReversed());
  assert.deepEqual(
    await numbers({ prefix: ["many"], limit: 3, offset: 20 }), [20, 21, 22, 23, 24]);
  assert.deepEqual(
    await numbers({ prefix: ["many"], start: ["many", 3], end: ["many", 6] }), [3, 4, 5]);
  assert.deepEqual(
    await numbers({ startsWith: ["man"], where: { even: true, number: { $gt: 20 } } }), [22, 24]);
  assert.equal(await kv.count({ prefixes: [["many"], ["nothing"]] }), 25);
  assert.deepEqual(await numbers({ pattern: ["many", any], start: ["many", 22] }), [22, 23, 24]);
  assert.equal(await kv.count({ pattern: [any, any, any] }), 0);
  const page = await kv.page({ prefix: ["many"], limit: 2, values: false });
  assert.deepEqual([page.entries.length, page.hasMore], [2, true]);
  assert.equal(await kv.delete(["many", 0], { exact: true }), 1);
  assert.equal(await kv.delete(["many"], { where: { even: true } }), 12);
  assert.equal(await kv.delete(["many"]), 12);
});

test("all mutations, in one commit", async () => {
  const below = (name) => ["atomic", name];
  await kv.atomic().set(below("gone"), 1).set(below("patched"), { a: 1, b: 2 }).commit();
  const commit = await kv.atomic()
    .check(below("new"), null)
    .set(below("new"), "x", { expiresIn: "1h" })
    .delete(below("gone"))
    .sum(below("sum"), 2n ** 60n, { onCreate: { expiresIn: "1h", type: "Counter" } })
    .max(below("max"), 5)
    .min(below("min"), -5)
    .append(below("list"), [2, 3])
    .prepend(below("list"), [1])
    .patch(below("patched"), { a: null, c: 3 })
    .touch(below("patched"), { expiresIn: 60_000 })
    .persist(below("nobody"))
    .set([...below("ids"), uuidv7], 1)
    .enqueue("sent", { queue: "pages", keysIfUndelivered: [below("undelivered")] })
    .commit({ results: true });
  assert.deepEqual(commit.results, [
    null, null, 2n ** 60n, 5, -5, [2, 3], [1, 2, 3], { b: 2, c: 3 }, true, false, null, null,
  ]);
  const [id] = await all(kv.list({ prefix: below("ids") }));
  assert.equal(id.key[2], commit.versionstamp);
  assert.equal((await kv.get(below("sum"), { details: true })).type, "Counter");
  assert.deepEqual(await kv.atomic().check(below("new"), null).commit(), { ok: false });
  assert.equal((await kv.request("GET", "queue/stats", { query: { queue: "pages" } })).pending, 1);
});

test("messages", async () => {
  const id = await kv.enqueue({ big: 1n }, { queue: "letters", id: "letter-1", delay: "0s" });
  assert.equal(id, "letter-1");
  const { message } = await kv.request("GET", "queue/poll", { query: { queue: "letters" } });
  assert.deepEqual([message.id, message.value], [id, { big: 1n }]);
});

test("search", async () => {
  for (let number = 0; number < 3; number += 1) {
    await kv.set(["posts", number], { title: `A post about sugar ${number}` });
  }
  await kv.request("POST", "indexes", { body: { prefix: ["posts"], fields: ["title"] } });
  const hits = await all(kv.search(["posts"], "sugar", { limit: 2, highlight: ["[", "]"] }));
  assert.deepEqual(hits.map((hit) => hit.key[1]).sort(), [0, 1, 2]);
  assert.match(hits[0].highlight.title, /\[sugar\]/);
  const page = await kv.searchPage(["posts"], "sugr", { fuzzy: true, limit: 1 });
  assert.deepEqual([page.entries.length, page.searchedFor], [1, "sugar"]);
  await assert.rejects(all(kv.search(["letters"], "x")), refused("NOT_FOUND", 404));
});

test("errors say what is wrong", async () => {
  await assert.rejects(kv.set([], 1), refused("INVALID_INPUT", 400));
  await assert.rejects(kv.page({ prefx: ["a"] }), /did you mean 'prefix'/);
  await kv.set(["text"], "no number");
  await assert.rejects(kv.atomic().sum(["text"], 1).commit(), refused("INVALID_INPUT", 400));
  await assert.rejects(
    kv.request("DELETE", "keys/text", { query: { ifRevision: 7 } }),
    (error) => refused("KEYVAL_PRECONDITION_FAILED", 412)(error) && error.versionstamp !== null);
  const nobody = new KeyVal({ url: "http://127.0.0.1:9/keyval/api" });
  await assert.rejects(nobody.get(["a"]), refused("UNREACHABLE", 0));
  await assert.rejects(nobody.set(["a"], 1), refused("OUTCOME_UNKNOWN", 0));
  const abort = new AbortController();
  abort.abort();
  await assert.rejects(kv.get(["a"], { signal: abort.signal }), { name: "AbortError" });
});

test("the module needs nothing but itself", async () => {
  const sources = ["client.js", "client/connection.js", "client/watch.js", "client/wire.js"];
  for (const source of sources) {
    const text = await readFile(new URL(source, new URL(".", process.env.CLIENT)), "utf8");
    const imported = [...text.matchAll(/^(?:import|export) .* from "([^"]+)";$/gm)].map((it) => it[1]);
    assert.ok(imported.every((name) => name.startsWith("./")), `${source}: ${imported}`);
  }
});

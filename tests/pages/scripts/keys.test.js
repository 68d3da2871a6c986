// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffLines } from "./keyval/diff.js";
import { isBelow, keyText, makePart, parseKey, partBehind, pathOf, textOf, typeOf } from "./keyval/key.js";
import { curlOf, curlOfCommit, pythonOf, typescriptOf } from "./keyval/snippets.js";

/** @type {import("./keyval/key.js").Part} */
const BIG = { __type: "bigint", value: "9007199254740993" };
/** @type {import("./keyval/key.js").Part} */
const BYTES = { __type: "uint8array", value: "AP8=" };

test("a path: what looks like an integer is a number", () => {
  assert.deepEqual(parseKey("users/1/a%2Fb"), ["users", 1, "a/b"]);
  assert.deepEqual(parseKey("a/01/-7/1.5"), ["a", "01", -7, "1.5"]);
  assert.deepEqual(parseKey(""), []);
  assert.deepEqual(parseKey("a/"), ["a", ""]);
  assert.throws(() => parseKey("%zz"), /percent-encoded/);
});

test("an array says exactly which key", () => {
  const key = ["1", 1, "", true, 1.5, BIG, BYTES, 2 ** 53, -(2 ** 60), 1e300, 5e-324];
  assert.deepEqual(parseKey(keyText(key)), key);
  assert.deepEqual(key.slice(0, 7).map(typeOf), ["string", "number", "string", "boolean", "number", "bigint", "bytes"]);
  assert.equal(textOf(BIG), "9007199254740993");
});

test("what cannot be seen is written as an escape", () => {
  const key = ["a\u202eb", "\u200b", "\u{e0041}", "é😀"];
  assert.equal(keyText(key), '["a\\u202eb","\\u200b","\\udb40\\udc41","é😀"]');
  assert.deepEqual(parseKey(keyText(key)), key);
});

test("what is no key is said to be none", () => {
  for (const text of ["[1", "[null]", "[{}]", '[{"__type": "bigint", "value": "x"}]', "[[1]]"]) {
    assert.throws(() => parseKey(text), Error, text);
  }
  assert.throws(() => parseKey("[9007199254740993]"), /bigint/);
  assert.throws(() => parseKey('["9007199254740992", -9007199254740993]'), /Part 2: .*bigint/);
  assert.throws(() => makePart("number", "9007199254740993"), /bigint/);
  assert.throws(() => parseKey(`[${"1,".repeat(20)}1]`), /20 parts/);
});

test("parts of a chosen type", () => {
  assert.equal(makePart("string", "1"), "1");
  assert.equal(makePart("number", "1"), 1);
  assert.equal(makePart("boolean", "false"), false);
  assert.deepEqual(makePart("bigint", "12"), { __type: "bigint", value: "12" });
  assert.deepEqual(makePart("bytes", "AP8="), BYTES);
  for (const [type, text] of [["number", ""], ["number", "x"], ["boolean", "yes"], ["bigint", "1.5"], ["bytes", "?"]]) {
    assert.throws(() => makePart(type, text), Error, `${type} ${text}`);
  }
});

test("a path where one can say the key", () => {
  assert.equal(pathOf(["users", 1, "a/b"]), "users/1/a%2Fb");
  for (const key of [["1"], [""], [true], [1.5], [BIG], [BYTES]]) assert.equal(pathOf(key), null, keyText(key));
});

test("a key is below what it extends, types and all", () => {
  assert.equal(isBelow(["a", 1], ["a"]), true);
  assert.equal(isBelow(["a"], ["a"]), true);
  assert.equal(isBelow(["a", 1], ["a", "1"]), false);
  assert.equal(isBelow(["a"], []), true);
});

test("what comes behind a part", () => {
  assert.equal(partBehind("a"), "a\0");
  assert.equal(partBehind(false), true);
  assert.equal(partBehind(true), null);
  assert.deepEqual(partBehind(BIG), { __type: "bigint", value: "9007199254740994" });
  assert.deepEqual(partBehind(BYTES), { __type: "uint8array", value: "AP8A" });
  for (const value of [-1e300, -1, -Number.MIN_VALUE, 0, 0.1, 1, 2 ** 53 - 1]) {
    const behind = Number(partBehind(value));
    assert.ok(behind > value);
    assert.ok(!((value + behind) / 2 > value && (value + behind) / 2 < behind), "nothing is in between");
    assert.equal(JSON.parse(JSON.stringify(behind)), behind);
  }
  assert.equal(partBehind(Number.MAX_VALUE), null);
});

test("programs that read a key", () => {
  const api = "http://h/keyval/api";
  assert.equal(curlOf(api, ["users", 1]), "curl -s 'http://h/keyval/api/keys/users/1'");
  assert.equal(
    curlOf(api, ["it's"]), "curl -s 'http://h/keyval/api/keys/it'\\''s'",
  );
  assert.equal(curlOfCommit(`${api}/atomic`, `["it's"]`), `curl -s 'http://h/keyval/api/atomic' -d '["it'\\''s"]'`);
  assert.equal(curlOf(api, ["1"]), `curl -s 'http://h/keyval/api/keys/batch' -d '{"keys": [["1"]]}'`);
  assert.match(pythonOf(api, ["a", true, BIG, BYTES]), /kv\.get\(\["a", True, BigInt\(9007199254740993\), bytes\.fromhex\("00ff"\)\]\)/);
  assert.match(typescriptOf("/keyval/client.js", [1, BIG]), /kv\.get\(\[1, 9007199254740993n\]\)/);
});

test("lines that differ, in order", () => {
  assert.deepEqual(diffLines("a\nb\nc", "a\nx\nc\nd"), [
    { kind: "same", text: "a" },
    { kind: "gone", text: "b" },
    { kind: "new", text: "x" },
    { kind: "same", text: "c" },
    { kind: "new", text: "d" },
  ]);
  const long = "x\n".repeat(3000);
  assert.equal(diffLines(long, `${long}y`).length, 6002);
});

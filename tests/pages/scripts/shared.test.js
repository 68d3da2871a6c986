// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { may, permitted } from "./.well-known/buntime/ui/access.js";
import { History, pointsOf } from "./.well-known/buntime/ui/chart.js";
import { bytes, count, span } from "./.well-known/buntime/ui/format.js";
import { t } from "./.well-known/buntime/ui/texts.js";

/** @param {string[]} grant */
function somebody(grant) {
  return { id: "k", name: "k", grant };
}

test("numbers as people read them", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(count(null), "–");
  assert.equal(bytes(0), "0 B");
  assert.equal(bytes(1536), "1.5 KB");
  assert.equal(bytes(5 * 1024 ** 3), "5 GB");
  assert.equal(span(250), "250 ms");
  assert.equal(span(61_000), "1 min 1 s");
  assert.equal(span(90_000_000), "1 d 1 h");
  assert.equal(span(86_400_000 + 5000), "1 d");
});

test("values stand where their names are", () => {
  assert.equal(t("Delete {count} of {all}", { count: 2, all: 3 }), "Delete 2 of 3");
  assert.equal(t("Delete {count}"), "Delete {count}");
});

test("a scope permits what it names, and for what", () => {
  const covers = { admin: ["*"], "queue:admin": ["queue:send"] };
  assert.equal(permitted(somebody(["*"]), "keyval", "write"), null);
  assert.equal(permitted(somebody(["keyval:*"]), "keyval", "write"), null);
  assert.equal(permitted(somebody(["keyval:write"]), "keyval", "write"), null);
  assert.deepEqual(permitted(somebody(['keyval:write:["a"]']), "keyval", "write"), ['["a"]']);
  assert.deepEqual(permitted(somebody(["keyval:queue:admin:mail"]), "keyval", "queue:send", covers), ["mail"]);
  assert.equal(permitted(somebody(["keyval:admin"]), "keyval", "read", covers), null);
  assert.equal(may(somebody(["keyval:read"]), "keyval", "write", covers), false);
  assert.equal(may(somebody(["database:*"]), "keyval", "read", covers), false);
  assert.equal(may(null, "keyval", "read"), false);
});

test("a line from the lowest value to the highest", () => {
  assert.equal(pointsOf([0, 10]), "0,31 120,1");
  assert.equal(pointsOf([5]), "0,1");
  const history = new History(2);
  for (const value of [1, 2, 3]) history.add(value);
  assert.deepEqual(history.values, [2, 3]);
});

// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { elementsOf, membersOf, pretty, problemOf } from "./keyval/json.js";

test("what JSON.parse takes is right, and nothing else", () => {
  const right = [
    "0", "-0.5e+10", "true", "null", '""', '"\\u00e9\\n"', "[]", "{}", " [1, [2, {}]] ", '{"a": {"b": []}}',
  ];
  const wrong = [
    "", " ", "01", "1.", "+1", ".5", "tru", "'a'", '"a', '"\\x"', '"\n"', "[1,]", "[,1]", "[1 2]", "{a: 1}",
    '{"a"}', '{"a":}', '{"a": 1,}', "[1]]", "{} {}", "[", "{", '["a"', "NaN", "[1}",
  ];
  for (const text of right) {
    assert.doesNotThrow(() => JSON.parse(text));
    assert.equal(problemOf(text), null, text);
  }
  for (const text of wrong) {
    assert.throws(() => JSON.parse(text));
    assert.notEqual(problemOf(text), null, text);
  }
});

test("a problem is at its place", () => {
  const problem = problemOf('{\n  "a": 1,\n  b: 2\n}');
  assert.equal(problem?.message, "Line 3, column 3: \"b\" begins no value");
  assert.equal(problem?.at, 14);
  assert.equal(problemOf('{"a": 1 "b": 2}')?.message, "Line 1, column 9: here should be a comma or }");
  assert.equal(problemOf("[")?.message, "Line 1, column 2: a value is missing");
});

test("nothing that is very deep ends the page", () => {
  assert.match(problemOf("[".repeat(100_000))?.message ?? "", /too deep/);
});

test("a text that reads well has the same numbers", () => {
  const text = '{"big":12345678901234567890,"one":1.0,"list":[1,{"a":[]}],"none":{}}';
  const shown = pretty(text);
  assert.equal(
    shown,
    [
      "{", '  "big": 12345678901234567890,', '  "one": 1.0,', '  "list": [', "    1,", "    {", '      "a": []', "    }", "  ],",
      '  "none": {}', "}",
    ].join("\n"),
  );
  assert.equal(pretty(shown), shown);
  assert.equal(pretty('"a"'), '"a"');
});

test("members and elements as they are written", () => {
  assert.deepEqual({ ...membersOf('{"key": ["a"], "value": {"n": 1.00}, "é": null}') }, {
    key: '["a"]', value: '{"n": 1.00}', é: "null",
  });
  assert.equal(membersOf('{"__proto__": 1}')["__proto__"], "1");
  assert.deepEqual(elementsOf('[1.0, "]", [2, 3], {}]'), ["1.0", '"]"', "[2, 3]", "{}"]);
  assert.deepEqual(elementsOf(" [ ] "), []);
  assert.throws(() => membersOf("[1]"), /here should be \{/);
});

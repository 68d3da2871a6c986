"""Members that are twice in an object, which decoders do not tell."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from buntime_host import find_doubled, has_doubled
from support.mutations import Mutator

TEMPLATE = {
    "prefix": ["a", 1.5, None],
    "where": {"a": {"$gte": 1}, "b\"'": "x\\y\\", 'c"': '"'},
    "mutations": [{"value": {"a": [{}, []]}, "key": ["\n", "é", "\\"]}],
    "limit": 1e3,
}


@pytest.mark.parametrize(
    ("text", "doubled"),
    [
        ('{"a":1,"a":2}', ("a", "")),
        ('{"a" : 1 , "a" : 1 }', ("a", "")),
        ('{"a":1,"\\u0061":2}', ("a", "")),
        ('{"a":{"b":[1,{"c":1,"d":2,"c":3}]}}', ("c", "a.b[1]")),
        ('[{"a\\\\":1,"a\\\\":"\\""}]', ("a\\", "[0]")),
        ('{"":"","":""}', ("", "")),
        ('{"x":{"v":{"a":1,"a":2}},"v":{"a":1,"a":2},"v":1}', ("v", "")),
    ],
)
def test_what_is_there_twice(text: str, doubled: tuple[str, str]) -> None:
    body = text.encode()
    assert has_doubled(body, msgspec.json.decode(body))
    assert find_doubled(body) is not None
    assert find_doubled(body, re.compile("(x\\.)?v")) == doubled


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_is_not(indent: int | None, ascii_only: bool) -> None:
    body = json.dumps(TEMPLATE, indent=indent, ensure_ascii=ascii_only).encode()
    assert not has_doubled(body, msgspec.json.decode(body))
    assert find_doubled(body) is None


@pytest.mark.parametrize("text", ['{"a":[["b",1],["b",1]]}', '{"a":":"}', "{}", '[":",":"]', "1"])
def test_one_member_is_there_once(text: str) -> None:
    body = text.encode()
    assert not has_doubled(body, msgspec.json.decode(body))
    assert find_doubled(body) is None


@pytest.mark.slow
def test_both_agree_on_whatever_can_be_decoded() -> None:
    mutator = Mutator(1)
    decoded = 0
    for _ in range(3_000):
        body = mutator.body(TEMPLATE)
        try:
            value = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        decoded += 1
        assert has_doubled(body, value) == (find_doubled(body) is not None), body
    assert decoded > 500

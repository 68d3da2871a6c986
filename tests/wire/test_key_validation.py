"""Keys in JSON bodies: what is accepted, and the words of every refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval.wire import (
    UUIDV7,
    BigInt,
    InvalidInput,
    Key,
    check_key,
    check_keys,
    key_to_json,
)
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.python_keys import checked_key
from hypothesis import given, settings
from support.keys import keys, order
from support.sampling import share_of

TYPES = "(string | number | bigint | boolean | Uint8Array)"
MAX_BIGINT = 256**1024 - 1


def bigint(text: str) -> dict[str, str]:
    return {"__type": "bigint", "value": text}


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (["users", 123], ("users", 123)),
        ([1.0], (1,)),
        ([-0.0], (0,)),
        ([1.5], (1.5,)),
        ([True, False], (True, False)),
        ([""], ("",)),
        ([bigint("9007199254740993")], (BigInt(9007199254740993),)),
        ([bigint("-007")], (BigInt(-7),)),
        ([bigint("-0")], (BigInt(0),)),
        ([{"0": 0, "1": 255}], (b"\x00\xff",)),
        ([{"__type": "uint8array", "value": "AP8="}], (b"\x00\xff",)),
        ([{"__type": "uint8array", "value": ""}], (b"",)),
        ([{"type": "Buffer", "data": [1, 2]}], (b"\x01\x02",)),
        ([2**53], (2**53,)),
        (["x" * 1024], ("x" * 1024,)),
        (["🙂" * 512], ("🙂" * 512,)),
        ([b"x" * 1024], (b"x" * 1024,)),
        ([BigInt(MAX_BIGINT)], (BigInt(MAX_BIGINT),)),
        (list(range(20)), tuple(range(20))),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_accepted(raw: list[Any], key: Key) -> None:
    assert order(check_key(raw)) == order(key)
    assert order(checked_key(raw)) == order(checked_key(tuple(raw))) == order(key)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, f"Key must be an array of {TYPES}, received null: null"),
        ("users/1", f'Key must be an array of {TYPES}, received string: "users/1"'),
        (5, f"Key must be an array of {TYPES}, received number: 5"),
        (True, f"Key must be an array of {TYPES}, received boolean: true"),
        ({"a": 1}, f'Key must be an array of {TYPES}, received object: {{"a":1}}'),
        ([], "Key cannot be empty"),
        (["a"] * 21, "Key too deep: 21 parts (max 20)"),
        ([None], f"Invalid key part at index 0: expected {TYPES}, received null: null"),
        (["a", []], f"Invalid key part at index 1: expected {TYPES}, received array: []"),
        (["a", {}], f"Invalid key part at index 1: expected {TYPES}, received object: {{}}"),
        ([{"0": 256}], f"Invalid key part at index 0: expected {TYPES}, received object: "),
        ([{"1": 1}], f"Invalid key part at index 0: expected {TYPES}, received object: "),
        ([float("nan")], "Invalid key part at index 0: a number must be finite"),
        ([10**400], "Invalid key part at index 0: a number must be finite"),
        (["x" * 1025], "Key part at index 0 too long: 1025 chars (max 1024)"),
        (["🙂" * 513], "Key part at index 0 too long: 1026 chars (max 1024)"),
        (["a", b"x" * 1025], "Key part at index 1 too large: 1025 bytes (max 1024)"),
        ([BigInt(MAX_BIGINT + 1)], "Key part at index 0 too large: 1025 bytes (max 1024)"),
        (["a", bigint("9" * 5_000)], "Key part at index 1 too large: a bigint of 5000 digits"),
        (["a", bigint("9" * 400_000)], "bigint has 400000 digits (max 10000)"),
        ([bigint(f"-0{MAX_BIGINT + 1}")], "Key part at index 0 too large: 1025 bytes (max 1024)"),
        ([bigint("12x")], "bigint value must be a decimal string"),
        ([{"__type": "bigint"}], "bigint value must be a decimal string"),
        ([{"__type": "uint8array", "value": "é"}], "uint8array value must be a base64 string"),
        ([{"$uuidv7": True}], "Invalid key part at index 0: a uuidv7 placeholder"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_refused_in_the_words_of_the_contract(raw: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_key(raw)
    assert str(caught.value).startswith(message)


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_key("x" * 500)
    assert str(caught.value).endswith('received string: "' + "x" * 49)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "Keys must be an array of key arrays, received null"),
        ("a", "Keys must be an array of key arrays, received string"),
        ({}, "Keys must be an array of key arrays, received object"),
        ([], "Keys array cannot be empty"),
        ([["a"]] * 1001, "Too many keys: 1001 (max 1000)"),
        ([["a"], []], "Invalid key at index 1: Key cannot be empty"),
        ([["a", None]], f"Invalid key at index 0: Invalid key part at index 1: expected {TYPES}"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_lists_of_keys_are_refused_in_the_words_of_the_contract(raw: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_keys(raw)
    assert str(caught.value).startswith(message)


def test_a_batch_may_hold_a_thousand_keys() -> None:
    assert len(check_keys([["a", number] for number in range(1000)])) == 1000


@pytest.mark.parametrize("raw", [{"$uuidv7": True}, {"__type": "uuidv7"}, UUIDV7])
def test_placeholders_where_they_are_allowed(raw: object) -> None:
    key: tuple[object, ...] = check_key(["log", raw], placeholders=True)
    assert key == ("log", UUIDV7)


@settings(max_examples=share_of(200), deadline=None)
@given(keys())
def test_json_form_round_trip(key: Key) -> None:
    raw = json.loads(key_to_json(key))
    assert order(check_key(raw)) == order(key)
    fractions = [part for part in raw if isinstance(part, float) and abs(part) < 1e21]
    assert not any(part.is_integer() for part in fractions)


def test_json_forms() -> None:
    key = check_key(["a", 1.0, 2**53, BigInt(-5), b"\x00\xff\x01", True])
    assert json.loads(key_to_json(key)) == [
        "a", 1, 2**53, bigint("-5"), {"__type": "uint8array", "value": "AP8B"}, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1, "a", {"b": [None, True]}, 1.5], 'array: [1,"a",{"b":[null,true]},1.5]'),
        ({"a": ["x" * 100]}, 'object: {"a":["' + "x" * 43),
        ([[0] * 1_000_000], "array: [[" + "0," * 24),
    ],
)
def test_no_more_of_a_value_is_described_than_is_shown(value: Any, shown: str) -> None:
    assert describe(value) == shown

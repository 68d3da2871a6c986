"""Values in their canonical JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval.wire import (
    BigInt,
    InvalidInput,
    canonical_text,
    canonical_value,
    decode_json,
    decode_value,
    encode_value,
)
from buntime_keyval.wire.limits import MAX_VALUE_BYTES, MAX_VALUE_DEPTH
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sampling import share_of

NOW = 1_700_000_000_000
DIGITS = "1" + "0" * 9998 + "7"

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from([-0.0, 1.0, 1e16, 1e20, 1e21, 1e22, 5e-324, "1.0,", '"$now":', "\0"]),
)
names = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=4), st.sampled_from(["", "$now.", "offset"])
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=share_of(300), deadline=None)
@given(documents, st.sampled_from([None, 1]))
@example({"a": [1.0, {"b": -0.0}]}, None)
@example([1e22, 1.5, 1e16, 1.0], None)
def test_canonical_text_means_the_same_and_is_stable(value: Any, indent: int | None) -> None:
    text = canonical_value(json.dumps(value, indent=indent).encode(), NOW)
    assert json.loads(text) == value
    assert canonical_value(text.encode(), NOW + 1) == text
    json.loads(text, parse_float=_refuse_fraction_zero)


def _refuse_fraction_zero(number: str) -> float:
    assert not number.endswith(".0")
    return float(number)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b" [ 1 , 2.0 ] ", "[1,2]"),
        (b"-0", "0"),
        (b"-0.0", "0"),
        (b"[-0.0]", "[0]"),
        (b'{"a":-0.0}', '{"a":0}'),
        (b"57.0", "57"),
        (b"1.5", "1.5"),
        (b"1e2", "100"),
        (b"9007199254740993", "9007199254740993"),
        (b"null", "null"),
        (b'"\\u00e9"', '"é"'),
        (b'"1.0]"', '"1.0]"'),
        (b'{"a":1,"a":2.0}', '{"a":2}'),
        (b'{"__type":"bigint","value":"007"}', '{"__type":"bigint","value":"7"}'),
        (b'[{"__type":"bigint","value":"-0"}]', '[{"__type":"bigint","value":"0"}]'),
        (b'{"__type":"bigint","value":"+5"}', '{"__type":"bigint","value":"5"}'),
        (b'{"__type":"uint8array","value":"AP8="}', '{"__type":"uint8array","value":"AP8="}'),
        (b'{"__type":"other","value":1.0}', '{"__type":"other","value":1}'),
        (b'{"\\u005f_type":"bigint","value":"01"}', '{"__type":"bigint","value":"1"}'),
    ],
)
def test_canonical_forms(body: bytes, text: str) -> None:
    assert canonical_value(body, NOW) == text


@pytest.mark.parametrize(
    "value",
    [
        {"__type": "bigint", "value": "5", "x": 1},
        {"__type": "uint8array", "value": "", "x": 1},
        {"$now": True, "x": 1},
        {"$now": True, "$offset": 1, "x": 1},
    ],
)
def test_members_that_would_be_lost_are_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="received 'x' too"):
        canonical_value(json.dumps([value]).encode(), NOW)


@pytest.mark.parametrize("sign", ["", "-"])
def test_bigints_of_ten_thousand_digits(sign: str) -> None:
    tagged = {"__type": "bigint", "value": f"{sign}000{DIGITS}"}
    assert json.loads(canonical_text([tagged], NOW)) == [
        {"__type": "bigint", "value": f"{sign}{DIGITS}"}
    ]


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"$now": True}, NOW),
        ({"$now": True, "$offset": 5000}, NOW + 5000),
        ({"$now": True, "$offset": -5000}, NOW - 5000),
        ({"$now": True, "offset": 60_000}, NOW + 60_000),
        ({"$now": True, "$offset": 1, "offset": 2}, NOW + 1),
        ({"$now": True, "$offset": 0.5}, NOW + 0.5),
        ({"$now": True, "$offset": 2.0}, NOW + 2),
        ([{"a": [{"$now": True}]}, 1.0], [{"a": [NOW]}, 1]),
        ({"$now": False}, {"$now": False}),
        ({"$now": 1}, {"$now": 1}),
        ("$now", "$now"),
    ],
)
def test_now_is_resolved_at_any_depth(value: Any, resolved: Any) -> None:
    text = canonical_value(json.dumps(value).encode(), NOW)
    assert text == json.dumps(resolved, separators=(",", ":"))


@pytest.mark.parametrize("offset", ["5s", None, True, []])
def test_now_with_a_bad_offset_is_refused(offset: object) -> None:
    with pytest.raises(InvalidInput, match=r"\$now offset must be a number"):
        canonical_text({"$now": True, "$offset": offset}, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"{'a':1}", b"[1,]", b"1 2", b"NaN", b"[Infinity]", b"-Infinity", b"1e400",
        b"-1e400", b"1" + b"0" * 400, b'{"a":[-1' + b"0" * 400 + b"]}", b"1" * 5000,
        b'"\\ud800"', b'["\\udc00\\ud800"]', b'{"\\ud800":1}', b'"\xff"', b'"\xed\xa0\x80"',
        b'"\x01"', b"undefined", b"01", b"\xef\xbb\xbf1",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_bodies_that_are_not_json_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^Invalid JSON body$"):
        decode_json(body)


def test_long_runs_of_digits_in_strings_are_no_numbers() -> None:
    assert decode_json(b'["' + b"9" * 5000 + b'"]') == ["9" * 5000]


def test_what_a_bigint_lacks_is_said() -> None:
    for tagged, shown in (
        ({"__type": "bigint"}, "received none"),
        ({"__type": "bigint", "value": 5}, "received 5, which is not text"),
        ({"__type": "bigint", "value": "0x1f"}, 'received "0x1f"'),
    ):
        with pytest.raises(InvalidInput, match=f"{shown}$"):
            canonical_value(json.dumps(tagged).encode(), NOW)


@pytest.mark.parametrize(
    "value",
    [
        {"__type": "bigint"},
        {"__type": "bigint", "value": 5},
        {"__type": "bigint", "value": "1.5"},
        {"__type": "bigint", "value": "0x1f"},
        {"__type": "bigint", "value": ""},
        [{"a": {"__type": "bigint", "value": "1n"}}],
    ],
)
def test_broken_bigints_are_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="bigint value must be a decimal string"):
        canonical_text(value, NOW)


@pytest.mark.parametrize("value", [5, "*", "AP8", None])
def test_broken_bytes_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="uint8array value must be a base64 string"):
        canonical_text({"__type": "uint8array", "value": value}, NOW)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_limited(opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return opening * levels + b"1.0" + closing * levels

    assert canonical_value(nested(MAX_VALUE_DEPTH), NOW).count("1") == 1
    for levels in (MAX_VALUE_DEPTH + 1, 5000, 200_000):
        with pytest.raises(InvalidInput, match="nested too deep"):
            decode_json(nested(levels))
    assert len(decode_json(b"[" + b"[]," * 1000 + b"0]")) == 1001


def test_size_is_limited() -> None:
    text = canonical_value(b'"' + b"x" * (MAX_VALUE_BYTES - 2) + b'"', NOW)
    assert len(text) == MAX_VALUE_BYTES
    with pytest.raises(InvalidInput, match="Value too large"):
        canonical_value(b'"' + b"x" * (MAX_VALUE_BYTES - 1) + b'"', NOW)


@pytest.mark.parametrize("text", ["9" * 10_001, "-" + "9" * 400_000])
def test_bigints_of_more_digits_are_refused_before_they_are_read(text: str) -> None:
    digits = len(text.lstrip("-"))
    with pytest.raises(InvalidInput, match=rf"bigint has {digits} digits \(max 10000\)"):
        canonical_text({"a": [{"__type": "bigint", "value": text}]}, NOW)
    with pytest.raises(InvalidInput, match="bigint has too many digits"):
        encode_value(BigInt(10**10_000), None)
    assert decode_value('{"__type":"bigint","value":"1' + "0" * 10_000 + '"}') == 10**10_000

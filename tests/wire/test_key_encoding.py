"""The binary form of keys sorts like the keys, comes back as it was, and hides no siblings."""

from __future__ import annotations

import pytest
from buntime_keyval.wire import (
    BigInt,
    InvalidInput,
    Key,
    check_key,
    check_keys,
    decode_key,
    encode_key,
    encode_keys,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.keys import keys, order, parts
from support.sampling import share_of

pytestmark = pytest.mark.slow

some = settings(max_examples=share_of(300), deadline=None)


@some
@given(keys(), keys())
@example(check_key(["a\0", "b"]), check_key(["a", "b"]))
@example(check_key([b"\0"]), check_key([b"\0\0"]))
@example(check_key([BigInt(-256)]), check_key([BigInt(-255)]))
@example(check_key([-0.0]), check_key([0]))
@example(check_key([5]), check_key([BigInt(5)]))
@example(check_key([True]), check_key([1]))
def test_encodings_sort_like_keys(left: Key, right: Key) -> None:
    encoded = encode_key(left), encode_key(right)
    assert (encoded[0] < encoded[1]) == (order(left) < order(right))
    assert (encoded[0] == encoded[1]) == (order(left) == order(right))


def test_types_sort_in_the_documented_order() -> None:
    ascending: list[Key] = [
        (b"",), (b"\0",), (b"\0\0",), (b"\0\x01",), (b"\x01",), (b"\xff",), (b"\xff\xff",),
        ("",), ("", ""), ("\0",), ("a",), ("a", b""), ("a", "b"), ("a", 1), ("a", True), ("a\0",),
        ("a\0b",), ("ab",), ("user",), ("user", 1), ("user2",), ("users",), ("users", 1), ("é",),
        (-1e308,), (-100,), (-1.5,), (-1,), (0,), (0.5,), (1,), (2,), (10,), (1e308,),
        (BigInt(-(2**4000)),), (BigInt(-256),), (BigInt(-255),), (BigInt(-1),), (BigInt(0),),
        (BigInt(1),), (BigInt(255),), (BigInt(256),), (BigInt(2**2040),), (BigInt(2**4000),),
        (False,), (True,), (True, True),
    ]  # fmt: skip
    encoded = [encode_key(check_key(key)) for key in ascending]
    assert encoded == sorted(encoded)
    assert len(set(encoded)) == len(encoded)


@some
@given(keys())
def test_round_trip_keeps_types(key: Key) -> None:
    assert order(decode_key(encode_key(key))) == order(key)


@some
@given(st.lists(keys(3), min_size=1, max_size=4))
@example([("a", 1), ("a\0", -0.0, 1.0), (True, 1), ("a", True), (BigInt(1), b"a")])
def test_several_are_encoded_as_each(several: list[Key]) -> None:
    assert encode_keys(several) == [encode_key(key) for key in several]
    checked = check_keys([list(key) for key in several])
    assert [order(key) for key in checked] == [order(check_key(list(key))) for key in several]


@some
@given(keys(3), keys(4), st.lists(parts(), max_size=2))
@example(check_key(["user"]), check_key(["users", 1]), [])
@example(check_key(["a"]), check_key(["a\0b"]), [])
def test_descendants_are_exactly_what_lies_between(
    prefix: Key, other: Key, rest: list[object]
) -> None:
    start, end = encode_key(prefix), encode_key(prefix) + b"\xff"
    for key in (other, check_key([*prefix, *rest])):
        extends = len(key) > len(prefix) and order(key)[: len(prefix)] == order(prefix)
        assert (start < encode_key(key) < end) == extends


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An encoded key with some bytes cut, changed or put in."""
    encoded = bytearray(encode_key(draw(keys(2))))
    position = draw(st.integers(0, len(encoded)))
    cut = draw(st.integers(0, 3))
    encoded[position : position + cut] = draw(st.binary(max_size=3))
    return bytes(encoded)


@settings(max_examples=share_of(600), deadline=None)
@given(st.one_of(st.binary(max_size=24), damaged()))
@example(b"")
@example(b"\x03\x7f" + b"\xff" * 7)  # negative zero
@example(b"\x03\xff\xf8" + b"\0" * 6)  # not a number
@example(b"\x03\xff\xf0" + b"\0" * 6)  # infinity
@example(b"\x03\x00\x0f" + b"\xff" * 6)  # negative infinity
@example(b"\x04\x02\x00\x01\x00")  # a padded zero
@example(b"\x04\x02\x00\x02\x00\x05")  # a padded five
@example(b"\x04\x01\xff\xff")  # negative zero
@example(b"\x04\x07\x00\x01\x05")  # neither sign
@example(b"\x04\x02\x00")
@example(b"\x02\xff\x00")  # not UTF-8
@example(b"\x02\xed\xa0\x80\x00")  # a lone surrogate
@example(b"\x02a\x00\xff")  # an escape without an end
@example(b"\x05\x03")
def test_whatever_decodes_is_what_the_key_encodes_to(encoded: bytes) -> None:
    try:
        key = decode_key(encoded)
    except InvalidInput:
        return
    assert encode_key(key) == encoded


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\x02a",
        b"\x06",
        b"\x05\x00",
        b"\x03\x80",
        b"\x03\x7f" + b"\xff" * 7,
        b"\x03\xff\xf0" + b"\0" * 6,
        b"\x04\x02\x00\x01\x00",
        b"\x04\x07\x00\x01\x05",
        b"\x04\x02\x00\x05\x01",
        b"\x02\xff\x00",
    ],
)
def test_bytes_that_are_no_key_are_refused(encoded: bytes) -> None:
    with pytest.raises(InvalidInput, match="not an encoded key"):
        decode_key(encoded)


def test_a_lone_surrogate_has_no_encoding() -> None:
    with pytest.raises(InvalidInput, match="lone surrogate"):
        encode_key(("\ud800",))

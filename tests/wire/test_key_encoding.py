"""The binary form of keys sorts like the keys, comes back as it was, and hides no siblings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from buntime_keyval.wire import (
    BigInt,
    InvalidInput,
    Key,
    check_key,
    check_keys,
    decode_key,
    decode_keys,
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


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An encoded key with some bytes cut, changed or put in."""
    encoded = bytearray(encode_key(draw(keys(2))))
    position = draw(st.integers(0, len(encoded)))
    cut = draw(st.integers(0, 3))
    encoded[position : position + cut] = draw(st.binary(max_size=3))
    return bytes(encoded)


@st.composite
def neighbours(draw: st.DrawFn) -> list[Key]:
    """Keys as a list has them: few beginnings, many ends; and the beginnings themselves."""
    beginnings = draw(st.lists(keys(3), min_size=1, max_size=2))
    ends = st.one_of(st.just(()), parts().map(lambda part: (part,)), keys(2))
    return draw(
        st.lists(
            st.builds(lambda beginning, end: (*beginning, *end), st.sampled_from(beginnings), ends),
            min_size=1,
            max_size=8,
        )
    )


@some
@given(neighbours())
@example([("a", 1), ("a", 2), ("a",), ("a\0b", 3), ("a\0",), ("a", 1.5, 2), ("b", 2), ("a", -2)])
@example([(True, 1), (1, 1), (True, 2), (BigInt(1), 2), (1, 3)])
def test_many_are_decoded_as_each(several: list[Key]) -> None:
    encoded = [encode_key(key) for key in several]
    assert list(map(order, decode_keys(encoded))) == [order(decode_key(code)) for code in encoded]


@st.composite
def siblings(draw: st.DrawFn) -> list[Key]:
    """Keys that differ in their ends, all of which are of one kind."""
    head = draw(st.one_of(st.just(()), keys(2)))
    kinds: list[st.SearchStrategy[Any]] = [
        st.integers(0, 2**53 - 1),
        st.integers(-100, 100),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        st.text("a\0\1\2é", max_size=4),
        st.binary(max_size=4),
    ]
    ends = draw(st.lists(draw(st.sampled_from(kinds)), min_size=4, max_size=8))
    return [(*head, end) for end in ends]


@some
@given(siblings())
@example([(0,), (1.5,), (2**53 - 1,), (7,)])
@example([("a", 0), ("a", 1e21), ("a", 2.0**53), ("a", 7)])
@example([("a", -1), ("a", -0.5), ("a", 0), ("a", 7)])
@example([("a", "\2"), ("a", ""), ("a", "\0"), ("a", "é")])
def test_siblings_are_decoded_as_each(several: list[Key]) -> None:
    encoded = [encode_key(check_key(list(key))) for key in several]
    assert list(map(order, decode_keys(encoded))) == [order(decode_key(code)) for code in encoded]


@some
@given(siblings(), st.one_of(st.binary(max_size=12), damaged()), st.integers(0, 4))
@example([(1,)] * 4, b"\x80" + b"\0" * 7, 1)
@example([(1,)] * 4, b"\xff" * 8, 1)  # not a number
@example([("b",)] * 4, b"\0\xff", 1)  # cut off behind a zero
@example([("b",)] * 4, b"\xc3\0", 1)  # no UTF-8
@example([("b",)] * 4, b"a\0\2c\0", 1)  # two parts
@example([("b",)] * 4, b"a\0\2c", 1)
@example([("b",)] * 4, b"", 1)
def test_siblings_are_refused_as_each(several: list[Key], end: bytes, kept: int) -> None:
    encoded = [encode_key(check_key(list(key))) for key in several]
    encoded.append(encoded[-1][:kept] + end)
    assert outcome(lambda: decode_keys(encoded)[-1]) == outcome(lambda: decode_key(encoded[-1]))


def outcome(decode: Callable[[], Key]) -> Any:
    try:
        return order(decode())
    except InvalidInput as error:
        return str(error).partition(":")[0]


@some
@given(keys(3), st.one_of(st.binary(max_size=12), damaged()))
@example(("a",), b"\x03\x80" + b"\0" * 7)  # zero with a sign
def test_many_are_refused_as_each(key: Key, end: bytes) -> None:
    beginning = encode_key(key)
    encoded = [beginning + encode_key((1,)), beginning + encode_key((2,)), beginning + end]
    assert outcome(lambda: decode_keys(encoded)[-1]) == outcome(lambda: decode_key(encoded[-1]))


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

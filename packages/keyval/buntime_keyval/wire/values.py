"""Values: any JSON, with tagged forms for bigints and bytes and a placeholder for the time.

A stored value is *canonical* JSON text: compact, UTF-8, integral numbers without `.0`, no
negative zero, tagged bigints in plain decimal. Readers splice that text into their answers.
"""

from __future__ import annotations

import gc
import math
import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from buntime_keyval.wire.binary import BYTES_TYPE, tag_bytes, untag_bytes
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import UUIDV7
from buntime_keyval.wire.limits import MAX_SAFE_INTEGER, MAX_VALUE_BYTES, MAX_VALUE_DEPTH
from buntime_keyval.wire.numbers import (
    BIGINT_TYPE,
    TYPE_MEMBER,
    BigInt,
    is_tagged_bigint,
    normal_integer,
    plain_number,
    read_integer,
    tag_bigint,
)
from buntime_keyval.wire.stamps import placeholder_value

NOW_MEMBER = "$now"
"""An object whose member of this name is true stands for the server's time."""

# Characters as numbers: bytes are searched for one in a fraction of the time for bytes.
_POINT, _DOLLAR, _LINE = b".$_"
# Of the two places where a number can end in `.0`, the common one: searched for by its literal
# beginning, which takes a hundredth of the time of a pattern that says both.
_WHOLE_FLOAT = re.compile(rb"\.0[,\]}]")
# Integers of more digits than these may be beyond a double. A run of so many digits holds as many
# neighbouring ones of every hundredth byte.
_DOUBLE_DIGITS = 308
_STRIDE = 100
_SURELY_GOOD = _DOUBLE_DIGITS
"""Bytes of a text that has neither too large numbers nor too many levels: each of these has a
bracket on both sides."""
_LONG_SAMPLE = re.compile(rb"[0-9]{%d}" % ((_DOUBLE_DIGITS + 1) // _STRIDE))
_LONG_NUMBER = b"0" * (_DOUBLE_DIGITS + 1)
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TYPE_TEXT = '"__type":'
_LONG_TEXT = 100_000
_ENDS_AS_COMMAS = bytes.maketrans(b"]}", b",,")
_FIRST_EXPONENT = 1e16
"""From here on floats are written with an exponent, and without `.0`."""
_BYTES_LIKE = (bytes, bytearray, memoryview)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


def _read_float(text: str) -> int | float:
    """A whole number as an integer, where it would be written with `.0` otherwise."""
    number = float(text)
    if math.isinf(number):
        raise InvalidInput("Invalid JSON body")
    return (
        int(number)
        if -_FIRST_EXPONENT < number < _FIRST_EXPONENT and number.is_integer()
        else number
    )


# Calls back for each fraction, so only where there seem to be whole ones among them.
_decode_plain = msgspec.json.Decoder(float_hook=_read_float).decode


def decode_json(body: bytes, around: int = 0) -> Any:
    """A JSON text as Python objects, `around` being the levels around the values in it.

    Raises `InvalidInput` for an empty or malformed text, NaN, infinities, numbers beyond a
    double, lone surrogates, bytes that are not UTF-8, and nesting beyond the limit.
    """
    return decode_levels(body, MAX_VALUE_DEPTH + around)


def decode_levels(body: bytes, levels: int) -> Any:
    """As `decode_json`, for a text of which only so many levels may be nested."""
    value = _decoded(_decode_plain if _has_whole_float(body) else _decode, body)
    if len(body) > 2 * levels:  # each level has a bracket on both sides
        check_depth(value, levels)
    if (
        len(body) > _DOUBLE_DIGITS
        and _LONG_SAMPLE.search(body[::_STRIDE])
        and _LONG_NUMBER in body.translate(_DIGITS_AS_ZEROS)
    ):
        _check_range(value)
    return value


def decode_long(body: bytes, levels: int) -> Any:
    """The same of a long text with few members: to look at each of them takes no time."""
    value = _decoded(_decode, body)
    check_depth(value, levels)
    _check_range(value)
    return value


def _decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidInput("Invalid JSON body") from None
    except RecursionError:
        raise too_deep() from None


def canonical_value(body: bytes, now_ms: int) -> str:
    """The canonical text of a JSON value that a client sent, with `$now` resolved.

    Raises `InvalidInput` as `decode_json` does, and for broken tagged values or too large ones.
    """
    text = plain_text(body)
    return canonical_text(decode_json(body), now_ms) if text is None else text


def plain_text(body: bytes) -> str | None:
    """The canonical text of a short JSON value without anything special in it.

    None for any other text, which need not be JSON.
    """
    if len(body) > _SURELY_GOOD:
        return None
    try:
        text = _encode(_decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if _POINT in text or _has_special(text) else text.decode()


def canonical_text(value: Any, now_ms: int) -> str:
    """The canonical text of a decoded JSON value, with `$now` resolved."""
    return checked_text(canonical_json(value, now_ms))


def canonical_part(value: Any, now_ms: int) -> str:
    """The same of a value that is a part of a decoded text, which may be nested deeper."""
    text = canonical_text(value, now_ms)
    if len(text) > 2 * MAX_VALUE_DEPTH:  # each level has a bracket on both sides
        check_depth(value, MAX_VALUE_DEPTH)
    return text


def canonical_json(value: Any, now_ms: int) -> bytes:
    """The same as bytes of any length."""
    if isinstance(value, str):
        return _encode(value)
    text = _encoded(value)
    if _has_special(text):
        # The array around it is what its place in is changed.
        text = canonical_members([value], now_ms)[1:-1]
    return text


def canonical_members(members: Any, now_ms: int) -> bytes:
    """The canonical text of an array or object that is a part of one, with brackets around it.

    What stands for something else is looked for below it: itself, it is not whole.
    """
    text = _encoded(members)
    if _has_special(text):
        members = _decode(text)
        _resolve(members, now_ms)
        text = _encode(members)
    return text


def _encoded(value: Any) -> bytes:
    """The text of a decoded value, with whole numbers as such."""
    text = _encode(value)
    # Most texts are canonical as they are encoded. What they hold is looked for in the text, since
    # a look at every member takes ten times as long.
    if _has_whole_float(text) or text.endswith(b".0"):
        text = _encode(_decode_plain(text))
    return text


def _has_whole_float(text: bytes) -> bool:
    """Whether some number of a compact text ends in `.0`, or a text in it looks like that."""
    if len(text) < _LONG_TEXT:
        return _POINT in text and _WHOLE_FLOAT.search(text) is not None
    # Of what almost matches, a pattern would try every place.
    return b".0," in text.translate(_ENDS_AS_COMMAS)


def _has_special(text: bytes) -> bool:
    """Whether there may be an object in a canonical text that stands for something else."""
    # One character is found in a fiftieth of the time that a name takes.
    return (_DOLLAR in text and b'"$now"' in text) or (_LINE in text and b'"__type"' in text)


def encode_value(value: Any, now_ms: int | None, *, placeholders: bool = False) -> str:
    """The canonical text of a Python value; `now_ms` None leaves `$now` for the server.

    `placeholders` allows `UUIDV7`, which is left for the commit: see `stamps.py`.

    JSON types as they are; `BigInt`, and integers beyond ±(2^53 - 1), as tagged bigints; `bytes`
    tagged; tuples and sets as arrays; dataclasses and msgspec structs as objects; `datetime`,
    `UUID`, `Decimal` and enumerations as msgspec writes them.

    Raises `InvalidInput` for NaN, infinities, lone surrogates, and types that JSON cannot hold.
    """
    try:
        text = _flat_text(value)
        if text is not None:
            return checked_text(text)
        plain = msgspec.to_builtins(
            value,
            builtin_types=_BYTES_LIKE,
            str_keys=True,
            enc_hook=_placed if placeholders else _tag_exact_integer,
        )
        return checked_text(_encode(_canonical_python(plain, now_ms)))
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidInput(f"Value cannot be stored as JSON: {error}") from None
    except RecursionError:
        raise too_deep() from None


def _flat_text(value: Any) -> bytes | None:
    """The text of a small Python value that is JSON as it is, without a look at each member.

    None for others: with containers or numbers in it that need one, or that stand for something.
    """
    kind = type(value)
    if kind is dict:
        if len(value) > _FEW_MEMBERS or not (
            _PLAIN_TYPES.issuperset(map(type, value.values()))
            and _NAMES.issuperset(map(type, value))
        ):
            return None
    elif kind is list:
        if len(value) > _FEW_MEMBERS or not _PLAIN_TYPES.issuperset(map(type, value)):
            return None
    elif kind not in _PLAIN_TYPES:
        return None
    try:
        text = _encode(value)
    except ValueError:  # a very long number, or what is no text
        return None
    # A quarter of the price of a pattern, which begins anew at each byte. Nor is it `in`, which
    # takes bytes for a number first, and an exception for the answer that they are none.
    may_be_rounded = text.translate(_DIGITS_AS_ZEROS).find(_LONG_INTEGER) >= 0
    return None if may_be_rounded or _has_special(text) else text


_FEW_MEMBERS = 100
_NAMES = frozenset({str})
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
_LONG_INTEGER = b"0" * len(str(MAX_SAFE_INTEGER))
"""In the text of every integer that may not stand there as it is, with all digits as zeros."""


def decode_value(text: str) -> Any:
    """The Python value of a canonical text, tagged bigints and bytes as `BigInt` and `bytes`."""
    value = _decode(text)
    return untag(value) if _TYPE_TEXT in text else value


def resolve_now(value: dict[str, Any], now_ms: int) -> int | float:
    """The time that a `$now` object stands for; both spellings of its offset are accepted."""
    offset = value.get("$offset", value.get("offset", 0))
    if isinstance(offset, bool) or not isinstance(offset, (int, float)):
        raise InvalidInput(f"$now offset must be a number of milliseconds, received {offset!r:.50}")
    moment = now_ms + offset
    return plain_number(moment) if isinstance(moment, float) else moment


def _resolve(value: list[Any] | dict[str, Any], now_ms: int) -> None:
    """Put what they stand for in the places of all objects below a container."""
    containers: list[Any] = [value]
    while containers:
        container = containers.pop()
        members = container.items() if type(container) is dict else enumerate(container)
        for name, member in members:
            if type(member) is dict:
                if (stands_for := special(member, now_ms)) is not None:
                    container[name] = stands_for
                else:
                    containers.append(member)
            elif type(member) is list:
                containers.append(member)


def _canonical_python(value: Any, now_ms: int | None, depth: int = 0) -> Any:
    """A Python value in its canonical form, with what JSON lacks tagged.

    In a JSON body a long integer is a double; in Python it means itself.
    """
    kind = type(value)
    if kind is str:
        return value
    if kind is int:
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else tag_bigint(value)
    if isinstance(value, (list, tuple)):
        _check_level(depth)
        return [_canonical_python(item, now_ms, depth + 1) for item in value]
    if isinstance(value, dict):
        _check_level(depth)
        if (stands_for := special(value, now_ms)) is not None:
            return stands_for
        return {name: _canonical_python(item, now_ms, depth + 1) for name, item in value.items()}
    if isinstance(value, _BYTES_LIKE):
        return tag_bytes(bytes(value))
    return _finite(value) if kind is float else value


_NOW_MEMBERS = (NOW_MEMBER, "$offset", "offset")
_TAGGED_MEMBERS = (TYPE_MEMBER, "value")


def special(value: dict[str, Any], now_ms: int | None) -> Any:
    """The canonical form of an object that stands for something else; None for all others.

    Raises `InvalidInput` for one with more members than that has, which would be lost.
    """
    if now_ms is not None and value.get(NOW_MEMBER) is True:
        _refuse_others(value, _NOW_MEMBERS)
        return resolve_now(value, now_ms)
    kind = value.get(TYPE_MEMBER)
    if kind in (BIGINT_TYPE, BYTES_TYPE):
        _refuse_others(value, _TAGGED_MEMBERS)
    if kind == BIGINT_TYPE:
        return {TYPE_MEMBER: BIGINT_TYPE, "value": normal_integer(value.get("value"))}
    if kind == BYTES_TYPE:
        return tag_bytes(untag_bytes(value))
    return None


def _refuse_others(value: dict[str, Any], members: tuple[str, ...]) -> None:
    if len(value) > 1 and not value.keys() <= {*members}:
        other = next(name for name in value if name not in members)
        raise InvalidInput(
            f"An object with {members[0]} stands for something else and may have"
            f" {' and '.join(members[1:])} beside it, received {other!r:.50} too"
        )


def _tag_exact_integer(value: object) -> Any:
    if isinstance(value, BigInt):
        return tag_bigint(value)
    if value is UUIDV7:
        raise TypeError("a uuidv7 placeholder is allowed only in keys and values of entries")
    raise TypeError(f"objects of type {type(value).__name__} are not supported")


def _placed(value: object) -> Any:
    return placeholder_value() if value is UUIDV7 else _tag_exact_integer(value)


def untag(value: Any) -> Any:
    """A decoded JSON value with `BigInt` and `bytes` in the place of their tagged forms."""
    if isinstance(value, list):
        return [untag(item) for item in value]
    if isinstance(value, dict):
        if is_tagged_bigint(value):
            # However long: it was stored, be it before there was a limit.
            return BigInt(read_integer(value.get("value")))
        if value.get(TYPE_MEMBER) == BYTES_TYPE:
            return untag_bytes(value)
        return {name: untag(member) for name, member in value.items()}
    return value


def _finite(value: float) -> int | float:
    if not math.isfinite(value):
        raise InvalidInput(f"Value cannot be stored as JSON: {value} is not a JSON number")
    return plain_number(value)


def check_depth(value: Any, levels: int) -> None:
    """Refuse nesting beyond so many levels."""
    # What a container refers to are its members, and to those that are none, nothing: the members
    # of a whole level at once, without a look at any of them here.
    level = gc.get_referents(value)
    for _ in range(levels - 1):
        if not level:
            return
        level = gc.get_referents(*level)
    if any(isinstance(item, (list, dict)) for item in level):
        raise too_deep()


def _check_range(value: Any) -> None:
    """Refuse integers that no double holds; fractions and exponents were refused before."""
    level = [value]
    while level:
        for item in level:
            if type(item) is int and not -sys.float_info.max <= item <= sys.float_info.max:
                raise InvalidInput("Invalid JSON body")
        level = gc.get_referents(*level)


def _check_level(depth: int) -> None:
    if depth >= MAX_VALUE_DEPTH:
        raise too_deep()


def checked_text(text: bytes) -> str:
    """A canonical text that is not too long. Raises `InvalidInput`."""
    if len(text) > MAX_VALUE_BYTES:
        raise InvalidInput(f"Value too large: {len(text)} bytes (max {MAX_VALUE_BYTES})")
    return text.decode()


def too_deep() -> InvalidInput:
    """The error of nesting beyond the limit."""
    return InvalidInput(f"JSON nested too deep (max {MAX_VALUE_DEPTH} levels)")

"""Values: any JSON, with tagged forms for bigints and bytes and a placeholder for the time.

A stored value is *canonical* JSON text: compact, UTF-8, integral numbers without `.0`, no
negative zero, tagged bigints in plain decimal. Readers splice that text into their answers.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import msgspec

from buntime_keyval.wire.binary import BYTES_TYPE, tag_bytes, untag_bytes
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_SAFE_INTEGER, MAX_VALUE_BYTES, MAX_VALUE_DEPTH
from buntime_keyval.wire.numbers import (
    BIGINT_TYPE,
    TYPE_MEMBER,
    BigInt,
    is_tagged_bigint,
    parse_integer,
    plain_number,
    tag_bigint,
)

NOW_MEMBER = "$now"
"""An object whose member of this name is true stands for the server's time."""

# Only texts that match hold something to resolve or to rewrite; most do not, and are spared the
# walk. A match inside a string costs a needless walk, no more.
_NEEDS_WALK = re.compile(rb'\.0(?:[,\]}]|$)|"\$now":|"__type":')
# More digits than these may be beyond a double.
_DOUBLE_DIGITS = 308
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (_DOUBLE_DIGITS + 1))
_TYPE_TEXT = '"__type":'
_BYTES_LIKE = (bytes, bytearray, memoryview)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


def decode_json(body: bytes) -> Any:
    """A JSON text as Python objects.

    Raises `InvalidInput` for an empty or malformed text, NaN, infinities, numbers beyond a
    double, lone surrogates, bytes that are not UTF-8, and nesting beyond the limit.
    """
    try:
        value = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidInput("Invalid JSON body") from None
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value, body)
    if len(body) > _DOUBLE_DIGITS and _LONG_NUMBER.search(body):
        _check_range(value)
    return value


def canonical_value(body: bytes, now_ms: int) -> str:
    """The canonical text of a JSON value that a client sent, with `$now` resolved.

    Raises `InvalidInput` as `decode_json` does, and for broken tagged values or too large ones.
    """
    return canonical_text(decode_json(body), now_ms)


def canonical_text(value: Any, now_ms: int) -> str:
    """The canonical text of a decoded JSON value, with `$now` resolved."""
    text = _encode(value)
    if _NEEDS_WALK.search(text):
        text = _encode(_canonical(value, now_ms))
    return _checked_text(text)


def encode_value(value: Any, now_ms: int | None) -> str:
    """The canonical text of a Python value; `now_ms` None leaves `$now` for the server.

    JSON types as they are; `BigInt`, and integers beyond ±(2^53 - 1), as tagged bigints; `bytes`
    tagged; tuples and sets as arrays; dataclasses and msgspec structs as objects; `datetime`,
    `UUID`, `Decimal` and enumerations as msgspec writes them.

    Raises `InvalidInput` for NaN, infinities, lone surrogates, and types that JSON cannot hold.
    """
    try:
        plain = msgspec.to_builtins(
            value, builtin_types=_BYTES_LIKE, str_keys=True, enc_hook=_tag_exact_integer
        )
        return _checked_text(_encode(_canonical_python(plain, now_ms)))
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidInput(f"Value cannot be stored as JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None


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


def _canonical(value: Any, now_ms: int | None, depth: int = 0) -> Any:
    """A decoded JSON value with everything in its canonical form."""
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, list):
        _check_level(depth)
        return [_canonical(item, now_ms, depth + 1) for item in value]
    if isinstance(value, dict):
        _check_level(depth)
        if (stands_for := _special(value, now_ms)) is not None:
            return stands_for
        return {name: _canonical(member, now_ms, depth + 1) for name, member in value.items()}
    return value


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
        if (stands_for := _special(value, now_ms)) is not None:
            return stands_for
        return {name: _canonical_python(item, now_ms, depth + 1) for name, item in value.items()}
    if isinstance(value, _BYTES_LIKE):
        return tag_bytes(bytes(value))
    return _finite(value) if kind is float else value


def _special(value: dict[str, Any], now_ms: int | None) -> Any:
    """The canonical form of an object that stands for something else; None for all others."""
    if now_ms is not None and value.get(NOW_MEMBER) is True:
        return resolve_now(value, now_ms)
    kind = value.get(TYPE_MEMBER)
    if kind == BIGINT_TYPE:
        return tag_bigint(parse_integer(value.get("value")))
    if kind == BYTES_TYPE:
        return tag_bytes(untag_bytes(value))
    return None


def _tag_exact_integer(value: object) -> Any:
    if isinstance(value, BigInt):
        return tag_bigint(value)
    raise TypeError(f"objects of type {type(value).__name__} are not supported")


def untag(value: Any) -> Any:
    """A decoded JSON value with `BigInt` and `bytes` in the place of their tagged forms."""
    if isinstance(value, list):
        return [untag(item) for item in value]
    if isinstance(value, dict):
        if is_tagged_bigint(value):
            return BigInt(parse_integer(value.get("value")))
        if value.get(TYPE_MEMBER) == BYTES_TYPE:
            return untag_bytes(value)
        return {name: untag(member) for name, member in value.items()}
    return value


def _finite(value: float) -> int | float:
    if not math.isfinite(value):
        raise InvalidInput(f"Value cannot be stored as JSON: {value} is not a JSON number")
    return plain_number(value)


def _check_depth(value: Any, body: bytes) -> None:
    """Refuse nesting beyond the limit; bodies with few brackets cannot be that deep."""
    if body.count(b"[") + body.count(b"{") > MAX_VALUE_DEPTH:
        level = [value]
        for _ in range(MAX_VALUE_DEPTH):
            level = [
                member
                for item in level
                if isinstance(item, (list, dict))
                for member in (item.values() if isinstance(item, dict) else item)
            ]
            if not level:
                return
        if any(isinstance(item, (list, dict)) for item in level):
            raise _too_deep()


def _check_range(value: Any) -> None:
    """Refuse integers that no double holds; fractions and exponents were refused before."""
    if isinstance(value, int):
        if not -sys.float_info.max <= value <= sys.float_info.max:
            raise InvalidInput("Invalid JSON body")
    elif isinstance(value, (list, dict)):
        for member in value.values() if isinstance(value, dict) else value:
            _check_range(member)


def _check_level(depth: int) -> None:
    if depth >= MAX_VALUE_DEPTH:
        raise _too_deep()


def _checked_text(text: bytes) -> str:
    if len(text) > MAX_VALUE_BYTES:
        raise InvalidInput(f"Value too large: {len(text)} bytes (max {MAX_VALUE_BYTES})")
    return text.decode()


def _too_deep() -> InvalidInput:
    return InvalidInput(f"JSON nested too deep (max {MAX_VALUE_DEPTH} levels)")

"""Integers of any size, and the JSON form that keeps them exact."""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_BIGINT_DIGITS

TYPE_MEMBER = "__type"
BIGINT_TYPE = "bigint"

_DECIMAL = re.compile(r"[+-]?[0-9]+")
# Python refuses to convert very long decimal texts to int and back; decimal does not.
_LONG_TEXT = 4000
_TOO_LARGE: int = 10**MAX_BIGINT_DIGITS
_FEWEST_BITS = _TOO_LARGE.bit_length() - 1
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


class TooManyDigits(InvalidInput):
    """A bigint has more digits than it may."""

    def __init__(self, digits: int | None = None) -> None:
        """`digits` where they are known."""
        number = "too many" if digits is None else digits
        super().__init__(f"bigint has {number} digits (max {MAX_BIGINT_DIGITS})")


class BigInt(int):
    """An integer that is a bigint on the wire: `5` and `BigInt(5)` are different keys."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"BigInt({format_integer(self)})"


def parse_integer(text: object) -> int:
    """The integer of a decimal text. Raises `InvalidInput` for anything else, or too many digits.

    Nothing is converted before the digits are counted.
    """
    return read_integer(normal_integer(text))


def normal_integer(text: object) -> str:
    """The decimal text without a plus sign and leading zeros; raises as `parse_integer`."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise _no_decimal(text)
    digits = text.lstrip("+-0") or "0"
    if len(digits) > MAX_BIGINT_DIGITS:
        raise TooManyDigits(len(digits))
    return f"-{digits}" if text[0] == "-" and digits != "0" else digits


def _no_decimal(value: object) -> InvalidInput:
    if value is None:
        shown = "none"
    else:
        shown = f'"{value[:50]}"' if isinstance(value, str) else f"{value!r:.50}, which is not text"
    return InvalidInput(f"bigint value must be a decimal string, received {shown}")


def operand_of_text(kind: str, text: object) -> int:
    """The operand of a numeric mutation of this type, written as text. Raises `InvalidInput`.

    As JavaScript's BigInt() reads it: blanks around it, 0x, 0o, 0b, empty is 0.
    """
    try:
        return _integer_of_text(text)
    except TooManyDigits:
        raise
    except ValueError:
        raise InvalidInput(
            f'{kind} value is not a valid integer: "{str(text)[:50]}", '
            'use decimal digits such as "42"'
        ) from None


def _integer_of_text(text: object) -> int:
    stripped = text.strip() if isinstance(text, str) else text
    if stripped == "":
        return 0
    if isinstance(stripped, str) and stripped[:2].lower() in ("0x", "0o", "0b"):
        # These take no time to read, but to write as decimals.
        number = int(stripped.replace("_", "?"), 0)
        if is_long(number):
            raise TooManyDigits
        return number
    return parse_integer(stripped)


def read_integer(text: object) -> int:
    """The integer of a decimal text of any length. Raises `InvalidInput` for anything else."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise _no_decimal(text)
    return int(text) if len(text) < _LONG_TEXT else int(Decimal(text))


def format_integer(value: int) -> str:
    """Decimal text of an integer: no leading zeros, `-` for negative ones."""
    if value.bit_length() < _LONG_TEXT * 3:
        return str(int(value))
    return format(_EXACT.create_decimal(value), "f")


def is_long(value: int) -> bool:
    """Whether an integer has more digits than a bigint may have."""
    return value.bit_length() >= _FEWEST_BITS and abs(value) >= _TOO_LARGE


def tag_bigint(value: int) -> dict[str, Any]:
    """The JSON form of a bigint. Raises `InvalidInput` for one with too many digits."""
    if is_long(value):
        raise TooManyDigits
    return {TYPE_MEMBER: BIGINT_TYPE, "value": format_integer(value)}


def is_tagged_bigint(value: object) -> bool:
    """Whether a decoded JSON value is the JSON form of a bigint."""
    return isinstance(value, dict) and value.get(TYPE_MEMBER) == BIGINT_TYPE


def plain_number(value: float) -> int | float:
    """A double as JavaScript prints it: integral ones as integers, and no negative zero."""
    if value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value

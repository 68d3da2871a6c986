"""The nodes of parsed filters. They are frozen, so that one parsed filter serves many calls."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class InvalidWhere(ValueError):
    """The filter cannot be understood or is too large; the message tells the client why."""


class NowOperand(msgspec.Struct, frozen=True):
    """The server's time plus an offset in milliseconds, known only when the filter runs."""

    offset: int | float = 0


Number: TypeAlias = int | float
"""An int is exact, whatever its size; a float is a fraction or lies outside 64 bits."""

Scalar: TypeAlias = str | bool | int | float | NowOperand | None

Operand: TypeAlias = Scalar | tuple[Scalar, ...]

Path: TypeAlias = tuple[str | int, ...]
"""Steps from the root: a member's name, an index, or a negative index that counts from the end."""


class Comparison(msgspec.Struct, frozen=True):
    """One operator on one field; `operand` is a tuple for `$in`, `$nin` and `$between`."""

    path: Path
    operator: str
    operand: Operand


class And(msgspec.Struct, frozen=True):
    """All members hold. Without members it holds for every value, which is what `{}` means."""

    members: tuple[Where, ...]


class Or(msgspec.Struct, frozen=True):
    """At least one member holds; the parser makes none without members."""

    members: tuple[Where, ...]


class Not(msgspec.Struct, frozen=True):
    """The member is false. Where the member is unknown, so is this: no match."""

    member: Where


Where: TypeAlias = Comparison | And | Or | Not


class OfType(msgspec.Struct, frozen=True):
    """The entry has this type, and its value matches the filter, if there is one."""

    type: str
    where: Where | None = None


class OfPattern(msgspec.Struct, frozen=True):
    """The key fits a pattern, and the entry is otherwise as wanted."""

    pieces: tuple[bytes, ...]
    """The pattern's encoded pieces before, between and after the parts that may be any."""
    wanted: Where | OfType | None = None


Wanted: TypeAlias = Where | OfType | OfPattern
"""Conditions on an entry."""


def wanted_of(
    where: Where | None, type: str | None, pattern: tuple[bytes, ...] | None = None
) -> Wanted | None:
    """A filter, a type and a pattern combined; None if there is none of them."""
    wanted = where if type is None else OfType(type, where)
    return wanted if pattern is None else OfPattern(pattern, wanted)


def normal_number(number: Number) -> Number:
    """Return an integral float as the equal int where that fits 64 bits.

    JSON has one number type, and stored integral numbers are written without a fraction.
    """
    if isinstance(number, float) and number.is_integer() and INT64_MIN <= number <= INT64_MAX:
        return int(number)
    return number


def resolve(scalar: Scalar, now_ms: int) -> str | bool | int | float | None:
    """Return the scalar itself, or for `NowOperand` the number that it stands for at `now_ms`."""
    return normal_number(now_ms + scalar.offset) if isinstance(scalar, NowOperand) else scalar


def count_conditions(where: Wanted | None) -> int:
    """The number of conditions that a filter tests."""
    match where:
        case None:
            return 0
        case OfType():
            return 1 + count_conditions(where.where)
        case OfPattern():
            return 1 + count_conditions(where.wanted)
        case Not():
            return count_conditions(where.member)
        case And() | Or():
            return sum(count_conditions(member) for member in where.members)
        case _:
            return 1

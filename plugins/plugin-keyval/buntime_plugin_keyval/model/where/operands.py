"""The operands of filters: scalars, `$now`, tagged bigints, and what each operator accepts."""

from __future__ import annotations

import math

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_BIGINT_DIGITS
from buntime_keyval.wire.numbers import (
    TooManyDigits,
    is_long,
    is_tagged_bigint,
    normal_integer,
    read_integer,
)

from buntime_plugin_keyval.model.where import nodes
from buntime_plugin_keyval.model.where.budget import FilterBudget

_NOW_MEMBERS = frozenset({"$now", "$offset", "offset"})

_FLAGS = frozenset({"$null", "$empty", "$notEmpty"})
_EQUALITIES = frozenset({"$eq", "$ne"})
_LISTS = frozenset({"$in", "$nin"})
_ORDERS = frozenset({"$gt", "$gte", "$lt", "$lte"})
_TEXTS = frozenset(
    name + suffix
    for name in ("$contains", "$notContains", "$startsWith", "$endsWith")
    for suffix in ("", "i")
)
OPERATORS = _FLAGS | _EQUALITIES | _LISTS | _ORDERS | _TEXTS | {"$between"}
"""Every operator that a field takes."""


def is_scalar_object(raw: dict[object, object]) -> bool:
    """Say whether the JSON object stands for a scalar: `$now` or a tagged bigint."""
    return "$now" in raw or is_tagged_bigint(raw)


def parse_operand(operator: str, raw: object, budget: FilterBudget) -> nodes.Operand:
    """Return the operand of a known operator; raises InvalidWhere where its type is wrong."""
    if operator in _FLAGS:
        if not isinstance(raw, bool):
            raise nodes.InvalidWhere(f"{operator} expects true or false, not {_kind(raw)}")
        return raw
    if operator in _EQUALITIES:
        return parse_scalar(operator, raw, budget)
    if operator in _LISTS:
        return _parse_list(operator, raw, budget)
    if operator in _ORDERS:
        return _parse_ordered(operator, raw, budget)
    if operator in _TEXTS:
        if not isinstance(raw, str):
            raise nodes.InvalidWhere(f"{operator} expects a string, not {_kind(raw)}")
        return _valid_text(operator, raw)
    return _parse_bounds(operator, raw, budget)


def parse_scalar(operator: str, raw: object, budget: FilterBudget) -> nodes.Scalar:
    """Return a scalar operand.

    A plain JSON integer outside 64 bits becomes a float, as SQLite reads the same digits in a
    stored value; a tagged bigint (or in process an instance of a subclass of int) stays exact.
    """
    if raw is None or isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        return _valid_text(operator, raw)
    if isinstance(raw, int | float):
        return _parse_number(operator, raw)
    if isinstance(raw, dict):
        if "$now" in raw:
            return _parse_now(raw)
        if is_tagged_bigint(raw):
            return _parse_bigint(raw, budget)
    raise nodes.InvalidWhere(
        f"{operator} expects a string, number, boolean, null, bigint or $now, not {_kind(raw)}"
    )


def _parse_number(operator: str, raw: nodes.Number) -> nodes.Number:
    if isinstance(raw, int):
        if nodes.INT64_MIN <= raw <= nodes.INT64_MAX:
            return int(raw)
        if type(raw) is not int:
            if is_long(raw):
                raise nodes.InvalidWhere(f"A bigint has at most {MAX_BIGINT_DIGITS} digits")
            return int(raw)
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise nodes.InvalidWhere(
            f"{operator} expects a finite number; larger ones are sent as bigint"
        )
    return nodes.normal_number(number)


def _parse_now(raw: dict[object, object]) -> nodes.NowOperand:
    if raw["$now"] is not True:
        raise nodes.InvalidWhere('$now expects true, as in {"$now": true, "$offset": -1000}')
    if unknown := [name for name in raw if name not in _NOW_MEMBERS]:
        raise nodes.InvalidWhere(f"$now stands alone or with $offset, not with {unknown[0]}")
    # The original's client writes the offset without the dollar sign; the documented name wins.
    offset = raw["$offset"] if "$offset" in raw else raw.get("offset", 0)
    if isinstance(offset, bool) or not isinstance(offset, int | float):
        raise nodes.InvalidWhere(f"$offset expects a number of milliseconds, not {_kind(offset)}")
    return nodes.NowOperand(_parse_number("$offset", offset))


def _parse_bigint(raw: dict[object, object], budget: FilterBudget) -> int:
    usage = 'A bigint is written {"__type": "bigint", "value": "<decimal>"}'
    if len(raw) != 2:
        raise nodes.InvalidWhere(usage)
    try:
        digits = normal_integer(raw.get("value"))
    except TooManyDigits:
        raise nodes.InvalidWhere(f"A bigint has at most {MAX_BIGINT_DIGITS} digits") from None
    except InvalidInput:
        raise nodes.InvalidWhere(usage) from None
    budget.take_digits(len(digits))
    return read_integer(digits)


def _parse_list(operator: str, raw: object, budget: FilterBudget) -> tuple[nodes.Scalar, ...]:
    if not isinstance(raw, list | tuple):
        raise nodes.InvalidWhere(f"{operator} expects an array, not {_kind(raw)}")
    budget.take_elements(operator, len(raw))
    return tuple(parse_scalar(operator, element, budget) for element in raw)


def _parse_ordered(operator: str, raw: object, budget: FilterBudget) -> nodes.Scalar:
    if raw is None or isinstance(raw, bool):
        raise nodes.InvalidWhere(f"{operator} expects a number, string or $now, not {_kind(raw)}")
    return parse_scalar(operator, raw, budget)


def _parse_bounds(operator: str, raw: object, budget: FilterBudget) -> tuple[nodes.Scalar, ...]:
    if not isinstance(raw, list | tuple) or len(raw) != 2:
        raise nodes.InvalidWhere(f"{operator} expects an array of two: [min, max]")
    low, high = (_parse_ordered(operator, bound, budget) for bound in raw)
    if isinstance(low, str) != isinstance(high, str):
        raise nodes.InvalidWhere(f"{operator} expects two numbers or two strings, not one of each")
    return low, high


def _valid_text(operator: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise nodes.InvalidWhere(f"{operator} has a string with a lone surrogate") from None
    return text


def _kind(raw: object) -> str:
    """Name a JSON type for a message."""
    if raw is None:
        return "null"
    for kind, name in (
        (bool, "a boolean"),
        (str, "a string"),
        (int | float, "a number"),
        (list | tuple, "an array"),
        (dict, "an object"),
    ):
        if isinstance(raw, kind):
            return name
    return type(raw).__name__

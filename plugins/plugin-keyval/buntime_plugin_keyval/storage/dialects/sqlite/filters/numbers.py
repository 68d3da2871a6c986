"""Comparisons with numbers, exact over 64-bit integers, doubles and tagged bigints.

SQLite compares its integers and doubles with each other exactly. A tagged bigint is stored as an
object that holds canonical decimal text: no leading zeros, so first the sign, then the length,
then the digits decide.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping

from buntime_keyval.wire.numbers import format_integer

from buntime_plugin_keyval.model.where.nodes import INT64_MAX, INT64_MIN, Number
from buntime_plugin_keyval.storage.dialects.sqlite.filters.fragments import Fragment, Value
from buntime_plugin_keyval.storage.filters.tree import Sign

SIGNS: Mapping[Sign, str] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_EXACT_INTEGERS = 2**53
"""From here on a double has no fraction, up to here it holds every integer."""


_TAGGED = (
    """o IN ('{"__type":"bigint","value":"' || s || '"}', """
    """'{"value":"' || s || '","__type":"bigint"}') """
    "AND (s = '0' OR (s GLOB '[1-9]*' OR s GLOB '-[1-9]*') AND ltrim(s, '-') NOT GLOB '*[^0-9]*')"
)
"""The JSON text o of an object is a tagged bigint whose member `value` is the decimal text s."""


def number_keys(numbers: Iterable[Number]) -> tuple[list[Value], bool]:
    """Return what `json_extract` yields for values equal to one of the numbers.

    An integer can be stored as a number or as a tagged bigint, whose two members can stand in
    either order. The flag says that something else could yield the same: a boolean, a string.
    """
    keys: dict[Value, None] = {}
    maybe_other = False
    for number in numbers:
        if isinstance(number, float) and not number.is_integer():
            keys[number] = None
            continue
        maybe_other = True
        integer = int(number)
        if INT64_MIN <= integer <= INT64_MAX:
            keys[integer] = None
        elif abs(integer) <= sys.float_info.max and float(integer) == integer:
            keys[float(integer)] = None
        text = format_integer(integer)
        keys[f'{{"__type":"bigint","value":"{text}"}}'] = None
        keys[f'{{"value":"{text}","__type":"bigint"}}'] = None
    return list(keys), maybe_other


def number_range(column: str, path: str, bounds: Mapping[Sign, Number]) -> Fragment:
    """Return SQL that is true for numbers within all bounds, given by `$gt` and its relatives.

    The first test turns most rows away with a single look at the value. For a lower bound it
    lets all text pass, because SQLite orders numbers before text, and so also every object. For
    an upper bound it lets pass what sorts after `{`, the first character of every object.
    """
    extract = f"json_extract({column}, ?)"
    signs = [_sql_bound(SIGNS[operator], number) for operator, number in bounds.items()]
    big, big_args = _bigint(column, path, bounds)
    sign, bound = signs[0]
    if sign.startswith(">"):
        first = f"{extract} {sign} ?"
    else:
        first = f"{extract} NOT BETWEEN ? AND '{{'"
        bound = bound if sign == "<" else _successor(bound)
    rest = " AND ".join(f"{extract} {sign} ?" for sign, _ in signs[1:]) or "1"
    rest_args = tuple(argument for _, other in signs[1:] for argument in (path, other))
    return Fragment(
        f"({first} AND CASE json_type({column}, ?) WHEN 'integer' THEN {rest} "
        f"WHEN 'real' THEN {rest} WHEN 'object' THEN {big} END)",
        (path, bound, path, *rest_args, *rest_args, *big_args),
    )


def _sql_bound(sign: str, number: Number) -> tuple[str, Number]:
    """Return an equal bound on 64-bit integers and doubles for a bound of any size."""
    if isinstance(number, float) or INT64_MIN <= number <= INT64_MAX:
        return sign, number
    if abs(number) > sys.float_info.max:
        # Beyond every finite double: only infinity, which is how SQLite reads huge literals.
        if number > 0:
            return (">" if sign[0] == ">" else "<="), sys.float_info.max
        return (">=" if sign[0] == ">" else "<"), -sys.float_info.max
    near = float(number)
    if near < number:
        return (">" if sign[0] == ">" else "<="), near
    if near > number:
        return (">=" if sign[0] == ">" else "<"), near
    return sign, near


def _successor(number: Number) -> Number:
    """Return the smallest number above that a stored value can have, bigints aside."""
    if isinstance(number, float) or abs(number) < _EXACT_INTEGERS:
        return math.nextafter(number, math.inf)
    return number + 1 if number < INT64_MAX else float(2**63)


def _bigint(column: str, path: str, bounds: Mapping[Sign, Number]) -> tuple[str, tuple[Value, ...]]:
    """Return SQL for an object at the path: is it a tagged bigint within all bounds?"""
    tests = []
    args: list[Value] = []
    for operator, number in bounds.items():
        sign = SIGNS[operator]
        # Between integers a bound with a fraction is the same as the next integer inside it.
        integer = math.floor(number) if sign in (">", "<=") else math.ceil(number)
        text = format_integer(integer)
        if integer >= 0:
            tests.append(f"(s >= '0', length(s), s) {sign} (1, ?, ?)")
        else:
            # Among negative numbers the longer text is the smaller one.
            tests.append(f"(s < '0', length(s), s) {_FLIPPED[sign]} (1, ?, ?)")
        args += [len(text), text]
    sql = (
        # The column is a trusted name, everything else is bound.
        f"(SELECT {' AND '.join(tests)} FROM (SELECT json_extract({column}, ?) AS s, "
        f"json_extract({column}, ?) AS o) WHERE {_TAGGED})"
    )
    return sql, (*args, f"{path}.value", path)

"""Comparisons with numbers, exact over 64-bit integers, doubles and tagged bigints.

The server's `numeric` is exact, and has what stands in the text. That is what is meant, but for an
integer beyond 64 bits, which is a double.
"""

from __future__ import annotations

import sys

from buntime_keyval.wire.numbers import format_integer

from buntime_plugin_keyval.model.where.nodes import INT64_MAX, INT64_MIN, Number
from buntime_plugin_keyval.storage.dialects.filters import Printed

_EXACT_INTEGERS = 2**53
"""From here on a double has no fraction, up to here it holds every integer."""

# A bigint has up to 10,000 digits, where the server's numbers have 131,072.
_TAGGED = """v ->> '__type' = 'bigint' AND v - '__type' - 'value' = '{}'
AND jsonb_typeof(v -> 'value') = 'string' AND v ->> 'value' ~ '^(0|(-|)[1-9][0-9]*)$'"""


def is_number(test: Printed) -> Printed:
    """What holds where `v` is a number that meets a test, which has it as `n`.

    `is_plain` says there whether it is a JSON number, and not a tagged bigint.
    """
    sql = f"""(SELECT {test.sql} FROM (
SELECT jsonb_typeof(v) = 'number' AS is_plain, CASE jsonb_typeof(v)
  WHEN 'number' THEN v::numeric
  WHEN 'object' THEN CASE WHEN {_TAGGED} THEN (v ->> 'value')::numeric END
  END AS n OFFSET 0) AS numbers)"""
    return Printed(sql, test.args, test.exact)


def number_test(sign: str, number: Number) -> Printed:
    """SQL for `n` against a number, by one of =, <, <=, > and >=."""
    if abs(number) < _EXACT_INTEGERS:
        # Of doubles the shortest texts are compared, which are in the order of what they mean.
        text = repr(number) if isinstance(number, float) else format_integer(number)
        return Printed(f"n {sign} (?::text)::numeric", (text,))
    integer = int(number)
    text = format_integer(integer)
    of_double, double = _double_bound(sign, integer)
    plain = f"n::float8 {of_double} ?::float8" if of_double else "FALSE"
    return Printed(
        f"CASE WHEN is_plain AND n NOT BETWEEN {INT64_MIN} AND {INT64_MAX} THEN {plain}"
        f" ELSE n {sign} (?::text)::numeric END",
        (double, text) if of_double else (text,),
    )


def _double_bound(sign: str, number: int) -> tuple[str, float]:
    """An equal bound for doubles; no sign where none of them meets it."""
    if abs(number) > sys.float_info.max:
        meets = sign[0] == ("<" if number > 0 else ">")
        return (sign[0], float("inf") if number > 0 else float("-inf")) if meets else ("", 0.0)
    near = float(number)
    if near == number:
        return sign, near
    if sign == "=":
        return "", 0.0
    if near < number:
        return (">" if sign[0] == ">" else "<="), near
    return (">=" if sign[0] == ">" else "<"), near

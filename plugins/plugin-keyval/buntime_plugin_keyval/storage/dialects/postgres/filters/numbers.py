"""Comparisons with numbers, exact over 64-bit integers, doubles and tagged bigints.

The server's `numeric` is exact, and has what stands in the text. That is what is meant, but for a
double beyond 2^53, which may mean another integer than its shortest text.
"""

from __future__ import annotations

import sys

from buntime_keyval.wire.numbers import format_integer

from buntime_plugin_keyval.model.where.nodes import Number
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
    # What is between that and 64 bits may stand there as a double, whose text is not what it means
    # (3.746879641698481e+16 is 37468796416984808), and looks like an integer then: as doubles both
    # are near enough to be looked at again.
    args: tuple[float, ...] = ()
    wide = sign if sign == "=" else f"{sign[0]}="
    text = format_integer(int(number))
    if abs(number) > sys.float_info.max:
        plain = "TRUE" if sign[0] == ("<" if number > 0 else ">") else "FALSE"
    else:
        plain, args = f"n::float8 {wide} ?::float8", (float(number),)
    test = f"CASE WHEN is_plain THEN {plain} ELSE n {sign} (?::text)::numeric END"
    return Printed(test, (*args, text), exact=False)

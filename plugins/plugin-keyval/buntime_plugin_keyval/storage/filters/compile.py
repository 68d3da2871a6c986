"""From a parsed filter to one SQLite condition over a column of JSON text.

The three-valued logic is not left to SQL. Each node is compiled for the answer that is wanted:
"is true" or "is false". `$not` only swaps the wanted answer, `$and` and `$or` change places with
it (De Morgan), so no SQL NOT stands above a condition. That has three uses: a condition need not
tell false from unknown, which makes it cheap; a test that merely narrows the rows can go in
front of it; and a condition that no engine function can express exactly is widened on the spot,
also below `$not`, with no effect on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from buntime_plugin_keyval.model.where.nodes import And, Comparison, Not, Where
from buntime_plugin_keyval.storage.filters.conditions import Field, condition_sql
from buntime_plugin_keyval.storage.filters.fragments import EVERY, Fragment, Value, joined


class Compiled(NamedTuple):
    """A boolean SQL expression and its arguments, in the order of its `?` placeholders.

    Where `exact` is false the expression may let rows through that do not match, but never
    loses one that does: the caller re-checks each row with `matches`.
    """

    sql: str
    args: tuple[Value, ...]
    exact: bool


def compile_where(where: Where, *, column: str, now_ms: int, casefold: bool) -> Compiled:
    """Return the SQL of a filter over `column`, a trusted name of a TEXT column of JSON.

    The stored JSON must be the compact output of the standard encoder, because cheap substring
    tests narrow the rows first. `casefold` says that SQL runs in process, where the function
    `casefold(text)` exists; other engines are asked only what SQLite can say since 3.38.

    One limit is SQLite's own: it takes a NUL inside a stored member's name for the end of it.
    """
    sql, args, exact = _compile(where, Field(column, now_ms, casefold), True)
    return Compiled(sql, args, exact)


def _compile(where: Where, field: Field, wanted: bool) -> Fragment:
    if isinstance(where, Comparison):
        return condition_sql(where, field, wanted)
    if isinstance(where, Not):
        return _compile(where.member, field, not wanted)
    parts = [_compile(member, field, wanted) for member in where.members]
    if isinstance(where, And) == wanted:
        return joined(" AND ", [part for part in parts if part != EVERY], "1")
    return _any(parts)


def _any(parts: Sequence[Fragment]) -> Fragment:
    return EVERY if EVERY in parts else joined(" OR ", parts, "0")

"""Pieces of SQL that carry their arguments with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from buntime_plugin_keyval.storage.dialects.filters import Printed

Value: TypeAlias = str | int | float

MAX_CHAIN = 16
"""Terms of one AND or OR chain: SQLite nests a chain one level per term, up to 1000 levels."""

MAX_PLACEHOLDERS = 16
"""Elements of an IN list that are bound one by one; longer lists travel as one JSON array."""


Fragment: TypeAlias = Printed
"""A piece of a condition is one itself."""

EVERY = Fragment("1")
NONE = Fragment("0")


def joined(operator: str, parts: Sequence[Fragment], empty: str) -> Fragment:
    """Join conditions with ` AND ` or ` OR `, in parentheses and in chains of limited length."""
    if not parts:
        return Fragment(empty)
    while len(parts) > MAX_CHAIN:
        parts = [
            joined(operator, parts[start : start + MAX_CHAIN], empty)
            for start in range(0, len(parts), MAX_CHAIN)
        ]
    if len(parts) == 1:
        return parts[0]
    args = [argument for part in parts for argument in part.args]
    sql = operator.join(part.sql for part in parts)
    return Fragment(f"({sql})", tuple(args), all(part.exact for part in parts))


def one_of(values: Sequence[Value]) -> Fragment:
    """Return the right-hand side of a comparison with any of the values: `= ?` or `IN (…)`."""
    if len(values) == 1:
        return Fragment("= ?", (values[0],))
    if len(values) <= MAX_PLACEHOLDERS:
        return Fragment(f"IN ({', '.join('?' * len(values))})", tuple(values))
    array = msgspec.json.encode(values).decode()
    return Fragment("IN (SELECT value FROM json_each(?))", (array,))

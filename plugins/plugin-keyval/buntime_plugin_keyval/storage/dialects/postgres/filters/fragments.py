"""Pieces of conditions."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_plugin_keyval.storage.dialects.filters import Printed

EVERY = Printed("TRUE")
NONE = Printed("FALSE")

NULL = "coalesce(v, 'null') = 'null'"
"""The condition that the value at a path is null, or missing."""


def joined(operator: str, parts: Sequence[Printed]) -> Printed:
    """Join conditions with ` AND ` or ` OR `, in parentheses; what none make if there are none."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NONE if operator == " OR " else EVERY
    args = [argument for part in parts for argument in part.args]
    sql = operator.join(part.sql for part in parts)
    return Printed(f"({sql})", tuple(args), all(part.exact for part in parts))

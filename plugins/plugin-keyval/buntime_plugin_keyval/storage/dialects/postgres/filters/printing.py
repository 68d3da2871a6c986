"""From the tree of a filter to one condition of PostgreSQL over the value of an entry."""

from __future__ import annotations

from buntime_database import Capabilities

from buntime_plugin_keyval.storage.dialects.filters import Printed
from buntime_plugin_keyval.storage.dialects.postgres.filters.conditions import leaf_sql
from buntime_plugin_keyval.storage.dialects.postgres.filters.fragments import EVERY, NONE, joined
from buntime_plugin_keyval.storage.filters.tree import Condition, Every, Some


def print_filter(condition: Condition, capabilities: Capabilities) -> Printed:  # noqa: ARG001 - as all dialects have it
    """See `FilterSql`. The value is parsed once for each entry, as `d`."""
    printed = _print(condition)
    if printed in (EVERY, NONE):
        return printed
    sql = f"(SELECT {printed.sql} FROM (SELECT kv_json(value) AS d OFFSET 0) AS document)"
    return printed._replace(sql=sql)


def _print(condition: Condition) -> Printed:
    match condition:
        case Every():
            parts = [_print(member) for member in condition.members]
            return joined(" AND ", [part for part in parts if part != EVERY])
        case Some():
            parts = [_print(member) for member in condition.members]
            return EVERY if EVERY in parts else joined(" OR ", parts)
        case _:
            return leaf_sql(condition)

"""From the tree of a filter to one SQLite condition over a column of JSON text."""

from __future__ import annotations

from buntime_database import Capabilities

from buntime_plugin_keyval.storage.dialects.filters import Printed
from buntime_plugin_keyval.storage.dialects.sqlite.filters.conditions import FilteredField, leaf_sql
from buntime_plugin_keyval.storage.dialects.sqlite.filters.fragments import EVERY, joined
from buntime_plugin_keyval.storage.dialects.sqlite.values import with_value_once
from buntime_plugin_keyval.storage.filters.tree import Condition, Every, Some

_FEW_ARGS = 32
"""Arguments of a filter up to which its text may be there twice."""


def print_filter(condition: Condition, capabilities: Capabilities) -> Printed:
    """See `FilterSql`; over the value of an entry.

    Most values stand in their rows, and are looked at there: to ask at each look whether a value
    does costs as much as a third of the look. One that is beside its row is found once.
    """
    printed = print_condition(condition, FilteredField("value", capabilities.casefold_function))
    if not printed.args:
        return printed  # it looks at no value
    of_any = with_value_once(printed.sql)
    if len(printed.args) > _FEW_ARGS:
        return printed._replace(sql=of_any)
    # Not as a CASE: within one, SQLite evaluates more than it needs.
    sql = f"((long_id IS NOT NULL OR {printed.sql}) AND (long_id IS NULL OR {of_any}))"
    return printed._replace(sql=sql, args=(*printed.args, *printed.args))


def print_condition(condition: Condition, field: FilteredField) -> Printed:
    """The condition over a column, whose JSON must be the compact output of the standard encoder:
    cheap substring tests narrow the rows first.

    One limit is SQLite's own: it takes a NUL inside a stored member's name for the end of it.
    """
    match condition:
        case Every():
            parts = [print_condition(member, field) for member in condition.members]
            return joined(" AND ", [part for part in parts if part != EVERY], "1")
        case Some():
            parts = [print_condition(member, field) for member in condition.members]
            return EVERY if EVERY in parts else joined(" OR ", parts, "0")
        case _:
            return leaf_sql(condition, field)

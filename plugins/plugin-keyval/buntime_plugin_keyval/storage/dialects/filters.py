"""Filters as conditions of a dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from buntime_database import Capabilities

from buntime_plugin_keyval.storage.filters.tree import Condition


class Printed(NamedTuple):
    """A condition on the value of an entry, to go into the statements of the same dialect.

    Where `exact` is false it may let entries through that do not match, but never loses one that
    does: the caller looks at each value again, with `matches`.
    """

    sql: str
    args: tuple[str | int | float, ...] = ()
    exact: bool = True


def of_type(condition: str) -> str:
    """The condition that an entry is of a type, the first argument, and meets another condition, if
    there is one.

    It is the same text in every dialect.
    """
    return f"type = ? AND ({condition})" if condition else "type = ?"


FilterSql: TypeAlias = Callable[[Condition, Capabilities], Printed]
"""Prints a condition for an engine with these capabilities. Everything of the client is bound; each
argument has a `?` in the text, in their order, until a statement numbers them in its own way."""

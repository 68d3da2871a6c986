"""Selections: the entries that a statement reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from buntime_database import Value
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.storage.ranges import KeyRange

POINT_LIMIT = 128
"""The most rows that a read may touch to count as bounded, and so run on the event loop."""


class RowCondition(NamedTuple):
    """A condition on entries as SQL of the dialect: a filter, or empty for all."""

    sql: str = ""
    args: Sequence[Value] = ()
    recheck: Callable[[str], bool] | None = None
    """Decides for a value that the SQL lets through; None if the SQL is exact."""


EVERYTHING = RowCondition()


class Selection(NamedTuple):
    """The entries to read, their order, and what to read of them."""

    keys: KeyRange
    limit: int
    reverse: bool = False
    condition: RowCondition = EVERYTHING
    shape: Shape = PLAIN

    def is_bounded(self) -> bool:
        """Whether few rows are touched, however large the store is."""
        return self.limit <= POINT_LIMIT and self.condition is EVERYTHING

    def args(self, now_ms: int) -> tuple[Value, ...]:
        """The arguments of a listing statement, in order."""
        return (*self.keys, now_ms, *self.condition.args, self.limit)

    def behind(self, key: bytes) -> Selection:
        """The part of the selection that follows a key."""
        keys = self.keys.before(key) if self.reverse else self.keys.after(key)
        return self._replace(keys=keys)

"""Which entries a statement is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from buntime_database import Value
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.storage.ranges import KeyRange

POINT_LIMIT = 128
"""Rows that a read may touch and still count as bounded, so run on the event loop."""


class RowCondition(NamedTuple):
    """A condition on entries, printed by the dialect: a filter, or nothing for all."""

    sql: str = ""
    args: Sequence[Value] = ()
    recheck: Callable[[str], bool] | None = None
    """Decides for a value that the SQL let through; None where the SQL decides alone."""


EVERYTHING = RowCondition()


class Selection(NamedTuple):
    """Which entries to read, in which order, and what of them."""

    keys: KeyRange
    limit: int
    reverse: bool = False
    condition: RowCondition = EVERYTHING
    shape: Shape = PLAIN

    def is_bounded(self) -> bool:
        """Whether few rows are touched, whatever the store holds."""
        return self.limit <= POINT_LIMIT and self.condition is EVERYTHING

    def args(self, now_ms: int) -> tuple[Value, ...]:
        """What a statement that lists is given, in this order."""
        return (*self.keys, now_ms, *self.condition.args, self.limit)

    def behind(self, key: bytes) -> Selection:
        """What follows a key in this order."""
        keys = self.keys.before(key) if self.reverse else self.keys.after(key)
        return self._replace(keys=keys)

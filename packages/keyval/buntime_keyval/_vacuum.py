"""Removes expired entries, in batches. No I/O."""

from __future__ import annotations

from buntime_keyval._calls.keys import checked_limit, vacuum
from buntime_keyval._core import Call
from buntime_keyval._results import VacuumResult
from buntime_keyval.wire.limits import MAX_LIMIT


class Vacuum:
    """Removing expired entries, all of them or the first `limit`, some with each request."""

    def __init__(self, limit: int | None) -> None:
        self._left = None if limit is None else checked_limit(limit)
        self.result = VacuumResult(0, has_more=True)
        """The result so far."""

    def next_call(self) -> Call[VacuumResult] | None:
        """The next request, None at the end."""
        if self._left == 0 or not self.result.has_more:
            return None
        return vacuum(MAX_LIMIT if self._left is None else min(self._left, MAX_LIMIT))

    def take(self, result: VacuumResult) -> None:
        """Add an answer up."""
        self.result = VacuumResult(self.result.count + result.count, result.has_more)
        if self._left is not None:
            self._left -= result.count

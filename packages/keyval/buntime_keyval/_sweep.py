"""Deleting many entries, or what has expired, in batches. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_keyval._calls.keys import Entry, checked_limit, delete_keys, vacuum
from buntime_keyval._core import Call
from buntime_keyval._entries import Shape
from buntime_keyval._pages import Pager
from buntime_keyval._results import DeleteResult, VacuumResult
from buntime_keyval._where import Where
from buntime_keyval.wire import Key
from buntime_keyval.wire.limits import MAX_LIMIT


class Vacuum:
    """Removing expired entries, all of them or the first `limit`, some with each request."""

    def __init__(self, limit: int | None) -> None:
        self._left = None if limit is None else checked_limit(limit)
        self.result = VacuumResult(0, has_more=True)
        """What was done so far."""

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


class Sweep:
    """Reads the keys below a prefix a page at a time, and deletes exactly these."""

    def __init__(self, prefix: Key, where: Where | None, batch_size: int) -> None:
        self._prefix = prefix
        self._where = where
        self._pager = Pager(prefix, where=where, page_size=batch_size, shape=Shape(values=False))
        self.deleted = 0
        """Entries deleted so far."""

    def page_call(self) -> Call[list[Entry]] | None:
        """The next page, None at the end."""
        return self._pager.next_call()

    def delete_call(self, page: list[Entry]) -> Call[DeleteResult] | None:
        """The deletion of a page; None where nothing of it is new."""
        return self._deletion([entry.key for entry in self._pager.take(page)])

    def last_call(self, *, include_prefix: bool) -> Call[DeleteResult] | None:
        """The deletion of the entry at the prefix itself, which no page has."""
        return self._deletion([self._prefix] if include_prefix and self._prefix else [])

    def count(self, result: DeleteResult) -> int:
        """Add a result up; the sum so far."""
        self.deleted += result.deleted_count
        return self.deleted

    def _deletion(self, keys: Sequence[Key]) -> Call[DeleteResult] | None:
        return delete_keys(keys, exact=True, where=self._where) if keys else None

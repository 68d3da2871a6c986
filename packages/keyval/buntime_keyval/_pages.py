"""Paging through a range: which page comes next. No I/O."""

from __future__ import annotations

from typing import Any

from buntime_keyval._calls.keys import Entry, checked_limit, list_of, page_of, raw_where
from buntime_keyval._core import Call
from buntime_keyval._results import KvPage
from buntime_keyval._selecting import Selector
from buntime_keyval._where import Where
from buntime_keyval.wire import Key, encode_key
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.shapes import PLAIN, Shape


class Pager:
    """All entries of a range, or the first `limit`, a page at a time.

    Each page begins behind the last key of the previous one, so entries that come or go meanwhile
    neither repeat nor hide others. With `snapshot`, all pages show the state of the first one.
    """

    def __init__(
        self,
        keys: Selector,
        *,
        limit: int | None = None,
        reverse: bool = False,
        where: Where | None = None,
        page_size: int = MAX_LIMIT,
        shape: Shape = PLAIN,
        snapshot: bool = False,
    ) -> None:
        self._keys = keys
        self._left = None if limit is None else checked_limit(limit)
        self._reverse = reverse
        self._where = raw_where(where)
        self._page_size = min(checked_limit(page_size), MAX_LIMIT)
        self._shape = shape
        self._last: Key | None = None
        self._asked = 0
        self._done = False
        self._snapshot = snapshot
        self._by_cursor = snapshot
        """Whether pages are asked for that may end early, and say where."""
        self._cursor: str | None = None

    def next_call(self) -> Call[Any] | None:
        """The request for the next page, None behind the last one."""
        if self._done or self._left == 0:
            return None
        size = self._page_size if self._left is None else min(self._left, self._page_size)
        if self._by_cursor:
            return page_of(
                self._keys,
                cursor=self._cursor,
                limit=size,
                reverse=self._reverse,
                where=self._where,
                shape=self._shape,
                snapshot=self._snapshot,
            )
        if self._last is not None and not self._reverse:
            # `start` is inclusive, so the page begins with the key that is known already.
            size = min(size + 1, MAX_LIMIT)
        self._asked = size
        return list_of(
            self._keys, limit=size, reverse=self._reverse, where=self._where, shape=self._shape
        )

    def refused(self) -> bool:
        """Whether there is another way to ask, after an answer would have been too large."""
        if self._by_cursor:
            return False
        self._by_cursor = True
        return True

    def take(self, page: list[Entry] | KvPage[Any]) -> list[Entry]:
        """The entries of a page that are new."""
        self._keys = self._keys._replace(offset=0)  # it is passed over
        if isinstance(page, KvPage):
            entries = page.entries
            if entries and self._last is not None:  # it went on from a list
                if encode_key(entries[0].key) == encode_key(self._last):
                    entries = entries[1:]
                self._last = None
            self._cursor = page.cursor
            self._done = page.cursor is None
            if self._left is not None:
                self._left -= len(entries)
            return entries
        if len(page) < self._asked:
            self._done = True
        if not page:
            return page
        if self._last is not None and encode_key(page[0].key) == encode_key(self._last):
            page = page[1:]
        # There is one too many if the known key is gone meanwhile.
        page = page[: self._page_size if self._left is None else min(self._left, self._page_size)]
        if page:
            self._last = page[-1].key
            if self._reverse:
                self._keys = self._keys._replace(end=self._last)
            else:
                self._keys = self._keys._replace(start=self._last)
        if self._left is not None:
            self._left -= len(page)
        return page

"""From commits to watchers.

A commit of this process hands its changes over with their values, so no watcher makes anybody
read the database. Commits of other processes are found by one look at the change log every
`foreign_poll_ms`, however many watchers there are, and at once when another worker of this host
rings. A change finds its watchers through a dict by
key and a dict by prefix, with one look-up for each part of the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from buntime_database import DatabaseError
from buntime_keyval.wire import part_ends

from buntime_plugin_keyval.changes import Change
from buntime_plugin_keyval.complaint import Complaint
from buntime_plugin_keyval.errors import TooManyStreams
from buntime_plugin_keyval.store import Store
from buntime_plugin_keyval.watch.watcher import Notice, State, Watcher, WatchTarget

LOG_PAGE = 1000
"""Changes that one look at the log reads."""

RETRY_SECONDS = 1.0
"""Pause after the database failed."""


class WatchHub:
    """The watchers of one store. Follows commits only while there are any."""

    def __init__(
        self, store: Store, *, max_watchers: int, foreign_poll_ms: int, logger: logging.Logger
    ) -> None:
        self._store = store
        self._max_watchers = max_watchers
        self._foreign_poll_s = foreign_poll_ms / 1000
        self._unread = Complaint(logger, "The change log could not be read: %s")
        self._watchers: set[Watcher] = set()
        self._by_key: dict[bytes, set[Watcher]] = {}
        self._by_prefix: dict[bytes, set[Watcher]] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._position = 0
        self._ahead: set[int] = set()
        """Places behind the position whose changes were delivered already."""
        self._overtaking: dict[bytes, int] = {}
        """Place of the last change of each key that was delivered while the log is being read."""
        self._beginning = asyncio.Lock()
        self._news = asyncio.Event()
        self._closed = False

    @property
    def watcher_count(self) -> int:
        """Open watchers, those of other workers included."""
        return int(self._store.neighbours.watchers.totals()[0])

    @property
    def position(self) -> int:
        """Place in the change log up to which every change was delivered."""
        return self._position

    async def watch(self, target: WatchTarget) -> Watcher:
        """A watcher of every change from now on; it has to be closed.

        Raises `TooManyStreams` when as many are open as are allowed.
        """
        if len(self._watchers) >= self._max_watchers:
            raise TooManyStreams("watch.maxWatchers", self._max_watchers)
        watcher = Watcher(target, self._forget)
        self._watchers.add(watcher)
        self._store.neighbours.watchers.own[0] = len(self._watchers)
        for key in target.keys:
            self._by_key.setdefault(key, set()).add(watcher)
        for prefix in target.prefixes:
            self._by_prefix.setdefault(prefix, set()).add(watcher)
        try:
            async with self._beginning:
                if self._unsubscribe is None:
                    await self._begin()
        except BaseException:
            watcher.close()
            raise
        if self._closed:
            watcher.close()
        return watcher

    async def close(self) -> None:
        """Close every watcher, so that their streams end. Idempotent."""
        self._closed = True
        for watcher in tuple(self._watchers):
            watcher.close()
        follower = self._follower
        self._stop()
        if follower is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await follower

    async def _begin(self) -> None:
        """Follow commits from here on."""
        # First the subscription: what is committed in between is then delivered twice, not never.
        unsubscribe = self._store.subscribe(self._committed)
        self._store.neighbours.changes.listen(self._news.set)
        try:
            _, newest = await self._store.change_bounds(fresh=True)
        except BaseException:
            self._store.neighbours.changes.listen(None)
            unsubscribe()
            raise
        self._position = 0
        self._advance(newest)
        self._unsubscribe = unsubscribe
        self._follower = asyncio.create_task(self._follow(), name="keyval-watch")
        if not self._watchers:  # all were closed meanwhile
            self._stop()

    def _forget(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        self._store.neighbours.watchers.own[0] = len(self._watchers)
        for index, names in (
            (self._by_key, watcher.target.keys),
            (self._by_prefix, watcher.target.prefixes),
        ):
            for name in names:
                others = index.get(name)
                if others is not None:
                    others.discard(watcher)
                    if not others:
                        del index[name]
        if not self._watchers:
            self._stop()

    def _stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            self._store.neighbours.changes.listen(None)
        if self._follower is not None:
            self._follower.cancel()
            self._follower = None
        self._ahead.clear()
        self._overtaking.clear()

    def _committed(self, changes: Sequence[Change]) -> None:
        """Deliver a commit of this process."""
        begun = self._unsubscribe is not None  # else the position is still to be read
        for change in changes:
            if begun and change.seq <= self._position:
                continue  # the log was faster
            self._ahead.add(change.seq)
            self._overtaking[change.key] = change.seq
            self._deliver(change, change)
        if begun:
            self._advance(self._position)

    def _deliver(self, change: Change, current: Change) -> None:
        """Tell those whom a change concerns what its key holds now."""
        watchers = self._watchers_of(change.key)
        if watchers:
            state = State(change.key, current.value, current.versionstamp)
            notice = Notice(change.seq, change.versionstamp, state)
            for watcher in watchers:
                watcher.add(notice)

    def _advance(self, position: int) -> None:
        """Everything up to `position` was delivered; some of what follows may have been, too."""
        if position > self._position:
            self._position = position
            self._ahead = {seq for seq in self._ahead if seq > position}
        while self._position + 1 in self._ahead:
            self._position += 1
            self._ahead.discard(self._position)

    def _watchers_of(self, key: bytes) -> set[Watcher]:
        found = set(self._by_key.get(key, ()))
        if self._by_prefix:
            found |= self._by_prefix.get(b"", set())
            for end in part_ends(key):
                for watcher in self._by_prefix.get(key[:end], ()):
                    if end < len(key) or watcher.target.includes_prefix:
                        found.add(watcher)
        return found

    async def _follow(self) -> None:
        while True:
            self._news.clear()
            try:
                while await self._catch_up():
                    pass
                self._unread.over()
            except DatabaseError as error:
                self._unread.about(error)
                await asyncio.sleep(RETRY_SECONDS)
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._foreign_poll_s):
                    await self._news.wait()

    async def _catch_up(self) -> bool:
        """Deliver what other processes committed; whether there may be more."""
        self._overtaking.clear()
        _, newest = await self._store.change_bounds()
        if newest <= self._position:
            return False
        page = await self._store.changes(self._position, limit=LOG_PAGE)
        if page and page[0].seq > self._position + 1:
            # The log was trimmed behind our back: everybody has to look for what is missing.
            for watcher in tuple(self._watchers):
                watcher.give_up()
            self._advance(page[0].seq - 1)
        more = len(page) == LOG_PAGE
        if more:
            page = _whole_commits(page)
        news = [
            change
            for change in page
            if change.seq > self._position
            and change.seq not in self._ahead
            and self._watchers_of(change.key)
        ]
        current = await self._store.current(news) if news else []
        for change, now in zip(news, current, strict=True):
            # What this process committed meanwhile was delivered at once, and is newer.
            if change.seq > self._overtaking.get(change.key, 0):
                self._deliver(change, now)
        if page:
            self._advance(page[-1].seq)
        return more


def _whole_commits(page: list[Change]) -> list[Change]:
    """A page without its last commit, of which it may hold only a part; unless it is all one."""
    last = page[-1].versionstamp
    return [change for change in page if change.versionstamp != last] or page

"""The hub: passes commits on to watchers.

Watchers are told of commits in the order of the log. A commit of this process that directly follows
the last one delivered hands over its changes with their values, without a read of the database.
Otherwise another process has written: the log then tells which keys have changed, one read fetches
their current entries, and watchers are told all at once. The hub looks for such commits every
`foreign_poll_ms`, however many watchers there are, less often while the database itself tells when
it is written to, and at once when another worker of this host signals. A change finds its watchers
through a dict by key and a dict by prefix, with one look-up for each part of the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from buntime_keyval.wire import part_ends

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.rest import Rest
from buntime_plugin_keyval.engine.shares import Shares
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.watch.pending import Notice, PendingRoom, State
from buntime_plugin_keyval.features.watch.watcher import MAX_ALL_PENDING_CHARS, Watcher, WatchTarget
from buntime_plugin_keyval.model.changes import Change, Place


class WatchHub:
    """The watchers of one store. Follows commits only while there are any."""

    def __init__(self, store: Store, *, shares: Shares, foreign_poll_ms: int) -> None:
        self._store = store
        self.shares = shares
        self._foreign_poll_s = foreign_poll_ms / 1000
        self.loop = Loop(
            self._step,
            "keyval-watch",
            logger=store.logger,
            complaint="The change log could not be read: %s",
            is_still=self._is_still,
            rest=Rest(store.when_written),
        )
        self._watchers: set[Watcher] = set()
        self._by_key: dict[bytes, set[Watcher]] = {}
        self._by_prefix: dict[bytes, set[Watcher]] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self.place: Place | None = None
        """The place after the last change that was delivered; None while it is unknown."""
        self._version: int | None = None
        """The version of the data before the last look at the log; None if unknown."""
        self._beginning = asyncio.Lock()
        self._room = PendingRoom(MAX_ALL_PENDING_CHARS)
        self._closed = False

    @property
    def watcher_count(self) -> int:
        """The number of open watchers, those of other workers included."""
        return int(self._store.peers.watchers.totals()[0])

    async def watch(self, target: WatchTarget, client: str | None = None) -> Watcher:
        """Open a watcher of every change from now on. Call its `close` when it is no longer used.

        Raises `TooManyStreams` or `TooManyStreamsOfClient` if as many are open as are allowed.
        """
        self.shares.take(client)
        watcher = Watcher(target, self._forget, self._room, client)
        self._watchers.add(watcher)
        self._store.peers.watchers.own[0] = len(self._watchers)
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
        self._stop()
        await self.loop.stop()

    async def _begin(self) -> None:
        """Follow commits from here on."""
        # Subscribed first, so that commits in between are found in the log.
        unsubscribe = self._store.subscribe(self._committed)
        self._store.peers.changes.listen(self.loop.wake)
        try:
            self.place = await self._store.newest_place(fresh=True)
        except BaseException:
            self._store.peers.changes.listen(None)
            unsubscribe()
            raise
        self._unsubscribe = unsubscribe
        self.loop.start()
        if not self._watchers:  # all were closed meanwhile
            self._stop()

    def _forget(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        self.shares.give(watcher.client)
        self._store.peers.watchers.own[0] = len(self._watchers)
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
            self._store.peers.changes.listen(None)
            self.loop.stop_soon()
        self.place = None

    def _committed(self, changes: Sequence[Change], before: int | None) -> None:
        """Deliver a commit of this process if it directly follows the last one delivered."""
        place = self.place
        if place is None or before != place.seq:
            self.loop.wake()
            return
        for change in changes:
            watchers = self._watchers_of(change.key)
            if watchers:
                state = State(change.key, change.value, change.versionstamp)
                notice = Notice(change.versionstamp, change.seq, change.versionstamp, state)
                for watcher in watchers:
                    watcher.add(notice)
        self.place = changes[-1].place(place.log)

    def _watchers_of(self, key: bytes) -> set[Watcher]:
        found = set(self._by_key.get(key, ()))
        if self._by_prefix:
            found |= self._by_prefix.get(b"", set())
            for end in part_ends(key):
                for watcher in self._by_prefix.get(key[:end], ()):
                    if end < len(key) or watcher.target.includes_prefix:
                        found.add(watcher)
        return found

    async def _step(self) -> float:
        version = self._store.data_version()
        await self._catch_up()
        self._version = version
        return self._foreign_poll_s

    def _is_still(self) -> bool:
        """Whether there was no commit since the last look at the log."""
        return self._version is not None and self._version == self._store.data_version()

    async def _catch_up(self) -> None:
        """Deliver commits of other processes, and those of this one that follow them."""
        place = self.place
        if place is not None and await self._store.newest_place() == place:
            return
        catch = place and await self._store.news(place, None, self._watchers_of)
        if catch is None or not catch.is_complete:
            # The log does not reach back to this place, is another one, or has too many changes for
            # one read: each watcher reads what concerns it.
            self.place = None
            self.place = await self._store.newest_place(fresh=True)
            for watcher in tuple(self._watchers):
                watcher.give_up()
            return
        # This process may have committed meanwhile.
        delivered = self.place.seq if self.place is not None else 0
        for since, seq, commit, stored in catch.news:
            if seq > delivered:
                state = State(stored.key, stored.value, stored.versionstamp)
                for watcher in self._watchers_of(stored.key):
                    watcher.add(Notice(since, seq, commit, state))
        if catch.place.seq > delivered:
            self.place = catch.place

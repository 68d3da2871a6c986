"""One watcher: what it watches, and what it has not been told yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from buntime_keyval.wire import Key, encode_key

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.features.watch.pending import LONG, Notice, Pending, PendingRoom, Taken
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree

MAX_PENDING = 10_000
"""Changed keys that a slow watcher may be behind by; beyond that it reads the change log."""

MAX_PENDING_CHARS = 8 * 1024 * 1024
"""The same for the length of their values."""


MAX_ALL_PENDING_CHARS = 64 * 1024 * 1024
"""The same for all watchers together: what several of them wait for counts once."""


class WatchTarget(NamedTuple):
    """Exact keys, and prefixes with all that extends them."""

    keys: tuple[bytes, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    includes_prefix: bool = False
    """Whether a key that equals one of the prefixes is watched as well."""

    @classmethod
    def of_keys(cls, keys: Iterable[Key]) -> WatchTarget:
        """These keys, each once."""
        return cls(keys=tuple(dict.fromkeys(map(encode_key, keys))))

    @classmethod
    def of_prefix(cls, prefix: Key) -> WatchTarget:
        """What extends a prefix, without the prefix."""
        return cls(prefixes=(encode_key(prefix),))

    @classmethod
    def of_prefixes(cls, prefixes: Iterable[Key]) -> WatchTarget:
        """These keys and what extends them; one that extends another adds nothing."""
        wanted: list[bytes] = []
        for prefix in sorted(map(encode_key, prefixes)):
            if not (wanted and wanted[-1] <= prefix < subtree(wanted[-1]).end):
                wanted.append(prefix)
        return cls(prefixes=tuple(wanted), includes_prefix=True)

    def ranges(self) -> list[KeyRange]:
        """Where the prefixes' keys are, with the prefixes themselves if they are watched."""
        return [(subtree if self.includes_prefix else descendants)(name) for name in self.prefixes]


class Watcher:
    """Keeps the latest state of each changed key until its owner takes it."""

    def __init__(
        self,
        target: WatchTarget,
        forget: Callable[[Watcher], None],
        room: PendingRoom,
        client: str | None,
    ) -> None:
        """`room` is what all watchers have for what waits for them."""
        self.target = target
        self.client = client
        """Who it counts for; None where nobody can be told apart."""
        self._forget = forget
        self._room = room
        self._pending = Pending(room)
        self._told = 0
        self._arrived = Arrival()
        self.overrun = False
        """Whether notices were dropped, so that its owner has to read what it missed."""
        self.closed = False

    def add(self, notice: Notice) -> None:
        """Remember a change; an older one of the same key is out of date."""
        if self.overrun or self.closed or notice.seq <= self._told:
            return
        self._pending.add(notice)
        pending = self._pending
        if (
            len(pending) > MAX_PENDING
            or pending.chars > MAX_PENDING_CHARS
            or (self._room.left < 0 and pending.chars > LONG)
        ):
            self.give_up()
        self._arrived.tell()

    def give_up(self) -> None:
        """Drop what is pending: there is too much of it, or some of it could not be had."""
        self._pending.clear()
        self.overrun = True
        self._arrived.tell()

    def knows(self, seq: int) -> None:
        """Want no notice of changes up to this one: its owner has read what they left."""
        self._told = seq
        self._pending.forget(seq)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for something to take; False if there is nothing after the timeout, or once closed.

        What comes in the very moment of the timeout is there.
        """
        while not self._pending and not self.overrun and not self.closed:
            if not await self._arrived.wait(timeout_s):
                break
        return not self.closed and (bool(self._pending) or self.overrun)

    def take(self, limit: int) -> Taken:
        """What to tell in one event, of at most `limit` keys; see `Pending`."""
        return self._pending.take(limit)

    def has_pending(self) -> bool:
        """Whether there is something to take."""
        return bool(self._pending)

    def close(self) -> None:
        """End it: whoever waits is told so. Idempotent."""
        if not self.closed:
            self.closed = True
            self._pending.clear()
            self._forget(self)
            self._arrived.tell()

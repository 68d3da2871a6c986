"""One watcher: what it watches, and the notices that it has not been sent yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from buntime_keyval.wire import Key, encode_key

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.features.watch.pending import LONG, Notice, Pending, PendingRoom, Taken
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree

MAX_PENDING = 10_000
"""The most changed keys that may be pending for a watcher; beyond that it reads the change log."""

MAX_PENDING_CHARS = 8 * 1024 * 1024
"""The same for the length of their values."""


MAX_ALL_PENDING_CHARS = 64 * 1024 * 1024
"""The same for all watchers together: a value that is pending for several counts once."""


class WatchTarget(NamedTuple):
    """The target of a watch: exact keys, and prefixes with all keys below them."""

    keys: tuple[bytes, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    includes_prefix: bool = False
    """Whether a key that equals one of the prefixes is watched as well."""

    @classmethod
    def of_keys(cls, keys: Iterable[Key]) -> WatchTarget:
        """Watch these keys, each once."""
        return cls(keys=tuple(dict.fromkeys(map(encode_key, keys))))

    @classmethod
    def of_prefix(cls, prefix: Key) -> WatchTarget:
        """Watch the keys below a prefix, without the prefix itself."""
        return cls(prefixes=(encode_key(prefix),))

    @classmethod
    def of_prefixes(cls, prefixes: Iterable[Key]) -> WatchTarget:
        """Watch these keys and all below them; a key that is below another one adds nothing."""
        wanted: list[bytes] = []
        for prefix in sorted(map(encode_key, prefixes)):
            if not (wanted and wanted[-1] <= prefix < subtree(wanted[-1]).end):
                wanted.append(prefix)
        return cls(prefixes=tuple(wanted), includes_prefix=True)

    def ranges(self) -> list[KeyRange]:
        """The ranges of the prefixes, including the prefixes themselves if they are watched."""
        return [(subtree if self.includes_prefix else descendants)(name) for name in self.prefixes]


class Watcher:
    """Keeps the latest state of each changed key until its stream takes it."""

    def __init__(
        self,
        target: WatchTarget,
        forget: Callable[[Watcher], None],
        room: PendingRoom,
        client: str | None,
    ) -> None:
        """`room` is shared by all watchers."""
        self.target = target
        self.client = client
        """The client whose share of streams it counts against; None if clients cannot be told
        apart."""
        self._forget = forget
        self._room = room
        self._pending = Pending(room)
        self._told = 0
        self._arrived = Arrival()
        self.overrun = False
        """Whether notices were dropped, so that the changes have to be read from the log."""
        self.closed = False

    def add(self, notice: Notice) -> None:
        """Add a notice, in place of an older one of the same key."""
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
        """Drop all pending notices: there are too many, or some of them could not be read."""
        self._pending.clear()
        self.overrun = True
        self._arrived.tell()

    def knows(self, seq: int) -> None:
        """Ignore notices of changes up to this one, since a later state was read."""
        self._told = seq
        self._pending.forget(seq)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for notices; False if there are none after the timeout, or once closed.

        A notice that comes at the moment of the timeout is not missed.
        """
        while not self._pending and not self.overrun and not self.closed:
            if not await self._arrived.wait(timeout_s):
                break
        return not self.closed and (bool(self._pending) or self.overrun)

    def take(self, limit: int) -> Taken:
        """Take the notices for one event, of at most `limit` keys; see `Pending`."""
        return self._pending.take(limit)

    def has_pending(self) -> bool:
        """Whether notices are pending."""
        return bool(self._pending)

    def close(self) -> None:
        """Close the watcher and end its wait. Idempotent."""
        if not self.closed:
            self.closed = True
            self._pending.clear()
            self._forget(self)
            self._arrived.tell()

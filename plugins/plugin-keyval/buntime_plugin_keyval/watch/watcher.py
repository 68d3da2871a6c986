"""One watcher: what it watches, and what it has not been told yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from buntime_keyval.wire import Key, decode_key, encode_key, key_to_json

from buntime_plugin_keyval.storage.entry_json import entry_json, missing_json
from buntime_plugin_keyval.storage.ranges import subtree

MAX_PENDING = 10_000
"""Changed keys that a slow watcher may be behind by; beyond that it reads the change log."""

MAX_PENDING_CHARS = 8 * 1024 * 1024
"""The same for the length of their values."""


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


class State:
    """What a key holds; value and versionstamp are None where it does not exist."""

    __slots__ = ("_json", "key", "value", "versionstamp")

    def __init__(self, key: bytes, value: str | None, versionstamp: str | None) -> None:
        self.key = key
        self.value = value
        self.versionstamp = None if value is None else versionstamp
        self._json = ""

    @property
    def json(self) -> str:
        """The entry as JSON text, made once however many watchers send it."""
        if not self._json:
            key = key_to_json(decode_key(self.key))
            if self.value is None or self.versionstamp is None:
                self._json = missing_json(key)
            else:
                self._json = entry_json(key, self.value, self.versionstamp)
        return self._json


class Notice(NamedTuple):
    """What a commit left under a key."""

    seq: int
    """Place of the change in the log."""
    commit: str
    """Versionstamp of the commit, which its changes share."""
    state: State


class Watcher:
    """Keeps the latest state of each changed key until its owner takes it."""

    def __init__(self, target: WatchTarget, forget: Callable[[Watcher], None]) -> None:
        self.target = target
        self._forget = forget
        self._pending: dict[bytes, Notice] = {}
        self._pending_chars = 0
        self._arrived = asyncio.Event()
        self.overrun = False
        """Whether notices were dropped, so that its owner has to read what it missed."""
        self.closed = False

    def add(self, notice: Notice) -> None:
        """Remember a change; an older one of the same key is out of date."""
        if self.overrun or self.closed:
            return
        self._drop(notice.state.key)
        self._pending[notice.state.key] = notice
        self._pending_chars += len(notice.state.value or "")
        if len(self._pending) > MAX_PENDING or self._pending_chars > MAX_PENDING_CHARS:
            self.give_up()
        self._arrived.set()

    def give_up(self) -> None:
        """Drop what is pending: there is too much of it, or some of it could not be had."""
        self._pending.clear()
        self._pending_chars = 0
        self.overrun = True
        self._arrived.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for something to take; False after the timeout and once closed."""
        while not self._pending and not self.overrun and not self.closed:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return False
        return not self.closed

    def take(self, limit: int) -> list[Notice]:
        """The next pending notices, about `limit` of them.

        The notices of one commit stay together, unless they alone are more than `limit`.
        """
        taken: list[Notice] = []
        whole = 0
        for notice in self._pending.values():
            if taken and notice.commit != taken[-1].commit:
                whole = len(taken)
            if len(taken) == limit:
                del taken[whole or limit :]
                break
            taken.append(notice)
        for notice in taken:
            self._drop(notice.state.key)
        return taken

    def first_pending_seq(self) -> int | None:
        """Place in the log of the oldest change that is not taken yet."""
        return min((notice.seq for notice in self._pending.values()), default=None)

    def close(self) -> None:
        """End it: whoever waits is told so. Idempotent."""
        if not self.closed:
            self.closed = True
            self._pending.clear()
            self._forget(self)
            self._arrived.set()

    def _drop(self, key: bytes) -> None:
        notice = self._pending.pop(key, None)
        if notice is not None:
            self._pending_chars -= len(notice.state.value or "")

"""Watching for Python callers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from buntime_keyval import InvalidInput, KeyPart, KvEntry
from buntime_keyval.wire import decode_key, decode_value
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys

from buntime_plugin_keyval.store import Store
from buntime_plugin_keyval.watch.events import watch_events
from buntime_plugin_keyval.watch.hub import WatchHub
from buntime_plugin_keyval.watch.watcher import State, Watcher, WatchTarget

KeyLike = Sequence[KeyPart]


class LocalWatches:
    """The watches that one object opened."""

    def __init__(self, store: Store, hub: WatchHub) -> None:
        self._store = store
        self._hub = hub
        self._watchers: set[Watcher] = set()

    async def watch(
        self, target: WatchTarget, *, initial: bool, limit: int
    ) -> AsyncGenerator[list[KvEntry[Any]], None]:
        """The events of one watch as entries."""
        watcher = await self._hub.watch(target)
        self._watchers.add(watcher)
        events = watch_events(
            self._store, self._hub, watcher, initial=initial, limit=limit, heartbeat_s=None
        )
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    if event.states or event.reset:
                        yield [_entry(state) for state in event.states]
        finally:
            self._watchers.discard(watcher)
            watcher.close()

    def close(self) -> None:
        """End all of them. Idempotent."""
        for watcher in tuple(self._watchers):
            watcher.close()


def make_target(
    keys: KeyLike | Sequence[KeyLike] | None,
    prefix: KeyLike | None,
    prefixes: Sequence[KeyLike] | None,
) -> WatchTarget:
    """What exactly one of the three asks for. Raises `InvalidInput`."""
    if sum(bool(given) for given in (keys, prefix, prefixes)) != 1:
        raise InvalidInput("watch needs either keys, a prefix, or prefixes")
    if keys:
        many = isinstance(keys[0], (list, tuple))
        return WatchTarget.of_keys(checked_keys(keys) if many else [checked_key(keys)])
    if prefix:
        return WatchTarget.of_prefix(checked_key(prefix))
    return WatchTarget.of_prefixes(checked_keys(prefixes))


def checked_limit(limit: int = DEFAULT_LIMIT) -> int:
    """Entries of one event, at most 1000. Raises `InvalidInput`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidInput(f"limit must be a positive number, received {describe(limit)}")
    return min(limit, MAX_LIMIT)


def _entry(state: State) -> KvEntry[Any]:
    value = None if state.value is None else decode_value(state.value)
    return KvEntry(decode_key(state.key), value, state.versionstamp)

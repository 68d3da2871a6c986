"""Watching for Python callers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from buntime_database import DatabaseError
from buntime_keyval import KvEntry
from buntime_keyval.shared import (
    AsyncWatch,
    AsyncWatchFlow,
    Buffer,
    ErrorHandler,
    Feed,
    Mode,
    Overflow,
    check_sharing,
    checked_limit,
    made_entry,
    make_target,
    report,
)
from buntime_keyval.wire import Duration, KeyLike, KeyOrKeys, decode_key, decode_value
from buntime_keyval.wire.limits import MAX_LIMIT

from buntime_plugin_keyval.engine.loop import RETRY_SECONDS
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.part import LocalPart, check_mode, encode_prefix
from buntime_plugin_keyval.faces.local.triggers import Trigger, TriggerHandler, Triggers
from buntime_plugin_keyval.features.watch.bookmarks import Bookmark
from buntime_plugin_keyval.features.watch.events import watch_events
from buntime_plugin_keyval.features.watch.hub import WatchHub
from buntime_plugin_keyval.features.watch.pending import State
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.model.changes import Change
from buntime_plugin_keyval.requests.permissions import Permits
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.ranges import subtree

Changes = list[Change]
Entries = list[KvEntry[Any]]


def local_feed(
    store: Store,
    hub: WatchHub,
    target: WatchTarget,
    *,
    initial: bool,
    limit: int,
    on_error: ErrorHandler | None,
) -> Feed:
    """The events of one watch as lists of entries, an empty one for a reset."""

    async def feed(deliver: Callable[[Entries], Awaitable[None]]) -> None:
        bookmark: Bookmark | None = None
        while True:
            try:
                watcher = await hub.watch(target)
                events = watch_events(
                    store,
                    hub,
                    watcher,
                    initial=initial,
                    limit=limit,
                    heartbeat_s=None,
                    after=bookmark,
                )
                async with contextlib.aclosing(events):
                    async for event in events:
                        if event.states or event.is_reset:
                            await deliver([_entry(state) for state in event.states])
                        bookmark = event.bookmark
            except DatabaseError as error:
                await report(error, on_error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return  # the hub was closed

    return feed


def _entry(state: State) -> KvEntry[Any]:
    text = state.value.decode() if isinstance(state.value, bytes) else state.value
    value = None if text is None else decode_value(text)
    return made_entry(decode_key(state.key), value, state.versionstamp)


class LocalWatching(LocalPart):
    """Watches, triggers, and the change log."""

    def __init__(self, service: KeyValService, permits: Permits) -> None:
        super().__init__(service, permits)
        self._triggers = Triggers(service.store)

    def watch(
        self,
        key: KeyOrKeys,
        callback: Callable[[Entries], Any] | None = None,
        *,
        exact: bool = False,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        emit_initial: bool = True,
        limit: int | None = None,
        buffer_size: int | None = None,
        overflow_strategy: Overflow = "drop-oldest",
        shared: bool = False,
        on_error: ErrorHandler | None = None,
    ) -> AsyncWatch:
        """Follow the changes of keys and all keys below them, or only of the keys if `exact`.

        Batches of entries are passed to `callback`, or iterated over; the first one has the current
        entries (of a prefix `limit` entries, 100 by default) unless `emit_initial` is False. Of
        several changes of one key in quick succession, only the last may be reported.

        Without `buffer_size` nothing is read before the last batch was taken. With it, up to that
        many changed keys wait, each with its latest entry; `overflow_strategy` says which ones are
        dropped when there are more. `on_error` is called with failures of the database, which are
        retried; without it they are logged. There is no network, so `mode`, `poll_interval` and
        `shared` have no effect.
        """
        polling = check_mode(mode, poll_interval)
        if shared:
            check_sharing(polling=polling)
        wanted = make_target(key, exact=exact, limit=limit)
        make = WatchTarget.of_keys if exact else WatchTarget.of_prefixes
        target = make(wanted.keys)
        self._permits.read(*target.keys)
        self._permits.read_range(*target.ranges())
        flow = AsyncWatchFlow(
            local_feed(
                self._store,
                self._service.watches,
                target,
                initial=emit_initial,
                limit=MAX_LIMIT if exact else wanted.limit,
                on_error=on_error,
            ),
            Buffer(buffer_size, overflow_strategy),
            callback=callback,
            on_error=on_error,
        )
        self._remember(flow)
        return AsyncWatch(flow)

    def add_trigger(
        self,
        *,
        prefix: KeyLike = (),
        events: Sequence[str] = ("set", "delete"),
        handler: TriggerHandler,
    ) -> Callable[[], None]:
        """Call `handler` for changes of `prefix` and keys below it; returns a function to stop.

        Handlers are called after the commit and before its writer goes on, once for each key, in
        order of registration. Exceptions of a handler are logged and ignored. Expiry is no event.
        """
        encoded = encode_prefix(prefix)
        self._permits.read_range(subtree(encoded))
        return self._triggers.add(Trigger(encoded, tuple(events), handler))

    async def changes(
        self, *, after: int = 0, prefix: KeyLike = (), limit: int = MAX_LIMIT
    ) -> Changes:
        """The change log after `after`, oldest first: of all keys, or of a prefix and those below.

        The log is trimmed by age and number, so the first `seq` may be well after `after`.
        """
        encoded = encode_prefix(prefix)
        keys = subtree(encoded) if encoded else None
        self._permits.read_range(subtree(encoded))
        return await self._store.changes(after, limit=checked_limit(limit), keys=keys)

"""Watching for Python callers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from buntime_database import DatabaseError
from buntime_keyval import KvEntry
from buntime_keyval.shared import ErrorHandler, Feed, report
from buntime_keyval.wire import decode_key, decode_value

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.watch.bookmarks import Bookmark
from buntime_plugin_keyval.features.watch.events import watch_events
from buntime_plugin_keyval.features.watch.hub import RETRY_SECONDS, WatchHub
from buntime_plugin_keyval.features.watch.pending import State
from buntime_plugin_keyval.features.watch.watcher import WatchTarget

Batch = list[KvEntry[Any]]


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

    async def feed(deliver: Callable[[Batch], Awaitable[None]]) -> None:
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
    value = None if state.value is None else decode_value(state.value)
    return KvEntry(decode_key(state.key), value, state.versionstamp)

"""A client of `watch_events` that can leave and come back where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from buntime_plugin_keyval.features.watch.bookmarks import Bookmark
from buntime_plugin_keyval.features.watch.events import WatchEvent, watch_events
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from keyval.service.world import World
from support.waiting import PATIENCE

EVERYTHING = WatchTarget(prefixes=(b"",))


class Client:
    """Keeps what it was told."""

    def __init__(self, world: World, target: WatchTarget = EVERYTHING, limit: int = 100) -> None:
        self.world = world
        self.target = target
        self.limit = limit
        self.bookmark: Bookmark | None = None
        self.known: dict[bytes, str] = {}
        """Versionstamps of what exists."""
        self.values: dict[bytes, str] = {}
        """The same for values."""
        self.whole: list[dict[bytes, str]] = []
        """The values behind every event that is not in the middle of anything."""
        self.told: list[tuple[bytes, str | None]] = []
        self.sizes: list[int] = []
        """Of the events."""
        self.resets = 0
        self._stream: AsyncGenerator[WatchEvent, None] | None = None

    async def connect(self, *, initial: bool = True) -> None:
        """Open a stream behind the last event, if there was one."""
        service = self.world.service
        self._stream = watch_events(
            service.store,
            service.watches,
            await service.watches.watch(self.target),
            initial=initial,
            limit=self.limit,
            heartbeat_s=0.05,
            after=self.bookmark,
        )
        await self.read()

    async def read(self) -> bool:
        """Take an event; False for one that says that nothing happened."""
        assert self._stream is not None
        async with asyncio.timeout(PATIENCE):
            event = await anext(self._stream)
        assert len(event.states) <= self.limit + len(self.target.keys)
        if self.bookmark is not None and not self.resets and not event.is_reset:
            assert event.bookmark.place.seq >= self.bookmark.place.seq, "a client never goes back"
        if event.is_reset:
            self.known.clear()
            self.values.clear()
            self.resets += 1
            return True
        self.bookmark = event.bookmark
        if not event.states:
            return False
        self.sizes.append(len(event.states))
        for state in event.states:
            self.told.append((state.key, state.versionstamp))
            if state.versionstamp is None:
                self.known.pop(state.key, None)
                self.values.pop(state.key, None)
            else:
                self.known[state.key] = state.versionstamp
                value = state.value or ""
                self.values[state.key] = value if isinstance(value, str) else value.decode()
        if event.bookmark.until is None:
            self.whole.append(dict(self.values))
        return True

    async def read_all(self) -> None:
        """Take events until nothing happens for a while."""
        quiet = 0
        while quiet < 4:
            quiet = 0 if await self.read() else quiet + 1

    async def leave(self) -> None:
        """Close the stream, as a lost connection would."""
        assert self._stream is not None
        await self._stream.aclose()


async def stored(world: World) -> dict[bytes, str]:
    """Key and versionstamp of everything in the store."""
    rows = await world.rows("SELECT key, versionstamp FROM kv_entries")
    return dict(rows)


class Gate:
    """Stops a method of the store after it has read, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: Any, name: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        original = getattr(target, name)

        async def gated(*args: Any, **options: Any) -> Any:
            result = await original(*args, **options)
            self.reached.set()
            await self.open.wait()
            return result

        monkeypatch.setattr(target, name, gated)

"""Waiting for changes: one look at the log for all waiting calls, and none while there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.rest import Rest
from buntime_plugin_keyval.features.feature import Ground, Part
from buntime_plugin_keyval.model.changes import Change


class LogPart(Part):
    def __init__(self, ground: Ground) -> None:
        self._store = ground.store
        self._pause_s = ground.config.foreign_poll.milliseconds / 1000
        self._loop = Loop(
            self._step,
            "keyval-log",
            logger=ground.store.logger,
            complaint="The change log could not be read: %s",
            is_still=self._is_still,
            rest=Rest(self._store.when_written),
        )
        self._version: int | None = None
        """The version of the data at the last look."""
        self._newest = 0
        self._grown = asyncio.Event()
        self._waiting = 0
        self._unsubscribe: Callable[[], None] | None = None
        self._is_closed = False

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"following the log": self._loop}

    def start(self) -> None:
        """Do nothing: the first call that waits starts the loop."""

    async def wait_behind(self, position: int) -> bool:
        """Wait for a change after a position; False if none will come, since the store closes."""
        self._waiting += 1
        if self._unsubscribe is None and not self._is_closed:
            self._unsubscribe = self._store.subscribe(self._committed)
            self._loop.start()
        try:
            while self._newest <= position and not self._is_closed:
                await self._grown.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._stop()
        return not self._is_closed

    async def end_streams(self) -> None:
        self._is_closed = True
        self._wake()
        self._stop()

    def _stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            self._loop.stop_soon()

    def _committed(self, changes: Sequence[Change], _: int | None) -> None:
        self._see(changes[-1].seq)

    async def _step(self) -> float:
        self._version = self._store.data_version()
        self._see((await self._store.newest_place(fresh=True)).seq)
        return self._pause_s

    def _is_still(self) -> bool:
        """Whether there was no commit since the last step."""
        return self._version is not None and self._version == self._store.data_version()

    def _see(self, newest: int) -> None:
        if newest > self._newest:
            self._newest = newest
            self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

"""What a plugin has in memory of a store, and reads again whenever somebody changes it there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

RETRY_SECONDS = 1.0
"""Between two tries to read it."""


class Watchable(Protocol):
    """What of the service of plugin-keyval is needed."""

    def watch(self, key: Any, callback: Any = None, *, emit_initial: bool = True) -> Any:
        """Hear of changes."""


class Followed(Generic[T]):
    """Reads of all that is below one key, one at a time."""

    def __init__(
        self,
        store: Watchable,
        prefix: tuple[str, ...],
        read: Callable[[], Awaitable[T]],
        *,
        what: str,
        logger: logging.Logger,
    ) -> None:
        """`read` puts what is there in force; `what` is said to be there in the log."""
        self._store = store
        self._prefix = prefix
        self._read = read
        self._what = what
        self._logger = logger
        self._watch: Any = None
        self._reading = asyncio.Lock()
        self._retry: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hear of changes from now on. Raises what the store does."""
        self._watch = self._store.watch(self._prefix, self._on_change, emit_initial=False)

    async def stop(self) -> None:
        """Hear of nothing more."""
        if self._retry is not None:
            self._retry.cancel()
        if self._watch is not None:
            await self._watch.stop()

    async def read(self) -> T:
        """What the store has now, which is then in force. Raises what the store does."""
        async with self._reading:
            return await self._read()

    async def _on_change(self, _: Any) -> None:
        if self._retry is None or self._retry.done():
            self._retry = asyncio.create_task(self._read_until_done())
        await self._retry

    async def _read_until_done(self) -> None:
        while True:
            try:
                await self.read()
            except Exception as error:  # noqa: BLE001 - whatever the database raises, what was read holds
                self._logger.warning("%s cannot be read: %s", self._what, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

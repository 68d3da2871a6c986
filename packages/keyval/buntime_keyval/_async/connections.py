"""The owners of connections: for asyncio, one process and one event loop.

A child process, and another loop, get connections of their own; those of the parent are left alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

_of_parents: list[object] = []
"""Connections that a parent process made: closing one could end it there, so all are kept."""


class Closable(Protocol):
    """Connections that were made together."""

    async def close(self) -> None:
        """Close all of them."""


C = TypeVar("C", bound=Closable)


class Connections(Generic[C]):
    """The connections of one client, by the loop that uses them."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._pid = os.getpid()
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, C] = WeakKeyDictionary()

    def here(self) -> C:
        """The connections of the caller, made on the first call."""
        if self._pid != os.getpid():
            _of_parents.append(self._made)
            self._made = WeakKeyDictionary()
            self._pid = os.getpid()
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            # Connections know their loop, so neither would go by itself.
            for ended in [other for other in list(self._made) if other.is_closed()]:
                self._made.pop(ended, None)
            made = self._made[loop] = self._make()
        return made

    async def close(self) -> None:
        """Close all of this process. Idempotent."""
        if self._pid != os.getpid():
            return
        here = asyncio.get_running_loop()
        for loop, made in list(self._made.items()):
            if loop is here:
                await made.close()
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(_closed(made.close), loop)
                await asyncio.wrap_future(closing)
            # Connections of a loop that has ended are closed with it.
        self._made.clear()


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    await close()

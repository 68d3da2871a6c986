"""Word that somebody begins to write to a database file, in whatever process.

Linux tells it of any file (inotify), so nobody has to look at one that rests. A commit is written
to the log first: that is what is waited for. It can be seen a little later, once it is flushed.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import NamedTuple

_NONBLOCK = os.O_NONBLOCK
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_MODIFY, _ATTRIB, _DELETE_SELF, _MOVE_SELF, _ONCE = 0x2, 0x4, 0x400, 0x800, 0x80000000
_READ_BYTES = 4096
"""More than all events of one file that tells once."""


class _System(NamedTuple):
    """The two calls of the system, which Python has no names for."""

    init: Callable[[int], int]
    add_watch: Callable[[int, bytes, int], int]


class WriteNotices:
    """Those who want to be told when one database file is written. Used on the event loop."""

    def __init__(self, path: str) -> None:
        self._log = os.fsencode(f"{path}-wal")
        self._descriptor: int | None = None
        self._is_possible = True
        self._loop: asyncio.AbstractEventLoop | None = None
        """On which it is waited for; None while it is not."""
        self._calls: list[Callable[[], None]] = []

    def tell(self, call: Callable[[], None]) -> bool:
        """See `Adapter.when_written`."""
        if self._loop is not asyncio.get_running_loop() and not self._wait():
            return False
        self._calls.append(call)
        return True

    def close(self) -> None:
        """Tell nobody any more. Idempotent."""
        self._is_possible = False
        self._calls.clear()
        self._end()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _wait(self) -> bool:
        self._end()
        system = _system()
        if system is None or not self._is_possible:
            return False
        if self._descriptor is None:
            descriptor = system.init(_NONBLOCK | _CLOEXEC)
            if descriptor < 0:  # the system has a bound for them
                self._is_possible = False
                return False
            self._descriptor = descriptor
        events = _MODIFY | _ATTRIB | _DELETE_SELF | _MOVE_SELF | _ONCE
        if system.add_watch(self._descriptor, self._log, events) < 0:
            return False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._written)
        return True

    def _written(self) -> None:
        self._end()
        if self._descriptor is not None:
            with suppress(OSError):
                os.read(self._descriptor, _READ_BYTES)
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and self._descriptor is not None and not loop.is_closed():
            loop.remove_reader(self._descriptor)


@cache
def _system() -> _System | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    try:
        init, add_watch = library.inotify_init1, library.inotify_add_watch
    except AttributeError:
        return None
    init.argtypes = [ctypes.c_int]
    add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
    return _System(init, add_watch)

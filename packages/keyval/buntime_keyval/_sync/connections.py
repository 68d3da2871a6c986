"""Whose connections are whose: those of blocking clients belong to one process.

A child process gets connections of its own; those of the parent are left alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Generic, Protocol, TypeVar

import httpx2

from buntime_keyval._sync.concurrency import waking

_of_parents: list[object] = []
"""Connections that a parent process made: closing one could end it there, so all are kept."""


class Closable(Protocol):
    """Connections that were made together."""

    def close(self) -> None:
        """Close all of them."""


C = TypeVar("C", bound=Closable)


class Connections(Generic[C]):
    """The connections of one client; threads share them."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._made = (os.getpid(), make())

    def here(self) -> C:
        """Those of the caller."""
        pid, made = self._made
        if pid != os.getpid():
            # Two threads may both come here: what one of the two made is then used once.
            _of_parents.append(made)
            made = self._make()
            self._made = (os.getpid(), made)
        return made

    def close(self) -> None:
        """Close all of this process. Idempotent."""
        pid, made = self._made
        if pid == os.getpid():
            made.close()


def interruptible(response: httpx2.Response) -> AbstractContextManager[object]:
    """A context in which cancelling the task ends the wait for more of a response."""
    return waking(lambda: _interrupt(response))


def _interrupt(response: httpx2.Response) -> None:
    """Let the thread that waits for the next chunk go on; the response is of no use afterwards."""
    network = response.extensions.get("network_stream")
    connection = network.get_extra_info("socket") if network is not None else None
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

"""Whose connections are whose: those of blocking clients belong to one process.

A child process gets connections of its own; those of the parent are left alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

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

"""Whether a socket has something to read, or takes something, by asking the system."""

from __future__ import annotations

import select
from typing import NamedTuple

_HAS_POLL = hasattr(select, "poll")
"""Windows has `select` alone, which elsewhere knows no more than a thousand sockets."""


class Ready(NamedTuple):
    """Whether a socket is readable and writable; both for a broken one, so that using it raises the
    cause.
    """

    to_read: bool
    to_write: bool


class Readiness:
    """The readiness of one socket."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        if _HAS_POLL:
            self._reading, self._both = select.poll(), select.poll()
            self._reading.register(fileno, select.POLLIN)
            self._both.register(fileno, select.POLLIN | select.POLLOUT)

    def to_read(self) -> bool:
        """Whether something came, or the end did; at once."""
        if _HAS_POLL:
            return bool(self._reading.poll(0))
        return bool(select.select([self._fileno], [], [], 0)[0])

    def wait(self, timeout: float | None) -> Ready:
        """The readiness, after at most `timeout` seconds."""
        if _HAS_POLL:
            found = self._both.poll(None if timeout is None else timeout * 1000)
            flags = found[0][1] if found else 0
            broken = bool(flags & ~(select.POLLIN | select.POLLOUT))
            return Ready(broken or bool(flags & select.POLLIN), bool(flags & select.POLLOUT))
        one = [self._fileno]
        reading, writing, _ = select.select(one, one, [], timeout)
        return Ready(bool(reading), bool(writing))

"""How far the store was when a client heard of it last, which it says with its next requests.

So it reads what it wrote, and never less than it read before, whichever host of several answers,
and from whichever replica. Servers whose engine has no replicas tell no position.
"""

from __future__ import annotations

import os
import threading

POSITION = "x-buntime-position"
_MOST_DIGITS = 15


class LastPosition:
    """The newest position that a client was told; threads may share it."""

    def __init__(self) -> None:
        self.newest: int | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def heard(self, sent: str | None, told: str | None) -> None:
        """An answer told a position, to a request that was sent with another one."""
        if told is None or not told.isdecimal() or len(told) > _MOST_DIGITS:
            return
        position = int(told)
        if position == self.newest:
            return
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()  # a parent's may be held for ever
        with self._lock:
            newest = self.newest
            if newest is None or position > newest or _is_anew(sent, position, newest):
                self.newest = position


def _is_anew(sent: str | None, told: int, newest: int) -> bool:
    """Whether the store has begun to count anew, as when its server was killed.

    Else none tells less than it is asked for.
    """
    return sent is not None and sent.isdecimal() and told < int(sent) <= newest

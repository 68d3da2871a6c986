"""The last known position of the store, which a client sends with its next requests.

So it reads its own writes, and never an older state than before, whichever host of several answers,
and from whichever replica. Servers whose engine has no replicas send no position.
"""

from __future__ import annotations

import os
import threading

POSITION = "x-buntime-position"
_MOST_DIGITS = 15


class LastPosition:
    """The newest position that a client was sent; threads may share it."""

    def __init__(self) -> None:
        self.newest: int | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def heard(self, sent: str | None, told: str | None) -> None:
        """An answer has a position, to a request that was sent with another one."""
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
    """Whether the store has begun to count again, as when its server was killed.

    Otherwise no answer has a lower position than its request.
    """
    return sent is not None and sent.isdecimal() and told < int(sent) <= newest

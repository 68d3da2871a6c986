"""Who gets the write lock of a database file next, of all in this host who wait for it.

SQLite gives it to whoever happens to ask when it is free. Of three streams that keep it for as
long as they may, in turn, one would always get it before the writer asks again. So the writer comes
before all sessions; and of these whoever has waited for longest, but for those whose last
transaction was ended because it took too long.

The writers of other workers count as well, by a number that workers share; their sessions do not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from threading import Lock
from typing import NamedTuple

from buntime_database import SessionLimits

from buntime_plugin_database.shared.counters import LocalCounters, SharedNumbers

WAITING_SECONDS = 0.1
"""How long it counts that a writer asked for the lock: its process may have died since."""

SPARE_SECONDS = 1.0
"""What a writer waits beyond the time that sessions may keep the lock."""

ASKED_AT, KEPT_SECONDS = range(2)
"""What writers tell each other: when one last asked in vain, and how long its sessions may keep
the lock."""


class QueuePlace(NamedTuple):
    """A place in the queue of sessions; the smallest one comes first."""

    is_late: bool
    """Behind all who are not: its last transaction took too long."""
    number: int


class LockQueue:
    """The queue for one file. Sessions use it from their threads, the writer from the loop."""

    def __init__(self, asking: SharedNumbers | None = None) -> None:
        """`asking` are two numbers, see `ASKED_AT`."""
        self._asking = asking or LocalCounters(2)
        # Whoever had this place before may have died waiting, or with sessions.
        self._asking.own[ASKED_AT] = self._asking.own[KEPT_SECONDS] = 0.0
        self._sessions: Counter[float] = Counter()
        """How many there are that may keep the lock for so many seconds."""
        self._numbers = count()
        self._lock = Lock()
        self._places: set[QueuePlace] = set()

    def expect(self, limits: SessionLimits) -> Callable[[], None]:
        """Take note of how long a session may keep the lock; what is given says that it is over."""
        seconds = max(limits.statement_seconds, limits.transaction_seconds)
        self._sessions[seconds] += 1
        self._asking.own[KEPT_SECONDS] = max(self._sessions)

        def over() -> None:
            self._sessions[seconds] -= 1
            self._sessions += Counter()  # without those that are zero
            self._asking.own[KEPT_SECONDS] = max(self._sessions, default=0.0)

        return over

    @property
    def patience(self) -> float:
        """How long the writer has to wait at the most for sessions; 0 where there are none."""
        kept = self._asking.own[KEPT_SECONDS]
        for _, numbers in self._asking.others():
            kept = max(kept, numbers[KEPT_SECONDS])
        return kept + SPARE_SECONDS if kept else 0.0

    def writer_asks(self) -> None:
        """The writer of this process has found the lock taken, and will ask again soon."""
        self._asking.own[ASKED_AT] = time.monotonic()

    def writer_is_done(self) -> None:
        """It waits no more."""
        self._asking.own[ASKED_AT] = 0.0

    @property
    def writer_waits(self) -> bool:
        """Whether any writer waits for the lock."""
        since = time.monotonic() - WAITING_SECONDS
        if self._asking.own[ASKED_AT] > since:
            return True
        return any(numbers[ASKED_AT] > since for _, numbers in self._asking.others())

    @contextmanager
    def place(self, *, is_late: bool) -> Iterator[QueuePlace]:
        """A place behind all others, for the length of the body."""
        place = QueuePlace(is_late, next(self._numbers))
        with self._lock:
            self._places.add(place)
        try:
            yield place
        finally:
            with self._lock:
                self._places.discard(place)

    def is_next(self, place: QueuePlace) -> bool:
        """Whether nobody comes before this place."""
        if self.writer_waits:
            return False
        with self._lock:
            return min(self._places) == place

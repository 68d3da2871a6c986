"""The queue for the write lock of a database file, within this host.

SQLite gives the lock to whichever connection asks when it is free. With three streams that keep it
in turn for as long as they may, one would always get it before the writer asks again. So the writer
comes before all sessions. Of these the one that has waited longest comes first, but for those whose
last transaction was ended because it took too long. The writers of other workers count as well, by
a number that workers share; their sessions do not.
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
"""Seconds that a writer's request for the lock counts: its process may have died since."""

SPARE_SECONDS = 1.0
"""Seconds that a writer waits beyond the time that sessions may keep the lock."""

ASKED_AT, KEPT_SECONDS = range(2)
"""The shared numbers of writers: when one last asked in vain, and how long its sessions may keep
the lock."""


class QueuePlace(NamedTuple):
    """A place in the queue of sessions; the smallest one comes first."""

    is_late: bool
    """Whether it comes behind all others: its last transaction took too long."""
    number: int


class LockQueue:
    """The queue for one file. Sessions use it from their threads, the writer from the loop."""

    def __init__(self, asking: SharedNumbers | None = None) -> None:
        """`asking` are two numbers, see `ASKED_AT`."""
        self._asking = asking or LocalCounters(2)
        # A predecessor in this place may have died waiting, or with sessions.
        self._asking.own[ASKED_AT] = self._asking.own[KEPT_SECONDS] = 0.0
        self._sessions: Counter[float] = Counter()
        """The number of those that may keep the lock for so many seconds."""
        self._numbers = count()
        self._lock = Lock()
        self._places: set[QueuePlace] = set()

    def expect(self, limits: SessionLimits) -> Callable[[], None]:
        """Note how long a session may keep the lock; call the result when that is over."""
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
        """The longest time that the writer has to wait for sessions; 0 without sessions."""
        kept = self._asking.own[KEPT_SECONDS]
        for _, numbers in self._asking.others():
            kept = max(kept, numbers[KEPT_SECONDS])
        return kept + SPARE_SECONDS if kept else 0.0

    def writer_asks(self) -> None:
        """The writer of this process has found the lock taken, and will ask again soon."""
        self._asking.own[ASKED_AT] = time.monotonic()

    def writer_is_done(self) -> None:
        """It no longer waits."""
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
        """A place behind all others, within the body."""
        place = QueuePlace(is_late, next(self._numbers))
        with self._lock:
            self._places.add(place)
        try:
            yield place
        finally:
            with self._lock:
                self._places.discard(place)

    def is_next(self, place: QueuePlace) -> bool:
        """Whether no other comes before this place."""
        if self.writer_waits:
            return False
        with self._lock:
            return min(self._places) == place

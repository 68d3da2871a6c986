"""The time of a statement of a session: how long it may run, and wait for the write lock.

Waiting does not count as running: a statement has its full time, however long others keep the lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import apsw

from buntime_plugin_database.engines.sqlite.queue import LockQueue, QueuePlace

WRITING = 2
"""SQLite's constant SQLITE_TXN_WRITE."""

LOCK_POLL_SECONDS = 0.005
"""Pause between two attempts to get a lock."""


class StatementTime:
    """The deadline of the present statement.

    Only the thread that runs it calls this. `interrupted` and `interrupt_late` are for others.
    """

    def __init__(self, queue: LockQueue) -> None:
        self.interrupted = False
        """Set to stop all statements."""
        self.asked_at = 0.0
        """When the session last asked for the write lock, which it has had since if it has it."""
        self.is_late = False
        """Whether its last transaction took too long, so that others come before it."""
        self._queue = queue
        self._place: QueuePlace | None = None
        """In the queue for the write lock."""
        self._deadline = float("inf")
        self._busy_until = 0.0
        self._ending = Lock()
        """Held while the deadline is taken back: then nothing interrupts what comes next."""

    def begin(self, deadline: float, busy_until: float) -> None:
        """A statement begins: it runs until `deadline`, and waits for locks until `busy_until`."""
        self._deadline = deadline
        self._busy_until = busy_until

    def lift_deadline(self) -> None:
        """The next statement is not interrupted by its deadline."""
        self._deadline = float("inf")

    def end(self) -> None:
        """The statement is over."""
        with self._ending:
            self._deadline = float("inf")

    def must_stop(self) -> bool:
        """Whether the statement is interrupted or over its time."""
        return self.interrupted or time.monotonic() >= self._deadline

    def interrupt_late(self, connection: apsw.Connection) -> None:
        """Interrupt what must stop. For another thread than the one that runs it."""
        with self._ending:
            if self._deadline < float("inf") and self.must_stop():
                connection.interrupt()

    def waits_on(self, _: int) -> bool:
        """Wait a little for a lock that another connection has; False to give up."""
        return self._pause() and self._comes_next()

    @contextmanager
    def queued(self, connection: apsw.Connection, *, is_readonly: bool) -> Iterator[None]:
        """Wait for the turn at the write lock, unless the body needs none or has it.

        Raises `apsw.BusyError`.
        """
        if is_readonly or connection.txn_state("main") == WRITING:
            yield
            return
        with self._queue.place(is_late=self.is_late) as place:
            self._place = place
            try:
                if not self._comes_next():
                    raise apsw.BusyError("database is locked")
                yield
            finally:
                self._place = None
        self.is_late = False

    def _comes_next(self) -> bool:
        """Wait until no other comes before this session; False to give up."""
        while self._place is not None and not self._queue.is_next(self._place):
            if not self._pause():
                return False
        if self._place is not None:
            self.asked_at = time.monotonic()
        return True

    def _pause(self) -> bool:
        """Wait a little, which is not time that the statement takes; False to give up."""
        if self.interrupted or time.monotonic() >= self._busy_until:
            return False
        started = time.monotonic()
        time.sleep(LOCK_POLL_SECONDS)
        self._deadline += time.monotonic() - started
        return True

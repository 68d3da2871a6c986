"""A limit on how long the statements of one connection may run in a thread.

SQLite looks at the clock after so many steps of its machine. That is cheap, and late where few
steps read much: a row with a value of 10 MB takes milliseconds and a dozen steps. So the event loop
looks as well, now and then, and interrupts, which SQLite obeys behind each row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import apsw
from buntime_database import StatementTimeout

_STEPS = 10_000
"""Steps of SQLite's machine, about a millisecond, between two looks at the clock."""

LOOK_SECONDS = 0.25
"""Seconds between two checks of the event loop, while anything runs in a thread."""


class Deadline:
    """Interrupts what runs on a connection for too long."""

    def __init__(self, connection: apsw.Connection, seconds: float) -> None:
        """0 seconds are no limit."""
        self._connection = connection
        self._seconds = seconds
        self._at = float("inf")
        self._lock = Lock()
        if seconds:
            connection.set_progress_handler(self._is_over, _STEPS)

    @contextmanager
    def running(self, *, patient: bool = False) -> Iterator[None]:
        """Limit what runs in the body, unless it is `patient`. Raises `StatementTimeout`."""
        if not self._seconds or patient:
            yield
            return
        self._at = time.monotonic() + self._seconds
        try:
            yield
        except apsw.InterruptError as error:
            if time.monotonic() < self._at:
                raise  # by another thread
            raise StatementTimeout(
                f"it ran for longer than statementTimeout of the adapter ({self._seconds:g} s),"
                " and was stopped"
            ) from error
        finally:
            with self._lock:  # once it is let go, the connection may do something else
                self._at = float("inf")

    def look(self) -> None:
        """Interrupt a statement that is over its time. For another thread than the one that runs
        it.
        """
        with self._lock:
            if self._is_over():
                self._connection.interrupt()

    def _is_over(self) -> bool:
        return time.monotonic() >= self._at


class DeadlineWatch:
    """Checks deadlines from the event loop. Enter it, also several times, while threads work."""

    __slots__ = ("_active", "_look", "_timer")

    def __init__(self, look: Callable[[], None]) -> None:
        """`look` is called every `LOOK_SECONDS` while anybody is inside."""
        self._look = look
        self._active = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._active += 1
        if self._timer is None:
            self._wait()

    def __exit__(self, *_: object) -> None:
        # The timer is left running: mostly it is needed again before it fires.
        self._active -= 1

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._is_time)

    def _is_time(self) -> None:
        self._timer = None
        if self._active:
            self._look()
            self._wait()

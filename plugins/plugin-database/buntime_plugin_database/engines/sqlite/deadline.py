"""A limit on how long the statements of one connection may run in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw
from buntime_database import StatementTimeout

_STEPS = 10_000
"""Steps of SQLite's machine, about a millisecond, between two looks at the clock."""


class Deadline:
    """Interrupts what runs on a connection for too long."""

    def __init__(self, connection: apsw.Connection, seconds: float) -> None:
        """0 seconds are no limit."""
        self._seconds = seconds
        self._at = float("inf")
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
                raise  # by somebody else
            raise StatementTimeout(
                f"it ran for longer than statementTimeout ({self._seconds:g} s), and was stopped"
            ) from error
        finally:
            self._at = float("inf")

    def _is_over(self) -> bool:
        return time.monotonic() >= self._at

"""Following an event stream: requests, and pauses between streams. No I/O."""

from __future__ import annotations

import time
from typing import Protocol, TypeVar

from buntime_keyval._core import StreamCall
from buntime_keyval._retries import Backoff
from buntime_keyval._sse import ServerEvent

T_co = TypeVar("T_co", covariant=True)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
HEALTHY_S = 2.0
"""A stream that lived so long is no failed attempt either: the pauses are short again."""


class FollowPlan(Protocol[T_co]):
    """The plan of a follower: its requests, and its reading of events."""

    def stream_call(self) -> StreamCall:
        """The stream to open now."""

    def take(self, event: ServerEvent) -> T_co | None:
        """The content of an event, if any."""

    def place(self) -> object:
        """Its progress; a stream that changes it is no failed attempt."""


class Reconnects:
    """The pauses between streams."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._opened: float | None = None
        self._place: object = None

    def opened(self) -> None:
        """Note that a stream, or an answer, is there."""
        self._opened = time.monotonic()

    def pause(self, place: object = None) -> float:
        """Seconds to wait after a stream ended at this place."""
        lasted = self._opened is not None and time.monotonic() - self._opened >= HEALTHY_S
        if lasted or place != self._place:
            self._backoff.reset()
        self._opened, self._place = None, place
        return self._backoff.next()

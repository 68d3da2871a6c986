"""Clocks, injected so that tests control them: elapsed time and wall-clock time.

Waits, lifetimes and leases follow elapsed time, so that setting the system clock, by hand or by the
network, does not move them. Only times that people see or give are wall-clock times. Both agree
until the system clock is set while the process runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from buntime_host import Numbers

_NS = 1_000_000
_MS_OF_SECOND = 1000
_STEP_MS = 1000
"""Clocks that differ by less than half of this count as equal: one of them may be slewed."""


class Clock(Protocol):
    """The two times of a store, in epoch milliseconds."""

    def now(self) -> int:
        """The store's time, which follows elapsed time."""
        ...

    def wall(self) -> int:
        """The time of the system clock."""
        ...

    def not_before(self, milliseconds: int) -> None:
        """Set the store's time forward to at least this."""
        ...


class Moment(NamedTuple):
    """A moment, in both times."""

    now_ms: int
    """In the store's time."""
    wall_ms: int
    """The wall-clock time."""

    @property
    def ahead_ms(self) -> int:
        """How far the store's time is ahead of the wall clock, in whole seconds; 0 if equal."""
        return _ahead_ms(self.now_ms, self.wall_ms)


def wall_of(clock: Clock, at_ms: int) -> int:
    """A time of the store as wall-clock milliseconds."""
    return at_ms - moment_of(clock).ahead_ms


def moment_of(clock: Clock) -> Moment:
    """The present moment. Times that agree are made equal, so that lifetimes are exact."""
    now_ms, wall_ms = clock.now(), clock.wall()
    return Moment(now_ms, wall_ms if _ahead_ms(now_ms, wall_ms) else now_ms)


def _ahead_ms(now_ms: int, wall_ms: int) -> int:
    """See `Moment.ahead_ms`."""
    distance = now_ms - wall_ms
    if -_STEP_MS < 2 * distance < _STEP_MS:
        return 0  # the usual case
    return round(distance / _STEP_MS) * _STEP_MS


def _elapsed() -> Callable[[], int]:
    """A system-wide monotonic clock in nanoseconds, which includes suspensions if available."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns if boot is None else partial(time.clock_gettime_ns, boot)


def clock_of(seconds: Callable[[], float]) -> SystemClock:
    """A clock whose two times come from a function that returns epoch seconds.

    The function may stand still, but must not go back.
    """

    def nanoseconds() -> int:
        return round(seconds() * _MS_OF_SECOND) * _NS

    return SystemClock(wall_ns=nanoseconds, elapsed_ns=nanoseconds)


class SystemClock:
    """A clock whose store time starts at the wall-clock time and then follows elapsed time."""

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_ns: Callable[[], int] | None = None,
        shared: Numbers | None = None,
    ) -> None:
        """`shared` is a number shared by the workers, by which all have the first one's time."""
        elapsed = elapsed_ns or _elapsed()
        # In nanoseconds: with milliseconds the clocks would often differ by one.
        base_ns = wall_ns() - elapsed()
        if shared is not None:
            known_ms = max([shared.own[0], *(numbers[0] for _, numbers in shared.others())])
            shared.own[0] = known_ms or base_ns / _NS
            whole_ms = int(shared.own[0])
            base_ns = whole_ms * _NS + int((shared.own[0] - whole_ms) * _NS)

        # Closures cost half of what methods do, and every request asks for the time.
        def now() -> int:
            return (base_ns + elapsed()) // _NS

        def wall() -> int:
            return wall_ns() // _NS

        def not_before(milliseconds: int) -> None:
            nonlocal base_ns
            base_ns += max(0, milliseconds - now()) * _NS
            if shared is not None:
                shared.own[0] = base_ns / _NS

        self.now = now
        self.wall = wall
        self.not_before = not_before

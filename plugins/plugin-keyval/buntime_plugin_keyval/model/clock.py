"""Time, injected so that tests own it: what passes, and what a clock on the wall shows.

What waits, lives or is leased follows the time that has passed. A clock that is set, by hand or by
the network, moves none of it; only what people see, and what they name as a moment, is by the
clock on the wall. Both agree until it is set while the process runs.
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
"""Clocks that differ by less than half of this agree: one of them may be slewed."""


class Clock(Protocol):
    """Both times of a store, in epoch milliseconds."""

    def now(self) -> int:
        """The store's time, which only goes on as time passes."""
        ...

    def wall(self) -> int:
        """What the clock of the system shows."""
        ...

    def not_before(self, milliseconds: int) -> None:
        """Let the store's time be at least this from now on."""
        ...


class Moment(NamedTuple):
    """When something happens."""

    now_ms: int
    """In the store's time."""
    wall_ms: int
    """On the clock on the wall."""

    @property
    def ahead_ms(self) -> int:
        """How far the store's time is ahead of the clock, in whole seconds; 0 if they agree."""
        return _ahead_ms(self.now_ms, self.wall_ms)


def wall_of(clock: Clock, at_ms: int) -> int:
    """A time of the store by the clock on the wall, milliseconds."""
    return at_ms - moment_of(clock).ahead_ms


def moment_of(clock: Clock) -> Moment:
    """Now. Times that agree are the same, so that a life is exactly what was asked for."""
    now_ms, wall_ms = clock.now(), clock.wall()
    return Moment(now_ms, wall_ms if _ahead_ms(now_ms, wall_ms) else now_ms)


def _ahead_ms(now_ms: int, wall_ms: int) -> int:
    """See `Moment.ahead_ms`."""
    distance = now_ms - wall_ms
    if -_STEP_MS < 2 * distance < _STEP_MS:
        return 0  # which they nearly always do
    return round(distance / _STEP_MS) * _STEP_MS


def _elapsed() -> Callable[[], int]:
    """A clock of the whole system that nobody sets, in nanoseconds; it counts a suspension where
    the system has such a one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns if boot is None else partial(time.clock_gettime_ns, boot)


def clock_of(seconds: Callable[[], float]) -> SystemClock:
    """A clock by a function that tells epoch seconds: that of the wall, and the time that passes.

    It may stand still, and must not go back.
    """

    def nanoseconds() -> int:
        return round(seconds() * _MS_OF_SECOND) * _NS

    return SystemClock(wall_ns=nanoseconds, elapsed_ns=nanoseconds)


class SystemClock:
    """The store's time is that of the wall when the process starts, and then what has passed."""

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_ns: Callable[[], int] | None = None,
        shared: Numbers | None = None,
    ) -> None:
        """`shared` is a number of each worker: all have the time of the one that was first."""
        elapsed = elapsed_ns or _elapsed()
        # In nanoseconds, or both clocks would often be a millisecond apart.
        base_ns = wall_ns() - elapsed()
        if shared is not None:
            known_ms = max([shared.own[0], *(numbers[0] for _, numbers in shared.others())])
            shared.own[0] = known_ms or base_ns / _NS
            whole_ms = int(shared.own[0])
            base_ns = whole_ms * _NS + int((shared.own[0] - whole_ms) * _NS)

        # Closures, since every request asks for the time: half of what methods cost.
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

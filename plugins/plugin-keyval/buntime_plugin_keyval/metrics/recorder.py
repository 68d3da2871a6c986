"""Counts and latencies of operations, in plain numbers: recording one costs less than 1 µs."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

BUCKETS_MS = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
"""Upper bounds of the latency histogram; one more bucket takes the rest."""


class Samples:
    """What was measured of one operation."""

    __slots__ = ("buckets", "count", "errors", "latency_ms")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.latency_ms = 0.0
        self.buckets = [0] * (len(BUCKETS_MS) + 1)

    def add(self, other: Samples) -> None:
        """Add what was measured elsewhere or earlier."""
        self.count += other.count
        self.errors += other.errors
        self.latency_ms += other.latency_ms
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


class Recorder:
    """The operations of one store, by name; an operation appears with its first sample."""

    def __init__(self) -> None:
        self.totals: dict[str, Samples] = {}
        self._unsaved: dict[str, Samples] = {}

    def record(self, operation: str, seconds: float, *, failed: bool = False) -> None:
        """Add one sample."""
        milliseconds = seconds * 1000
        bucket = bisect_left(BUCKETS_MS, milliseconds)
        for known in (self.totals, self._unsaved):
            samples = known.get(operation)
            if samples is None:
                samples = known[operation] = Samples()
            samples.count += 1
            samples.latency_ms += milliseconds
            samples.buckets[bucket] += 1
            if failed:
                samples.errors += 1

    def load(self, saved: dict[str, Samples]) -> None:
        """Add what earlier processes measured."""
        for operation, samples in saved.items():
            self.totals.setdefault(operation, Samples()).add(samples)

    def reset(self) -> None:
        """Forget everything, also what is not saved yet."""
        self.totals.clear()
        self._unsaved.clear()

    def take_unsaved(self) -> dict[str, Samples]:
        """What was measured since the last call; the caller saves it or puts it back."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def put_back(self, unsaved: dict[str, Samples]) -> None:
        """Keep for the next time what could not be saved."""
        for operation, samples in unsaved.items():
            self._unsaved.setdefault(operation, Samples()).add(samples)


class Measured(Protocol):
    """Something whose methods are measured."""

    @property
    def recorder(self) -> Recorder: ...


M = TypeVar("M", bound=Measured)


def measured(
    operation: str,
) -> Callable[
    [Callable[Concatenate[M, P], Awaitable[R]]], Callable[Concatenate[M, P], Awaitable[R]]
]:
    """Record every call of an async method as one sample of `operation`.

    What it raises is an error of the operation; a caller that goes away is none.
    """

    def decorate(
        method: Callable[Concatenate[M, P], Awaitable[R]],
    ) -> Callable[Concatenate[M, P], Awaitable[R]]:
        @functools.wraps(method)
        async def call(self: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
            started = perf_counter()
            failed = False
            try:
                return await method(self, *args, **kwargs)
            except Exception:
                failed = True
                raise
            finally:
                self.recorder.record(operation, perf_counter() - started, failed=failed)

        return call

    return decorate

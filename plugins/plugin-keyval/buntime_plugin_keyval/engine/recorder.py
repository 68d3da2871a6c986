"""Counts and latencies of operations, in plain numbers: recording one costs less than 1 µs."""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec
from buntime_host import Numbers, Workers

if TYPE_CHECKING:
    from buntime_host.workers import Doubles

P = ParamSpec("P")
R = TypeVar("R")

BUCKETS_MS = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
"""Upper bounds of the latency histogram; one more bucket takes the rest."""
_BOUNDS = tuple(map(float, BUCKETS_MS))
"""The same, since floats are compared with each other in half the time."""


_COUNT, _ERRORS, _LATENCY, _BUCKETS = range(4)
_LENGTH = _BUCKETS + len(BUCKETS_MS) + 1
_PREFIX = "keyval.operation."


class Samples(msgspec.Struct, frozen=True):
    """The measurements of one operation."""

    count: int
    errors: int
    latency_ms: float
    buckets: list[int]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Samples:
        """The samples that a row of numbers holds."""
        count, errors, latency_ms, *buckets = numbers
        return cls(int(count), int(errors), latency_ms, [int(number) for number in buckets])

    @property
    def numbers(self) -> list[float]:
        """The same as a row."""
        return [self.count, self.errors, self.latency_ms, *self.buckets]


class Recorder:
    """The operations of one store, by name; an operation appears with its first sample.

    Each worker counts for itself, where all can see it: two rows of numbers for an operation, the
    measured ones and how much of these is saved.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._rows: dict[str, Doubles] = {name: self._row(name) for name in self._known()}
        self._reset = workers.signal("keyval.reset")
        self._reset.listen(self._forget)

    def record(self, operation: str, seconds: float, *, failed: bool = False) -> None:
        """Add one sample."""
        row = self._rows.get(operation)
        if row is None:
            row = self._rows[operation] = self._row(operation)
        milliseconds = seconds * 1000
        row[_COUNT] += 1
        row[_LATENCY] += milliseconds
        row[_BUCKETS + bisect_left(_BOUNDS, milliseconds)] += 1
        if failed:
            row[_ERRORS] += 1

    def record_all(self, operation: str, seconds: Sequence[float]) -> None:
        """Add many samples of what did not fail."""
        row = self._rows.get(operation)
        if row is None:
            row = self._rows[operation] = self._row(operation)
        row[_COUNT] += len(seconds)
        row[_LATENCY] += sum(seconds) * 1000
        bucket = bisect_left(_BOUNDS, min(seconds) * 1000)
        if bucket == bisect_left(_BOUNDS, max(seconds) * 1000):
            row[_BUCKETS + bucket] += len(seconds)
        else:
            for one in seconds:
                row[_BUCKETS + bisect_left(_BOUNDS, one * 1000)] += 1

    @property
    def totals(self) -> dict[str, Samples]:
        """The measurements of all workers, including loaded ones."""
        totals = {
            name: Samples.of(self._numbers(name).totals()[:_LENGTH]) for name in self._known()
        }
        return {name: samples for name, samples in totals.items() if samples.count}

    def load(self, saved: Mapping[str, Samples]) -> None:
        """Add what earlier processes measured and saved."""
        for operation, samples in saved.items():
            self._add(operation, samples, 1, measured=True, saved=True)

    def reset(self) -> None:
        """Forget everything, including unsaved numbers, in all workers: in the others soon."""
        self._forget()
        self._reset.send()

    def take_unsaved(self) -> dict[str, Samples]:
        """The measurements of this worker since the last call; the caller saves them or puts them
        back.
        """
        unsaved: dict[str, Samples] = {}
        for operation, row in self._rows.items():
            measured, saved = row[:_LENGTH].tolist(), row[_LENGTH:].tolist()
            samples = Samples.of([a - b for a, b in zip(measured, saved, strict=True)])
            if samples.count:
                unsaved[operation] = samples
                self._add(operation, samples, 1, saved=True)
        return unsaved

    def put_back(self, unsaved: Mapping[str, Samples]) -> None:
        """Keep for the next time what could not be saved."""
        for operation, samples in unsaved.items():
            self._add(operation, samples, -1, saved=True)

    def _add(
        self,
        operation: str,
        samples: Samples,
        sign: int,
        *,
        measured: bool = False,
        saved: bool = False,
    ) -> None:
        row = self._rows.get(operation)
        if row is None:
            row = self._rows[operation] = self._row(operation)
        for index, number in enumerate(samples.numbers):
            if measured:
                row[index] += sign * number
            if saved:
                row[_LENGTH + index] += sign * number

    def _forget(self) -> None:
        for row in self._rows.values():
            row[:] = array("d", bytes(8 * len(row)))

    def _known(self) -> list[str]:
        return [name.removeprefix(_PREFIX) for name in self._workers.names(_PREFIX)]

    def _numbers(self, operation: str) -> Numbers:
        return self._workers.numbers(_PREFIX + operation, 2 * _LENGTH)

    def _row(self, operation: str) -> Doubles:
        return self._numbers(operation).own


class Measured(Protocol):
    """An object whose methods are measured."""

    @property
    def recorder(self) -> Recorder: ...


M = TypeVar("M", bound=Measured)


def measured(
    operation: str,
) -> Callable[
    [Callable[Concatenate[M, P], Awaitable[R]]], Callable[Concatenate[M, P], Awaitable[R]]
]:
    """Record every call of an async method as one sample of `operation`.

    An exception is an error of the operation; a cancelled caller is none.
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

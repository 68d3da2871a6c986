"""Numbers that workers share: counters of adapters, and messages between their writers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Doubles(Protocol):
    """A row of numbers: a list, or shared memory."""

    def __getitem__(self, index: int, /) -> float: ...

    def __setitem__(self, index: int, value: float, /) -> None: ...


class SharedNumbers(Protocol):
    """Numbers of this process, beside those of the other workers of its host."""

    @property
    def own(self) -> Doubles:
        """The numbers of this process, which only it writes."""

    def others(self) -> Iterator[tuple[int, Doubles]]:
        """Each other worker that has them, with its own."""


class Counters(SharedNumbers, Protocol):
    """Numbers that add up."""

    def totals(self) -> list[float]:
        """The sums over all workers."""


class LocalCounters:
    """Counters that no other process has a part in."""

    def __init__(self, size: int) -> None:
        self.own: list[float] = [0.0] * size

    def others(self) -> Iterator[tuple[int, Doubles]]:
        return iter(())

    def totals(self) -> list[float]:
        return self.own


COMMITS, BATCHES, COMMIT_SECONDS = range(3)
"""Counters of writers: commits of groups, the batches in them, and the time that they took."""


def commit_statistics(counters: Counters) -> dict[str, float]:
    """The counters of a writer, for `Adapter.statistics`."""
    commits, batches, seconds = counters.totals()
    return {"commits": int(commits), "batches": int(batches), "commit_seconds": seconds}

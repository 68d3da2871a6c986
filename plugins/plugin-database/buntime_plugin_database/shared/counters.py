"""What an adapter counts. With several workers the counts are of all of them."""

from __future__ import annotations

from typing import Protocol


class Doubles(Protocol):
    """A row of numbers: a list, or shared memory."""

    def __getitem__(self, index: int, /) -> float: ...

    def __setitem__(self, index: int, value: float, /) -> None: ...


class Counters(Protocol):
    """Numbers that this process adds to, with the sums over all workers of its host."""

    @property
    def own(self) -> Doubles:
        """Those of this process."""
        ...

    def totals(self) -> list[float]:
        """The sums."""
        ...


class LocalCounters:
    """Counters that no other process has a part in."""

    def __init__(self, size: int) -> None:
        self.own = [0.0] * size

    def totals(self) -> list[float]:
        return self.own


COMMITS, BATCHES, COMMIT_SECONDS = range(3)
"""What writers count: commits of groups, the batches in them, and the time that they took."""


def commit_statistics(counters: Counters) -> dict[str, float]:
    """The counters of a writer, for `Adapter.statistics`."""
    commits, batches, seconds = counters.totals()
    return {"commits": int(commits), "batches": int(batches), "commit_seconds": seconds}

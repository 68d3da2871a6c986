"""Token buckets: what is left for each client.

A bucket is one number, the moment at which it will be full again. From that follows how much is in
it now: it fills evenly, so what is missing is the time until then, times the rate.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple, Protocol

SWEPT = 2_000
"""Buckets that are looked at in one second for whether they are full again."""


class TokenTaken(NamedTuple):
    """What came of asking for a token."""

    allowed: bool
    full_at: float
    """When the bucket is full again, in seconds of the monotonic clock."""


class BucketState(NamedTuple):
    """A bucket as it is kept."""

    key: str
    full_at: float
    asked_at: float
    """When its client last asked."""
    pause: float
    """Seconds in which one token comes back."""
    capacity: int


class Buckets(Protocol):
    """The buckets of all clients. Times are seconds of a clock that all processes share."""

    def take(self, key: str, capacity: int, pause: float, now: float) -> TokenTaken:
        """Take a token of a bucket that holds `capacity`, one of which comes back each `pause`."""
        ...

    async def recent(self, limit: int) -> list[BucketState]:
        """So many of them, who asked last first."""
        ...

    def forget(self, key: str) -> bool:
        """Fill one; whether it was known."""
        ...

    def clear(self) -> int:
        """Fill all; how many were known."""
        ...

    def sweep(self, now: float) -> int:
        """Forget some of those that are full again; how many are left. For once in a second."""
        ...


def taken(full_at: float, capacity: int, pause: float, now: float) -> TokenTaken:
    """Take a token of a bucket that would be full at `full_at`."""
    begins = full_at if full_at > now else now
    then = begins + pause
    # As binary fractions a window is seldom the sum of its pauses, and is short by less than this.
    if then - now > capacity * pause + pause * 1e-6:
        return TokenTaken(False, full_at)
    return TokenTaken(True, then)


class OwnBuckets:
    """Buckets of a process alone."""

    def __init__(self, most: int) -> None:
        """Remember at most so many."""
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float, float, int]] = OrderedDict()
        """Full at, asked at, pause and capacity; whoever asked last is last."""

    def take(self, key: str, capacity: int, pause: float, now: float) -> TokenTaken:
        """See `Buckets`."""
        buckets = self._buckets
        known = buckets.get(key)
        if known is None:
            if len(buckets) >= self._most:
                buckets.popitem(last=False)
            result = taken(now, capacity, pause, now)
        else:
            result = taken(known[0], capacity, pause, now)
            buckets.move_to_end(key)
        buckets[key] = (result.full_at, now, pause, capacity)
        return result

    async def recent(self, limit: int) -> list[BucketState]:
        """See `Buckets`."""
        newest = islice(reversed(self._buckets.items()), limit)
        return [BucketState(key, *state) for key, state in newest]

    def forget(self, key: str) -> bool:
        """See `Buckets`."""
        return self._buckets.pop(key, None) is not None

    def clear(self) -> int:
        """See `Buckets`."""
        count = len(self._buckets)
        self._buckets.clear()
        return count

    def sweep(self, now: float) -> int:
        """See `Buckets`."""
        buckets = self._buckets
        # Who has asked for nothing longest is first.
        for _ in range(min(SWEPT, len(buckets))):
            key, state = next(iter(buckets.items()))
            if state[0] > now:
                break
            del buckets[key]
        return len(buckets)

"""Token buckets: what is left for each client.

A bucket is one number, the moment at which it will be full again. From that follows how much is in
it now: it fills evenly, so what is missing is the time until then, times the rate.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

SWEPT = 2_000
"""Buckets that are looked at in one second for whether they are full again."""


class Rate(msgspec.Struct, frozen=True, gc=False):
    """How much a bucket holds, and how fast it fills."""

    capacity: int
    pause: float
    """Seconds in which one token comes back."""
    span: float
    """Seconds in which all of them do."""


def rate_of(capacity: int, window: float) -> Rate:
    """A bucket that is filled in a window of so many seconds."""
    pause = window / capacity
    # As binary fractions a window is seldom the sum of its pauses, and is short by less than this.
    return Rate(capacity, pause, window + pause * 1e-6)


class BucketState(NamedTuple):
    """A bucket as it is kept. Times are seconds of the monotonic clock."""

    key: str
    full_at: float
    asked_at: float
    """When its client last asked."""
    pause: float
    capacity: int


class Buckets(Protocol):
    """The buckets of all clients. Times are seconds of a clock that all processes share."""

    def take(self, key: str, rate: Rate, now: float) -> tuple[bool, float]:
        """Take a token; whether there was one, and when the bucket is full again."""
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


class _Bucket(msgspec.Struct, gc=False):
    full_at: float
    asked_at: float
    rate: Rate


class OwnBuckets:
    """Buckets of a process alone."""

    def __init__(self, most: int) -> None:
        """Remember at most so many."""
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        """Whoever asked last is last."""
        self._last: _Bucket | None = None
        """That one, if it is there still: requests of a client mostly come in a row."""

    def take(self, key: str, rate: Rate, now: float) -> tuple[bool, float]:
        """See `Buckets`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._add(key, rate, now)
        elif bucket is not self._last:
            self._buckets.move_to_end(key)
            self._last = bucket
        bucket.asked_at = now
        full_at = bucket.full_at
        if full_at < now:
            full_at = now
        then = full_at + rate.pause
        allowed = then - now <= rate.span
        if allowed:
            full_at = then
        bucket.full_at = full_at
        return allowed, full_at

    def _add(self, key: str, rate: Rate, now: float) -> _Bucket:
        if len(self._buckets) >= self._most:
            self._buckets.popitem(last=False)
        self._last = self._buckets[key] = bucket = _Bucket(now, now, rate)
        return bucket

    async def recent(self, limit: int) -> list[BucketState]:
        """See `Buckets`."""
        newest = islice(reversed(self._buckets.items()), limit)
        return [
            BucketState(key, it.full_at, it.asked_at, it.rate.pause, it.rate.capacity)
            for key, it in newest
        ]

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
            key, bucket = next(iter(buckets.items()))
            if bucket.full_at > now:
                break
            del buckets[key]
        return len(buckets)

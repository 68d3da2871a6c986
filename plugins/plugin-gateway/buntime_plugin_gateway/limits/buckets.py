"""Token buckets: the requests that each client has left.

A bucket is one number: the moment at which it will be full again. As it fills evenly, the tokens
that are missing now are the time until then, times the rate.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

SWEPT = 2_000
"""The most buckets that are checked per second for being full again."""


class Rate(msgspec.Struct, frozen=True, gc=False):
    """The capacity of a bucket, and how fast it fills."""

    capacity: int
    pause: float
    """Seconds in which one token comes back."""
    span: float
    """Seconds in which all of them do."""


def rate_of(capacity: int, window: float) -> Rate:
    """The rate of a bucket that is filled within `window` seconds."""
    pause = window / capacity
    # Due to rounding, a window may be shorter than the sum of its pauses, by less than this.
    return Rate(capacity, pause, window + pause * 1e-6)


class BucketState(NamedTuple):
    """The state of a bucket. Times are seconds of the monotonic clock."""

    key: str
    full_at: float
    asked_at: float
    """The time of its client's last request."""
    pause: float
    capacity: int


class Buckets(Protocol):
    """The buckets of all clients. Times are seconds of a clock that processes share."""

    def take(self, key: str, rate: Rate, now: float) -> tuple[bool, float]:
        """Take a token; whether there was one, and when the bucket is full again."""

    async def recent(self, limit: int) -> list[BucketState]:
        """At most `limit` buckets, the most recently used first."""

    def forget(self, key: str) -> bool:
        """Fill one bucket; whether it was known."""

    def clear(self) -> int:
        """Fill all buckets; how many were known."""

    def sweep(self, now: float) -> int:
        """Forget some buckets that are full again; how many are left. Call it once a second."""


class _Bucket(msgspec.Struct, gc=False):
    full_at: float
    asked_at: float
    rate: Rate


class OwnBuckets:
    """Buckets of a single process."""

    def __init__(self, most: int) -> None:
        """At most `most` buckets are remembered."""
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        """Buckets by key, the most recently used last."""
        self._last: _Bucket | None = None
        """The last one, if it is still there: requests of a client often come in a row."""

    def take(self, key: str, rate: Rate, now: float) -> tuple[bool, float]:
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
        newest = islice(reversed(self._buckets.items()), limit)
        return [
            BucketState(key, it.full_at, it.asked_at, it.rate.pause, it.rate.capacity)
            for key, it in newest
        ]

    def forget(self, key: str) -> bool:
        return self._buckets.pop(key, None) is not None

    def clear(self) -> int:
        count = len(self._buckets)
        self._buckets.clear()
        return count

    def sweep(self, now: float) -> int:
        buckets = self._buckets
        # The least recently used is first.
        for _ in range(min(SWEPT, len(buckets))):
            key, bucket = next(iter(buckets.items()))
            if bucket.full_at > now:
                break
            del buckets[key]
        return len(buckets)

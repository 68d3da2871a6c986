"""Buckets of all workers of a host, in shared memory.

The memory is a table of sets. The hash of a key determines its one set, in which it may have any
place. A new key takes a place that is free, or whose bucket is full again, or that was used longest
ago. So nothing is moved, and a look-up touches one set.
"""

from __future__ import annotations

import asyncio
import struct
from hashlib import blake2b
from heapq import nlargest

from buntime_host import Workers
from buntime_host.workers import SharedMemory

from buntime_plugin_gateway.limits.buckets import SWEPT, BucketState, Rate

NAME = "gateway.buckets"
PLACES = 8
"""The places of a set."""
KEY_BYTES = 96
"""Longer keys are cut, and end with a digest."""
_STATE = struct.Struct(f"<dddII{KEY_BYTES}s")
"""Full at, last used at (0 for a free place), pause, capacity, length of the key, the key."""
_SET_BYTES = _STATE.size * PLACES
_COUNT = struct.Struct("<Q")
"""After the table: the number of places taken."""
_DIGEST_BYTES = 8


class SharedBuckets:
    """See `Buckets`. A token taken by one worker is taken for all."""

    def __init__(self, workers: Workers, most: int) -> None:
        """About `most` buckets are remembered. Raises `MemoryError` without memory for them."""
        self._sets = -(-most // PLACES)
        self._memory: SharedMemory = workers.memory(NAME, self._sets * _SET_BYTES + _COUNT.size)
        self._end = self._sets * _SET_BYTES
        self._swept = 0
        self._known: dict[str, tuple[bytes, int]] = {}
        """The bytes of a key, and the offset of its set."""

    def take(self, key: str, rate: Rate, now: float) -> tuple[bool, float]:
        name, start = self._place(key)
        capacity, pause, span = rate.capacity, rate.pause, rate.span
        with self._memory.locked() as data:
            place, full_at, is_new = self._find(data, name, start, now)
            if is_new:
                self._count(data, 1)
            then = max(full_at, now) + pause
            allowed = then - now <= span
            if allowed:
                full_at = then
            _STATE.pack_into(data, place, full_at, now, pause, capacity, len(name), name)
        return allowed, full_at

    async def recent(self, limit: int) -> list[BucketState]:
        return await asyncio.to_thread(self._recent, limit)

    def _recent(self, limit: int) -> list[BucketState]:
        # Without the lock, which would make others wait: parts may be of slightly later moments.
        copy = bytes(self._memory.seen()[: self._end])
        newest = nlargest(limit, _STATE.iter_unpack(copy), key=lambda state: state[1])
        return [
            BucketState(name[:length].decode(errors="replace"), full_at, asked_at, pause, capacity)
            for full_at, asked_at, pause, capacity, length, name in newest
            if asked_at
        ]

    def forget(self, key: str) -> bool:
        name, start = self._place(key)
        with self._memory.locked() as data:
            for place in range(start, start + _SET_BYTES, _STATE.size):
                _, asked_at, _, _, length, known = _STATE.unpack_from(data, place)
                if asked_at and known[:length] == name:
                    self._free(data, place)
                    return True
        return False

    def clear(self) -> int:
        with self._memory.locked() as data:
            count = self._count(data, 0)
            data[:] = bytes(len(data))
        return count

    def sweep(self, now: float) -> int:
        with self._memory.locked() as data:
            begin = self._swept
            end = min(begin + SWEPT * _STATE.size, self._end)
            for place in range(begin, end, _STATE.size):
                full_at, asked_at, *_ = _STATE.unpack_from(data, place)
                if asked_at and full_at <= now:
                    self._free(data, place)
            self._swept = end if end < self._end else 0
            return self._count(data, 0)

    def _free(self, data: memoryview, place: int) -> None:
        data[place : place + _STATE.size] = bytes(_STATE.size)
        self._count(data, -1)

    def _count(self, data: memoryview, more: int) -> int:
        (count,) = _COUNT.unpack_from(data, self._end)
        if more:
            _COUNT.pack_into(data, self._end, count + more)
        return int(count) + more

    def _place(self, key: str) -> tuple[bytes, int]:
        known = self._known.get(key)
        if known is None:
            name = key.encode()
            digest = blake2b(name, digest_size=_DIGEST_BYTES)
            if len(name) > KEY_BYTES:
                # Its first characters, for people, and a digest for the rest.
                cut = KEY_BYTES - 2 * _DIGEST_BYTES - 1
                name = name[:cut].decode(errors="ignore").encode() + b"~"
                name += digest.hexdigest().encode()
            number = int.from_bytes(digest.digest()) % self._sets
            if len(self._known) >= self._sets * PLACES:
                self._known.clear()
            known = self._known[key] = (name, number * _SET_BYTES)
        return known

    def _find(
        self, data: memoryview, name: bytes, start: int, now: float
    ) -> tuple[int, float, bool]:
        """The place of a key in its set, when its bucket is full, and whether the key is new."""
        best, worth, is_new = start, float("inf"), False
        for place in range(start, start + _SET_BYTES, _STATE.size):
            full_at, asked_at, _, _, length, known = _STATE.unpack_from(data, place)
            if asked_at and length == len(name) and known[:length] == name:
                return place, full_at, False
            # Free places come first, then full buckets, then others.
            value = 0.0 if not asked_at else asked_at * 1e-9 if full_at <= now else asked_at
            if value < worth:
                best, worth, is_new = place, value, not asked_at
        return best, now, is_new

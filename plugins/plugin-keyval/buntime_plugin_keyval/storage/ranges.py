"""Ranges of encoded keys: always from a first key, inclusive, to an end, exclusive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_FIRST_SUFFIX = b"\x00"
"""Appended to a key it gives the very next byte string."""

_BEYOND = b"\xff"
"""Sorts after every tag, so after every key that starts with what it is appended to."""


class KeyRange(NamedTuple):
    """Keys `k` with `start <= k < end`; empty where start is not below end."""

    start: bytes
    end: bytes

    def from_key(self, key: bytes) -> KeyRange:
        """The part from `key` on, inclusive."""
        return KeyRange(max(self.start, key), self.end)

    def after(self, key: bytes) -> KeyRange:
        """The part behind `key`."""
        return KeyRange(max(self.start, key + _FIRST_SUFFIX), self.end)

    def before(self, key: bytes) -> KeyRange:
        """The part up to `key`, exclusive."""
        return KeyRange(self.start, min(self.end, key))


def descendants(prefix: bytes) -> KeyRange:
    """All keys that extend `prefix`, without the prefix itself; all keys for an empty one."""
    return KeyRange(prefix + _FIRST_SUFFIX, prefix + _BEYOND)


def listing_range(prefix: bytes, start: bytes | None = None, end: bytes | None = None) -> KeyRange:
    """Descendants of a prefix, from `start` inclusive to `end` exclusive."""
    keys = descendants(prefix)
    if start is not None:
        keys = keys.from_key(start)
    if end is not None:
        keys = keys.before(end)
    return keys


def subtree(key: bytes) -> KeyRange:
    """The key itself and all that extend it."""
    return KeyRange(key, key + _BEYOND)


def single(key: bytes) -> KeyRange:
    """Just this key."""
    return KeyRange(key, key + _FIRST_SUFFIX)


class DisjointRanges:
    """Ranges that have no key in common; a key is looked up among them without trying them all."""

    def __init__(self, ranges: Iterable[KeyRange]) -> None:
        self._ranges = sorted(ranges)
        self._starts = [keys.start for keys in self._ranges]

    def __iter__(self) -> Iterator[KeyRange]:
        return iter(self._ranges)

    def __contains__(self, key: bytes) -> bool:
        index = bisect_right(self._starts, key) - 1
        return index >= 0 and key < self._ranges[index].end

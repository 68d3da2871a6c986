"""Ranges of encoded keys, from a first key, inclusive, to an end, exclusive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from buntime_keyval.wire import InvalidInput

_FIRST_SUFFIX = b"\x00"
"""Appended to a key, it gives the next byte string."""

_BEYOND = b"\xff"
"""Sorts after every tag: appended to a key, it gives a string after all keys that start with it."""


def hexadecimal(keys: Iterable[bytes]) -> str:
    """Keys as one argument of a statement: a JSON array of hexadecimal texts."""
    return msgspec.json.encode([key.hex() for key in keys]).decode()


class KeyRange(NamedTuple):
    """Keys `k` with `start <= k < end`; empty where start is not below end."""

    start: bytes
    end: bytes

    def from_key(self, key: bytes) -> KeyRange:
        """The part from `key` on, inclusive."""
        return KeyRange(max(self.start, key), self.end)

    def after(self, key: bytes) -> KeyRange:
        """The part after `key`."""
        return KeyRange(max(self.start, key + _FIRST_SUFFIX), self.end)

    def before(self, key: bytes) -> KeyRange:
        """The part up to `key`, exclusive."""
        return KeyRange(self.start, min(self.end, key))


def descendants(prefix: bytes) -> KeyRange:
    """All keys below `prefix`, without the prefix itself; all keys for an empty one."""
    return KeyRange(prefix + _FIRST_SUFFIX, prefix + _BEYOND)


def listing_range(prefix: bytes, start: bytes | None = None, end: bytes | None = None) -> KeyRange:
    """Descendants of a prefix, from `start` inclusive to `end` exclusive."""
    keys = descendants(prefix)
    if start is not None:
        keys = keys.from_key(start)
    if end is not None:
        keys = keys.before(end)
    return keys


def beginning(prefix: bytes) -> KeyRange:
    """All keys whose text in place of the last part of `prefix` begins with it, and keys below.

    `prefix` is encoded as a key, so it ends with the end of a text.
    """
    start = prefix[:-1]
    rest = start.rstrip(b"\xff")  # from a NUL within the text; that byte occurs nowhere else
    return KeyRange(start, rest[:-1] + bytes([rest[-1] + 1]))


def joined(ranges: Iterable[KeyRange]) -> list[KeyRange]:
    """Ranges in order, merged so that none overlap, without empty ones."""
    found: list[KeyRange] = []
    for keys in sorted(ranges):
        if keys.start >= keys.end:
            continue
        if found and keys.start < found[-1].end:
            found[-1] = KeyRange(found[-1].start, max(found[-1].end, keys.end))
        else:
            found.append(keys)
    return found


def subtree(key: bytes) -> KeyRange:
    """The key itself and all keys below it."""
    return KeyRange(key, key + _BEYOND)


def single(key: bytes) -> KeyRange:
    return KeyRange(key, key + _FIRST_SUFFIX)


def pattern_range(pieces: Sequence[bytes]) -> KeyRange:
    """The range of all keys that may fit a pattern, given in pieces between its `ANY`s."""
    return single(pieces[0]) if len(pieces) == 1 else descendants(pieces[0])


class Selectors(NamedTuple):
    """A selection of keys, as requests and callers give it; all parts are encoded.

    The keys below `prefix`, or below one of `prefixes`, or that begin with `starts_with`, whose
    last part is a text, or that may fit `pattern`, given in pieces between its `ANY`s; and of these
    those from `start`, inclusive, to `end`, exclusive.
    """

    prefix: bytes = b""
    prefixes: Sequence[bytes] | None = None
    starts_with: bytes | None = None
    start: bytes | None = None
    end: bytes | None = None
    pattern: tuple[bytes, ...] | None = None

    def below(self) -> list[KeyRange]:
        """The ranges below the prefixes, in order: at least one, which may be empty.

        Raises `InvalidInput` if several kinds of selectors are given.
        """
        return self._ranges(descendants)

    def at_and_below(self) -> list[KeyRange]:
        """The ranges including the prefixes themselves."""
        return self._ranges(subtree)

    def _ranges(self, of: Callable[[bytes], KeyRange]) -> list[KeyRange]:
        others = (self.prefixes, self.starts_with, self.pattern)
        if bool(self.prefix) + sum(it is not None for it in others) > 1:
            raise InvalidInput("Say one of prefix, prefixes, startsWith and pattern")
        if self.pattern is not None:
            ranges = [pattern_range(self.pattern)]
        elif self.starts_with is not None:
            ranges = [beginning(self.starts_with)]
        else:
            ranges = [of(it) for it in ([self.prefix] if self.prefixes is None else self.prefixes)]
        ranges = [self._between(keys) for keys in ranges]
        return joined(ranges) or ranges[:1]  # permissions are checked even for an empty range

    def _between(self, keys: KeyRange) -> KeyRange:
        if self.start is not None:
            keys = keys.from_key(self.start)
        return keys if self.end is None else keys.before(self.end)


class DisjointRanges:
    """Ranges without common keys, among which a key is found without trying all of them."""

    def __init__(self, ranges: Iterable[KeyRange]) -> None:
        self._ranges = sorted(ranges)
        self._starts = [keys.start for keys in self._ranges]

    def __iter__(self) -> Iterator[KeyRange]:
        return iter(self._ranges)

    def __contains__(self, key: bytes) -> bool:
        index = bisect_right(self._starts, key) - 1
        return index >= 0 and key < self._ranges[index].end

"""The part of a plugin's resources that a scope covers: spans of bytes, sorted and disjoint.

A resource is bytes that sort as the plugin's names do, and a prefix covers resources that begin
with it and do not go on with FF. No text in UTF-8 has that byte, and an encoding may use it for a
name that only seems to have the prefix, as KeyVal's does. So a prefix is one span, and so is the
range of a list.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

AFTER = b"\xff"
"""The byte behind a prefix that ends its span."""


class Spans:
    """Some of the resources of one action."""

    __slots__ = ("_ends", "_starts", "everything")

    def __init__(self, prefixes: Iterable[bytes]) -> None:
        """`prefixes` may repeat and cover each other; an empty one covers everything."""
        kept: list[bytes] = []
        for prefix in sorted(set(prefixes)):
            # A prefix sorts directly before all that it covers.
            if not kept or not covers(kept[-1], prefix):
                kept.append(prefix)
        self.everything = kept[:1] == [b""]
        self._starts = kept
        self._ends = [prefix + AFTER for prefix in kept]

    @property
    def prefixes(self) -> tuple[bytes, ...]:
        """The fewest prefixes that cover the same, in order."""
        return tuple(self._starts)

    def has(self, resource: bytes) -> bool:
        """Whether a resource, and so all below it, is covered."""
        if self.everything:
            return True
        place = bisect_right(self._starts, resource) - 1
        return place >= 0 and resource < self._ends[place]

    def has_range(self, start: bytes, end: bytes) -> bool:
        """Whether all from `start` on, and before `end`, is covered."""
        if self.everything:
            return True
        place = bisect_right(self._starts, start) - 1
        return place >= 0 and start < self._ends[place] and end <= self._ends[place]

    def has_all(self, others: Spans) -> bool:
        """Whether everything that `others` covers is covered here."""
        return all(self.has(prefix) for prefix in others.prefixes)


EVERYTHING = Spans([b""])


def covers(prefix: bytes, resource: bytes) -> bool:
    """Whether a resource is the prefix, or below it."""
    size = len(prefix)
    return resource.startswith(prefix) and (not size or resource[size : size + 1] != AFTER)

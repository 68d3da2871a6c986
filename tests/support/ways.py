"""The ways that calls take through the product, recorded while it runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, CoroutineType, FrameType
from typing import NamedTuple

PRODUCT = ("host", "plugins", "packages")
ROOT = Path(__file__).parents[2]


class Hop(NamedTuple):
    """A function of the product: its module below its import package's folder, and its name."""

    module: str
    function: str
    """Without what is inside of it: a function that is made by another one counts as that one."""


Way = tuple[Hop, ...]
"""From the first function that was called to the last."""


class Ways:
    """Every way that was gone while it recorded."""

    def __init__(self) -> None:
        self.found: set[Way] = set()
        self._begun: dict[CodeType, Way] = {}
        """The way to the beginning of a task, by what the task runs."""
        self._given: dict[CodeType, Hop] = {}
        """Functions that are not there any more when what they returned is awaited."""
        self._hops: dict[CodeType, Hop | None] = {}

    def has(self, hops: Way) -> bool:
        """Whether a way ended with these."""
        # A copy at once: other threads are recorded meanwhile.
        return any(way[-len(hops) :] == hops for way in tuple(self.found))

    def to(self, function: str) -> list[Way]:
        """The ways to a function, the shortest first."""
        return sorted((way for way in tuple(self.found) if way[-1].function == function), key=len)

    def profile(self, frame: FrameType, event: str, returned: object) -> None:
        """See `sys.setprofile`."""
        hop = self._hop(frame.f_code)
        if event == "return" and hop and isinstance(returned, CoroutineType):
            self._given[returned.cr_code] = hop
        elif event == "call" and hop:
            self.found.add(self._way(frame))
        elif event == "call" and frame.f_code.co_name == "create_task":
            coroutine = frame.f_locals.get("coro")
            if isinstance(coroutine, CoroutineType):
                self._begun[coroutine.cr_code] = self._way(frame)

    def _way(self, frame: FrameType | None) -> Way:
        hops: list[Hop] = []
        first = None
        while frame is not None:
            hop = self._hop(frame.f_code)
            if hop is not None:
                first = frame.f_code
                hops.append(hop)
                given = self._given.get(first)
                if given is not None:
                    hops.append(given)
            frame = frame.f_back
        begun = self._begun.get(first, ()) if first is not None else ()
        return tuple(_without_doubles((*begun, *reversed(hops))))

    def _hop(self, code: CodeType) -> Hop | None:
        if code not in self._hops:
            self._hops[code] = _hop_of(code)
        return self._hops[code]


@contextmanager
def recorded() -> Iterator[Ways]:
    """Record in this thread, and in those that begin meanwhile."""
    ways = Ways()
    threading.setprofile(ways.profile)
    sys.setprofile(ways.profile)
    try:
        yield ways
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _hop_of(code: CodeType) -> Hop | None:
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in PRODUCT:
        return None
    parts = path.relative_to(ROOT).parts
    first = next(i for i, part in enumerate(parts) if part.startswith("buntime_"))
    return Hop("/".join(parts[first:]), code.co_qualname.partition(".<locals>")[0])


def _without_doubles(hops: Iterable[Hop]) -> Iterator[Hop]:
    """A function and what is inside of it are one hop."""
    before = None
    for hop in hops:
        if hop != before:
            yield hop
        before = hop

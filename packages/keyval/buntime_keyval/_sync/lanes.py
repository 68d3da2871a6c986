"""Gathering what comes while others are under way; `_async` has the same on an event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Waiting(Generic[T]):
    """One thread that waits for another one."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.leads = False
        """Whether it is its turn to deliver."""
        self.called = threading.Event()


class _Lane(Generic[T]):
    """One thread delivers at a time; who comes meanwhile goes with the next."""

    def __init__(self) -> None:
        self.busy = False
        self.waiting: list[_Waiting[T]] = []


class Lanes(Generic[T]):
    """Hands over together what comes while something is under way, for each lane on its own."""

    def __init__(self, deliver: Callable[[list[T]], None]) -> None:
        """`deliver` takes care of what it gets, and raises nothing."""
        self._deliver = deliver
        self._begin_here()

    def go(self, lane: Hashable, item: T) -> None:
        """Wait until the item was delivered, with all others that go with it."""
        if self._pid != os.getpid():
            self._begin_here()  # the threads of the parent are not here
        mine = _Waiting(item)
        with self._lock:
            here = self._lanes.setdefault(lane, _Lane())
            if here.busy:
                here.waiting.append(mine)
            else:
                here.busy = mine.leads = True
        going = [mine]
        try:
            if not mine.leads:
                mine.called.wait()
            if mine.leads:
                with self._lock:
                    going, here.waiting = [mine, *here.waiting], []
                self._deliver([one.item for one in going])
        finally:
            for other in going[1:]:
                other.called.set()
            with self._lock:
                if mine in here.waiting:  # it was interrupted
                    here.waiting.remove(mine)
                elif mine.leads:
                    self._call_next(here)

    def close(self) -> None:
        """Nothing goes on in the background."""

    def _call_next(self, here: _Lane[T]) -> None:
        here.busy = bool(here.waiting)
        if here.waiting:
            following = here.waiting.pop(0)
            following.leads = True
            following.called.set()

    def _begin_here(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, _Lane[T]] = {}
        self._pid = os.getpid()

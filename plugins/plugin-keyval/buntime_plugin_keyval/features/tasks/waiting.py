"""The calls of this process that wait for tasks to run, or for the end of tasks.

One loop looks for all of them: when something was written here, when another process rings, when
the next task becomes ready, and from time to time for those who cannot ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import msgspec
from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.requests.answers import Gone
from buntime_plugin_keyval.storage.tasks import read_several

MOST_DOUBLINGS = 5
"""How often the pause grows behind which a name is looked at again that gave nothing: its limits
hold it back, or other hosts are faster."""

Names = frozenset[str] | None
"""Of tasks; None for any."""


class Caller:
    """One call that waits."""

    __slots__ = ("arrival", "is_called", "names")

    def __init__(self, names: Names) -> None:
        self.names = names
        self.arrival = Arrival()
        self.is_called = False
        """Whether it was told of something that it did not look for in vain since."""

    def call(self) -> None:
        """Something is ready for it."""
        self.is_called = True
        self.arrival.tell()

    async def wait(self, seconds: float) -> bool:
        """Whether it is called within so long."""
        self.is_called = await self.arrival.wait(seconds)
        return self.is_called


class WaitingRoom:
    """Those who wait in one process."""

    def __init__(self, store: Store, *, foreign_poll_ms: int) -> None:
        self._store = store
        self._poll_s = foreign_poll_ms / 1000
        self._callers: dict[Caller, None] = {}
        self._looked_for: Names = frozenset()
        """What the last step had callers for."""
        self._ends: dict[str, list[Arrival]] = {}
        self._in_vain: dict[str, tuple[int, float]] = {}
        """Names that were ready and gave nothing: how often, and until when not to try again."""
        self._has_ended = False
        self._version: int | None = None
        """Of the data, when it was looked at last."""
        self._due_ms = 0.0
        """When there may be something to do though nobody commits, in the store's time."""
        self.loop = Loop(
            self._step,
            "tasks",
            logger=store.logger,
            complaint="Tasks are not looked for: %s",
            is_still=self._is_still,
        )

    def has_ended(self) -> bool:
        """Whether the process ends, and nobody may wait any more."""
        return self._has_ended

    @property
    def number(self) -> int:
        """How many calls wait for work."""
        return len(self._callers)

    def enter(self, names: Names) -> Caller:
        """A call that waits for work, and is called for what becomes ready from now on."""
        caller = Caller(names)
        self._callers[caller] = None
        self.loop.start()
        looked_for = self._looked_for
        # Thousands come and go again while nothing happens, and what they wait for is looked for.
        if looked_for is not None and (names is None or not names <= looked_for):
            self.loop.wake()
        return caller

    def leave(self, caller: Caller) -> None:
        """It does not wait any more; what it was called for is for others."""
        self._callers.pop(caller, None)
        if caller.is_called:
            self.wake()

    def watch(self, ids: Sequence[str]) -> Arrival:
        """What is told when something becomes of one of these tasks."""
        arrival = Arrival()
        for task_id in ids:
            self._ends.setdefault(task_id, []).append(arrival)
        self._begin()
        return arrival

    def forget(self, ids: Sequence[str], arrival: Arrival) -> None:
        """Nobody waits for that any more."""
        for task_id in ids:
            arrivals = self._ends[task_id]
            arrivals.remove(arrival)
            if not arrivals:
                del self._ends[task_id]

    def tell(self, task_id: str) -> None:
        """Something became of a task."""
        _tell(self._ends.get(task_id, ()))

    def gave_nothing(self, name: str) -> None:
        """A task of this name was ready, and could not be had."""
        times = self._in_vain.get(name, (0, 0.0))[0]
        pause = max(self._poll_s, 0.001) * 2 ** min(times, MOST_DOUBLINGS)
        self._in_vain[name] = (times + 1, monotonic() + pause)

    def wake(self) -> None:
        """There may be work, or a task is over."""
        self._version = None
        if self._callers or self._ends:
            self._in_vain.clear()
            self.loop.wake()

    def end(self) -> None:
        """Let all who wait know that this process ends. Idempotent."""
        self._has_ended = True
        for caller in self._callers:
            caller.call()
        for arrivals in self._ends.values():
            for arrival in arrivals:
                arrival.tell()

    async def ready(self, names: Names) -> Mapping[str, int]:
        """When the next task of each name can be leased; the first one comes first."""
        sql, adapter = self._store.sql.tasks, self._store.adapter
        if names is None:
            rows = await adapter.query(sql.next_of_any, fresh=True)
        else:
            given = msgspec.json.encode(sorted(names)).decode()
            rows = await adapter.query(sql.next_of, (given,), point=len(names) == 1, fresh=True)
        return {str(name): int(at or 0) for name, at in rows}

    def _begin(self) -> None:
        self.loop.start()
        self.loop.wake()

    async def _step(self) -> float | None:
        """Call whom there is something for; seconds until that may be so again."""
        if self._has_ended or not (self._callers or self._ends):
            self._looked_for = frozenset()
            return None
        self._version = self._store.data_version()
        await self._tell_ends()
        soon = await self._call()
        self._due_ms = self._store.clock.now() + soon * 1000
        return max(0.001, min(self._poll_s, soon))

    def has_nothing(self, names: Names) -> bool:
        """Whether a call that has just entered would look in vain, as the last step did.

        Idle runners ask again and again: each look of theirs would be a query.
        """
        looked_for = self._looked_for
        if looked_for is not None and (names is None or not names <= looked_for):
            return False
        return not (self._in_vain or self.may_have_missed())

    def may_have_missed(self) -> bool:
        """Whether there may be something that nobody was called for yet."""
        try:
            return not self._is_still()
        except DatabaseError:  # as a look will find
            return True

    def _is_still(self) -> bool:
        """Whether nobody has committed since the last step, and nothing becomes ready soon."""
        if self._version is None or self._version != self._store.data_version():
            return False
        return self._store.clock.now() + self._poll_s * 1000 < self._due_ms

    async def _tell_ends(self) -> None:
        ids = list(self._ends)
        if not ids:
            return
        found = {it.id: it for it in await read_several(self._store.db, ids, 0)}
        for task_id in ids:
            task = found.get(task_id)
            if task is None or task.is_over:
                self.tell(task_id)

    async def _call(self) -> float:
        """One caller for each name that is ready: whoever is done with it lets the next one look.

        Seconds until the next name is.
        """
        everybody = {caller.names for caller in self._callers}
        wanted: Names = None
        if None not in everybody:
            wanted = frozenset().union(*(names for names in everybody if names is not None))
        self._looked_for = wanted
        if not everybody:
            return float("inf")
        now_ms, now = self._store.clock.now(), monotonic()
        soon = float("inf")
        called: set[Caller] = set()
        for name, at in (await self.ready(wanted)).items():
            _, until = self._in_vain.get(name, (0, 0.0))
            if at > now_ms or until > now:
                soon = min(soon, max((at - now_ms) / 1000, until - now))
                continue
            for caller in self._callers:
                if caller not in called and (caller.names is None or name in caller.names):
                    called.add(caller)
                    caller.call()
                    break
        return min(soon, self._poll_s) if called else soon  # it may come away with nothing


class CallWatch:
    """Tells a call that nobody wants its answer any more."""

    def __init__(self, gone: Gone | None, tell: Callable[[], None]) -> None:
        self._has_gone = False
        self._task = None if gone is None else asyncio.create_task(self._watch(gone, tell))

    async def _watch(self, gone: Gone, tell: Callable[[], None]) -> None:
        await gone()
        self._has_gone = True
        tell()

    def has_gone(self) -> bool:
        """Whether that is so."""
        return self._has_gone

    def stop(self) -> None:
        """It is answered."""
        if self._task is not None:
            self._task.cancel()


def _tell(arrivals: Sequence[Arrival]) -> None:
    for arrival in arrivals:
        arrival.tell()

"""The calls of this process that wait for tasks to run, or for tasks to end.

One loop looks for all of them: after a commit here, when another process signals, when the next
task becomes ready, and from time to time, since some processes cannot signal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import msgspec
from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.rest import Rest
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.requests.answers import Gone
from buntime_plugin_keyval.storage.tasks import read_several

MOST_DOUBLINGS = 5
"""How often the pause doubles after which a name is tried again that had ready tasks and gave none:
its limits hold them back, or other hosts are faster."""

Names = frozenset[str] | None
"""Names of tasks; None for any."""


class Caller:
    """One call that waits."""

    __slots__ = ("arrival", "is_called", "names")

    def __init__(self, names: Names) -> None:
        self.names = names
        self.arrival = Arrival()
        self.is_called = False
        """Whether it was called for a task that it has not taken; another call gets it then."""

    def call(self) -> None:
        """Tell it that a task is ready."""
        self.is_called = True
        self.arrival.tell()

    async def wait(self, seconds: float) -> bool:
        """Wait until it is called; False if it is not within `seconds`."""
        self.is_called = await self.arrival.wait(seconds)
        return self.is_called


class WaitingRoom:
    """All calls that wait in one process."""

    def __init__(self, store: Store, *, foreign_poll_ms: int) -> None:
        self._store = store
        self._poll_s = foreign_poll_ms / 1000
        self._callers: dict[Caller, None] = {}
        self._looked_for: Names = frozenset()
        """The names that the last step looked for."""
        self._ends: dict[str, list[Arrival]] = {}
        self._in_vain: dict[str, tuple[int, float]] = {}
        """Names that had ready tasks and gave none: how often, and until when not to try again."""
        self._has_ended = False
        self._version: int | None = None
        """The version of the data at the last look."""
        self._due_ms = 0.0
        """When there may be something to do without a further commit, in the store's time."""
        self.loop = Loop(
            self._step,
            "tasks",
            logger=store.logger,
            complaint="Tasks are not looked for: %s",
            is_still=self._is_still,
            rest=Rest(store.when_written, self._due_in),
        )

    def has_ended(self) -> bool:
        """Whether the process ends, so that no call may wait any more."""
        return self._has_ended

    @property
    def number(self) -> int:
        """The number of calls that wait for tasks to run."""
        return len(self._callers)

    def enter(self, names: Names) -> Caller:
        """Register a call that waits for tasks; it is called when one becomes ready."""
        caller = Caller(names)
        self._callers[caller] = None
        self.loop.start()
        looked_for = self._looked_for
        # Thousands of idle calls come and go: no step is needed for names already looked for.
        if looked_for is not None and (names is None or not names <= looked_for):
            self.loop.wake()
        return caller

    def leave(self, caller: Caller) -> None:
        """Remove a call; a task that it was called for is offered to others."""
        self._callers.pop(caller, None)
        if caller.is_called:
            self.wake()

    def watch(self, ids: Sequence[str]) -> Arrival:
        """An arrival that is told when one of these tasks changes."""
        arrival = Arrival()
        for task_id in ids:
            self._ends.setdefault(task_id, []).append(arrival)
        self._begin()
        return arrival

    def forget(self, ids: Sequence[str], arrival: Arrival) -> None:
        """Undo `watch`."""
        for task_id in ids:
            arrivals = self._ends[task_id]
            arrivals.remove(arrival)
            if not arrivals:
                del self._ends[task_id]

    def tell(self, task_id: str) -> None:
        """Tell those that watch a task that it has changed."""
        _tell(self._ends.get(task_id, ()))

    def gave_nothing(self, name: str) -> None:
        """Note that a task of this name was ready and could not be leased."""
        times = self._in_vain.get(name, (0, 0.0))[0]
        pause = max(self._poll_s, 0.001) * 2 ** min(times, MOST_DOUBLINGS)
        self._in_vain[name] = (times + 1, monotonic() + pause)

    def wake(self) -> None:
        """Look again, since there may be tasks to run, or a task is over."""
        self._version = None
        if self._callers or self._ends:
            self._in_vain.clear()
            self.loop.wake()

    def end(self) -> None:
        """Tell all waiting calls that this process ends. Idempotent."""
        self._has_ended = True
        for caller in self._callers:
            caller.call()
        for arrivals in self._ends.values():
            for arrival in arrivals:
                arrival.tell()

    async def ready(self, names: Names) -> Mapping[str, int]:
        """When the next task of each name can be leased, the earliest first."""
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
        """Call calls that have tasks or ends to see; seconds until the next step."""
        if self._has_ended or not (self._callers or self._ends):
            self._looked_for = frozenset()
            return None
        self._version = self._store.data_version()
        await self._tell_ends()
        soon = await self._call()
        self._due_ms = self._store.clock.now() + soon * 1000
        return max(0.001, min(self._poll_s, soon))

    def has_nothing(self, names: Names) -> bool:
        """Whether a call that has just entered would find nothing, as the last step did.

        Idle runners ask again and again, and each look would be a query.
        """
        looked_for = self._looked_for
        if looked_for is not None and (names is None or not names <= looked_for):
            return False
        return not (self._in_vain or self.may_have_missed())

    def may_have_missed(self) -> bool:
        """Whether there may be a task that no call was called for yet."""
        try:
            return not self._is_still()
        except DatabaseError:  # the look that follows raises it
            return True

    def _is_still(self) -> bool:
        """Whether there was no commit since the last step, and nothing becomes ready soon."""
        if self._version is None or self._version != self._store.data_version():
            return False
        return self._poll_s < self._due_in()

    def _due_in(self) -> float:
        return (self._due_ms - self._store.clock.now()) / 1000

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
        """Call one waiting call for each name that is ready; seconds until the next name is.

        A call that has taken its tasks lets the next one look.
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
        return min(soon, self._poll_s) if called else soon  # the called one may get nothing


class CallWatch:
    """Tells a waiting call when its client has gone."""

    def __init__(self, gone: Gone | None, tell: Callable[[], None]) -> None:
        self._has_gone = False
        self._task = None if gone is None else asyncio.create_task(self._watch(gone, tell))

    async def _watch(self, gone: Gone, tell: Callable[[], None]) -> None:
        await gone()
        self._has_gone = True
        tell()

    def has_gone(self) -> bool:
        """Whether the client has gone."""
        return self._has_gone

    def stop(self) -> None:
        """Stop watching, since the call is answered."""
        if self._task is not None:
            self._task.cancel()


def _tell(arrivals: Sequence[Arrival]) -> None:
    for arrival in arrivals:
        arrival.tell()

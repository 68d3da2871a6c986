"""Operations of runners: leasing tasks, prolonging the leases, and reporting results."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from buntime_database import DatabaseError, GuardFailed, Value
from buntime_keyval.wire.tasks import pause_behind

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.features.queue.queue import LEASE_EXPIRED
from buntime_plugin_keyval.features.tasks.waiting import Caller, CallWatch, Names
from buntime_plugin_keyval.features.tasks.writer import TaskWriter
from buntime_plugin_keyval.model.errors import KeyValError, TaskLost
from buntime_plugin_keyval.model.messages import LeasedMessage
from buntime_plugin_keyval.requests.answers import Gone
from buntime_plugin_keyval.storage.dialects.tasks import MARK
from buntime_plugin_keyval.storage.effects import Effect
from buntime_plugin_keyval.storage.message_effects import (
    LEASE_BYTES,
    Extend,
    Lease,
    Retry,
    Undeliver,
)
from buntime_plugin_keyval.storage.task_effects import (
    BeginTasks,
    CompletedTask,
    CompleteTasks,
    Finish,
    LeavePlace,
    Progress,
    Stop,
    is_leased,
    message_id,
)
from buntime_plugin_keyval.storage.tasks import TakenTask, read_several, read_task


class Run(NamedTuple):
    """A task that is leased to a runner."""

    name: str
    task: TakenTask
    token: str
    ends_at: int
    """When the lease ends unless it is prolonged, in the store's time."""


class Heard(NamedTuple):
    """The answer to a runner that reports something about its task."""

    cancelled: bool
    ends_at: int | None = None
    """When the lease ends, in the store's time; None if there is no lease any more."""
    lost: bool = False
    """Whether the lease is lost; only set where several tasks are completed."""


class RunnerCall(NamedTuple):
    """A runner's request for tasks."""

    runner: str
    names: Names
    limit: int
    duration_ms: int


class RunnerDesk:
    """The tasks of one store, as runners use them."""

    def __init__(self, writer: TaskWriter) -> None:
        self._writer = writer
        self._store = writer.store
        self._queue = writer.queue
        self._room = writer.room
        self.recorder = writer.store.recorder
        self._giving: set[asyncio.Task[None]] = set()
        writer.queue.end_otherwise(MARK, _expired)

    @measured("task_lease")
    async def lease(
        self, call: RunnerCall, wait_ms: int = 0, gone: Gone | None = None
    ) -> list[Run]:
        """Lease tasks that are ready to a runner; wait at most `wait_ms` for the first ones.

        If the call is cancelled, tasks that were leased for it are given back.
        """
        if not wait_ms:
            return await self._take(call)
        ends = monotonic() + wait_ms / 1000
        # Entered before it looks, so that it is called for tasks that become ready after the look.
        caller = self._room.enter(call.names)
        try:
            found = [] if self._room.has_nothing(call.names) else await self._take(call)
            return found or await self._take_later(call, caller, ends, gone)
        finally:
            self._room.leave(caller)

    async def _take_later(
        self, call: RunnerCall, caller: Caller, ends: float, gone: Gone | None
    ) -> list[Run]:
        """The first tasks that become ready before `ends`."""
        watching = CallWatch(gone, caller.arrival.tell)
        try:
            while not self._room.has_ended() and (left := ends - monotonic()) > 0:
                is_called = await caller.wait(left)
                # With a thousand idle runners, many waits end in every second: a query for each
                # of them would be expensive.
                if watching.has_gone() or not (is_called or self._room.may_have_missed()):
                    break
                found = await self._take(call)
                if not found:
                    continue
                await asyncio.sleep(0)  # a client that has just gone is noticed in the next turn
                if not watching.has_gone():
                    return found
                await self.give_back(found)
        finally:
            watching.stop()
        return []

    async def _take(self, call: RunnerCall) -> list[Run]:
        """Lease tasks that are ready, those first whose names have waited longest.

        They are given back if the call is cancelled.
        """
        runs: list[Run] = []
        now_ms = self._store.clock.now()
        try:
            for name, at in (await self._room.ready(call.names)).items():
                if at > now_ms or len(runs) >= call.limit:
                    break
                taken = await self._take_of(name, call._replace(limit=call.limit - len(runs)))
                if not taken:
                    self._room.gave_nothing(name)
                runs += taken
        except asyncio.CancelledError:
            await self.give_back(runs)
            raise
        return runs

    async def _take_of(self, name: str, call: RunnerCall) -> list[Run]:
        lease = Lease(call.limit, call.duration_ms, MARK + name)
        leasing = self._queue.lease_by(lease, BeginTasks(name, call.runner, call.duration_ms))
        try:
            return await self._taken(name, _messages(await asyncio.shield(leasing)))
        except asyncio.CancelledError:
            await self._leave(_messages(await leasing))
            raise

    async def _taken(self, name: str, messages: Sequence[LeasedMessage]) -> list[Run]:
        """The leased tasks that fit into one answer; the others are given back."""
        if not messages:
            return []
        token, ends_at = messages[0].lease, messages[0].ends_at_ms
        sql = self._store.sql.tasks.taken
        args = (MARK + name, token, ends_at, LEASE_BYTES)
        tasks = [
            TakenTask(*row)  # type: ignore[arg-type] # as the schema says
            for row in await self._store.adapter.query(sql, args, fresh=True)
        ]
        fitting = {message_id(task.id) for task in tasks}
        for message in messages:
            if message.id in fitting:
                self._queue.given(message)
        await self._leave([message for message in messages if message.id not in fitting])
        return [Run(name, task, token, ends_at) for task in tasks]

    async def _leave(self, messages: Sequence[LeasedMessage]) -> None:
        """Give back tasks that were leased and are not passed on to the runner."""
        for message in messages:
            with suppress(TaskLost):
                await self.release(message.id.removeprefix(MARK), message.lease)

    async def still_running(self, runs: Sequence[Run]) -> list[Run]:
        """Those of the tasks that are still leased to their runner."""
        if not runs:
            return []
        ids = [run.task.id for run in runs]
        found = await read_several(self._store.db, ids, self._store.clock.now())
        held = {(task.id, task.lease) for task in found if task.status == "running"}
        return [run for run in runs if (run.task.id, run.token) in held]

    async def until_one_ends(self, runs: Sequence[Run], wait_ms: int) -> None:
        """Wait until one of the tasks ends or is taken away, for at most `wait_ms`."""
        ids = [run.task.id for run in runs]
        arrival = self._room.watch(ids)
        try:
            if len(await self.still_running(runs)) == len(runs) and not self._room.has_ended():
                await arrival.wait(wait_ms / 1000)
        finally:
            self._room.forget(ids, arrival)

    async def give_back(self, runs: Sequence[Run]) -> None:
        """Give back tasks that were not begun."""
        await self._release_all([(run.task.id, run.token) for run in runs])

    def give_back_soon(self, leased: Sequence[tuple[str, str]]) -> None:
        """Give back tasks in the background, by their ids and tokens."""
        giving = asyncio.create_task(self._given_back(leased))
        self._giving.add(giving)
        giving.add_done_callback(self._giving.discard)

    async def _release_all(self, leased: Sequence[tuple[str, str]]) -> None:
        for task_id, token in leased:
            with suppress(TaskLost):
                await self.release(task_id, token)

    async def _given_back(self, leased: Sequence[tuple[str, str]]) -> None:
        try:
            await self._release_all(leased)
        except (DatabaseError, KeyValError) as error:
            # Nothing is lost: they are leased again once their leases run out.
            self._store.logger.warning("Tasks could not be given back: %s", error)

    async def close(self) -> None:
        """Wait until all tasks in `give_back_soon` are given back."""
        while self._giving:
            await asyncio.wait(self._giving)

    @measured("task_release")
    async def release(self, task_id: str, token: str, once: Once | None = None) -> None:
        """Give back a leased task: the attempt does not count. Raises `TaskLost`.

        A cancelled task gives up its place.
        """
        leave, undeliver, _ = await self._writer.commit(
            LeavePlace(task_id, token),
            Undeliver(message_id(task_id), token),
            Stop(task_id, token),
            once=once,
        )
        if not (leave.rowcount or undeliver.rowcount):
            raise TaskLost(task_id)
        self._writer.settled(task_id)

    @measured("task_heartbeat")
    async def heartbeat(
        self, task_id: str, token: str, duration_ms: int | None = None, progress: str | None = None
    ) -> Heard:
        """Prolong the lease of a task, and store its progress if given.

        Without `duration_ms` the lease is as long from now as it was at first. Raises `TaskLost`.
        """
        task = await read_task(self._store.db, task_id, self._store.clock.now())
        if task is None or task.last_lease != token:
            raise TaskLost(task_id)
        if task.status == "cancelled":
            return Heard(cancelled=True)
        if task.lease != token:
            raise TaskLost(task_id)
        duration = duration_ms or task.lease_ms or 0
        effects: list[Effect] = [Extend(message_id(task_id), token, duration, is_usual=False)]
        if progress is not None:
            effects.append(Progress(task_id, token, progress))
        extended, *_ = await self._writer.commit(*effects)
        if not extended.rowcount:
            # The lease has just ended; the next look finds out how.
            return await self.heartbeat(task_id, token, duration_ms, progress)
        self._queue.extended(message_id(task_id))
        return Heard(cancelled=False, ends_at=self._store.clock.now() + duration)

    @measured("task_complete")
    async def complete(
        self, task_id: str, token: str, result: str = "null", once: Once | None = None
    ) -> Heard:
        """Complete a task, with its result. Idempotent.

        Raises `TaskLost` if it is not leased under this token any more.
        """
        finish = Finish(task_id, token, "completed", result)
        (finished,) = await self._writer.commit(finish, once=once, size=len(result))
        if not finished.rowcount:
            return await self._ended(task_id, token, "completed")
        self._writer.settled(task_id)
        return Heard(cancelled=False)

    @measured("task_complete")
    async def complete_many(
        self, done: Sequence[CompletedTask], once: Once | None = None
    ) -> list[Heard]:
        """Complete several tasks in one commit; the answer for each, in order. Idempotent.

        Tasks that are lost are marked so; the others are completed.
        """
        completed = Heard(cancelled=False)
        if not done:
            return []
        size = sum(len(one.result) for one in done)
        (finished,) = await self._writer.commit(CompleteTasks(done), once=once, size=size)
        if finished.rowcount == len(done):
            heard = [completed] * len(done)
        else:
            heard = [await self._heard(one) for one in done]
        for one, told in zip(done, heard, strict=True):
            if not told.lost:
                self._queue.settled(message_id(one.id))
                self._room.tell(one.id)
        self._room.wake()
        return heard

    async def _heard(self, done: CompletedTask) -> Heard:
        """The answer for a task that may not have been completed."""
        try:
            return await self._ended(done.id, done.lease, "completed")
        except TaskLost:
            return Heard(cancelled=False, lost=True)

    @measured("task_fail")
    async def fail(
        self, task_id: str, token: str, error: str, *, retry: bool = True, once: Once | None = None
    ) -> Heard:
        """End an attempt that failed: there is another one after a pause, or the task has failed.

        Without `retry` it was the last attempt. Raises `TaskLost`.
        """
        if once is not None and await self._store.replays.find(once) is not None:
            return Heard(cancelled=False)  # asked first: the task may be in its next attempt by now
        task = await read_task(self._store.db, task_id, self._store.clock.now())
        if task is None or task.lease != token or task.status == "cancelled":
            return await self._ended(task_id, token, "failed", error)
        effects: list[Effect] = [Finish(task_id, token, "failed", None, error)]
        if retry and task.attempts < max(1, task.max_retries):
            chance = random.random()  # noqa: S311 - no secret
            pause = pause_behind(task.attempts, task.pauses_ms, chance)
            effects = [Stop(task_id, token, error), Retry(message_id(task_id), pause)]
        try:
            guard = is_leased(self._store.sql, task_id, token)
            first, *_ = await self._writer.commit(*effects, once=once, guards=[guard])
        except GuardFailed:
            return await self._ended(task_id, token, "failed", error)
        if not first.rowcount:
            return await self._ended(task_id, token, "failed", error)
        self._writer.settled(task_id)
        return Heard(cancelled=False)

    async def _ended(
        self, task_id: str, token: str, status: str, error: str | None = None
    ) -> Heard:
        """The answer to a runner that does not have its task any more. Raises `TaskLost`."""
        task = await read_task(self._store.db, task_id, self._store.clock.now())
        if task is not None and task.last_lease == token:
            if task.status == "cancelled":
                await self._writer.commit(LeavePlace(task_id, token))
                self._writer.settled(task_id)
                return Heard(cancelled=True)
            was_told = task.status == status or (status == "failed" and task.status == "pending")
            if was_told and (error is None or task.last_error == error):
                return Heard(cancelled=False)  # the same report again, since its answer was lost
        raise TaskLost(task_id)


def _messages(rows: Sequence[tuple[Value, ...]]) -> list[LeasedMessage]:
    return [LeasedMessage(*row[2:]) for row in sorted(rows)]  # type: ignore[arg-type] # as the schema says


def _expired(message: str) -> Sequence[Effect]:
    """Effects that end a task whose last lease ran out."""
    task_id = message.removeprefix(MARK)
    return [Finish(task_id, None, "failed", None, LEASE_EXPIRED), LeavePlace(task_id, None)]

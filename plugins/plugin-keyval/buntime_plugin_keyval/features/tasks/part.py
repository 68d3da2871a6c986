"""The tasks of one store as they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from buntime_database import Guard
from buntime_host import Principal
from buntime_keyval import QueueOptions
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.tasks import NewTask

from buntime_plugin_keyval.engine.additions import Addition, MutationParsers
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.features.feature import Ground, Part
from buntime_plugin_keyval.features.queue.feature import QUEUE
from buntime_plugin_keyval.features.queue.part import QueuePart
from buntime_plugin_keyval.features.tasks.runners import Heard, RunnerDesk
from buntime_plugin_keyval.features.tasks.shapes import read_task_mutation
from buntime_plugin_keyval.features.tasks.tasks import TaskDesk
from buntime_plugin_keyval.features.tasks.waiting import WaitingRoom
from buntime_plugin_keyval.features.tasks.writer import TaskWriter
from buntime_plugin_keyval.model.messages import new_id
from buntime_plugin_keyval.requests.permissions import TASK_RUN, TASK_SEND, require_some
from buntime_plugin_keyval.storage.dialects.tasks import MARK
from buntime_plugin_keyval.storage.task_effects import AddTask, CompletedTask


class TaskPart(Part):
    def __init__(self, ground: Ground) -> None:
        sending: QueuePart = ground.parts[QUEUE.name]
        self.store = ground.store
        self.client_of = ground.client_of
        self.heartbeat_ms = ground.config.queue.heartbeat.milliseconds
        self.shares = ground.listeners()
        self.room = WaitingRoom(
            ground.store, foreign_poll_ms=ground.config.foreign_poll.milliseconds
        )
        writer = TaskWriter(ground.store, sending.queue, self.room)
        self.desk = TaskDesk(writer)
        self.runners = RunnerDesk(writer)
        self._queues = sending.queues

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"tasks": self.room.loop}

    @property
    def mutations(self) -> MutationParsers:
        """`task`: make a task if the commit succeeds."""
        return {"task": self._read_task}

    def start(self) -> None:
        super().start()
        self.store.peers.tasks.listen(self.room.wake)

    def numbers(self) -> Mapping[str, float]:
        return {"task_waiters": self.room.number}

    async def clean_up(self, limit: int) -> int:
        """Remove tasks that need not be kept any longer."""
        return await self.desk.forget_old(limit)

    async def end_streams(self) -> None:
        self.room.end()

    async def close(self) -> None:
        self.store.peers.tasks.listen(None)
        self.room.end()
        await self.runners.close()
        await super().close()

    async def limits(self, name: str) -> QueueOptions:
        """The limits of tasks with a name: how many run at a time, and how many begin in a time."""
        return await self._queues.options(MARK + name)

    async def set_limits(self, name: str, limits: QueueOptions, once: Once | None = None) -> None:
        """Replace all limits of tasks with a name. They hold across all runners and hosts."""
        await self._queues.set_options(MARK + name, limits, once)
        self.room.wake()

    async def may(self, principal: Principal, scope: str, task_id: str) -> bool:
        """Whether a principal has a scope on the task with this id, by the task's name.

        A task for which this is False is to be treated as absent. It is True for an id without a
        task, which the operation itself reports. Raises `PermissionDenied` if the principal has the
        scope on no name at all.
        """
        if principal.allows(scope):
            return True
        require_some(principal, scope)
        name = await self.desk.name_of(task_id)
        return name is None or principal.allows(scope, name)

    async def complete_many(
        self, principal: Principal, done: Sequence[CompletedTask], once: Once | None = None
    ) -> list[Heard]:
        """Complete several tasks; those that the principal may not run count as lost.

        Raises `PermissionDenied` if it may run no tasks at all.
        """
        may = [await self.may(principal, TASK_RUN, one.id) for one in done]
        own = [one for one, its in zip(done, may, strict=True) if its]
        heard = iter(await self.runners.complete_many(own, once))
        return [next(heard) if its else Heard(cancelled=False, lost=True) for its in may]

    def task(self, new: NewTask, before: str = "") -> Addition:
        """An addition to a commit: a task to make.

        The commit fails if a task of another name has its id, or a cancelled one that still runs
        has its unique text. `before` precedes the names of members in error messages. Raises
        `InvalidInput` for a task that would wait for itself.
        """
        given = new.options.id
        if given is not None and given in new.options.after:
            raise InvalidInput(f"{before}after must name other tasks, received {describe(given)}")
        sql, unique = self.store.sql.tasks, new.options.unique
        guards = [] if given is None else [Guard(sql.is_own, (given, new.name))]
        if unique is not None:
            guards.append(Guard(sql.is_free, (new.name, unique)))
        return Addition(
            AddTask(given or new_id(), new),
            size=len(new.payload),
            committed=self.room.wake,
            scope=TASK_SEND,
            resource=new.name,
            guards=guards,
        )

    def _read_task(self, item: dict[str, Any], place: str, now_ms: int) -> Addition:
        return self.task(read_task_mutation(item, place, now_ms), f"{place}.")

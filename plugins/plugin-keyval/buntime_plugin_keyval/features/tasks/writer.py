"""The one way in which tasks are written and waiting calls are told."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Guard, ResultSet

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.engine.writes import of_effects
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.features.tasks.waiting import WaitingRoom
from buntime_plugin_keyval.storage.effects import Effect
from buntime_plugin_keyval.storage.task_effects import message_id


class TaskWriter:
    """Writes tasks of one store, for senders and runners."""

    def __init__(self, store: Store, queue: Queue, room: WaitingRoom) -> None:
        self.store = store
        self.queue = queue
        self.room = room

    async def commit(
        self,
        *effects: Effect,
        once: Once | None = None,
        guards: Sequence[Guard] = (),
        size: int = 0,
    ) -> Sequence[ResultSet]:
        """Commit effects on tasks; their results."""
        return await self.store.write(of_effects(effects, guards=guards, size=size), once)

    def settled(self, task_id: str) -> None:
        """Note that a task has changed: tell calls that wait for it, or for tasks it lets run."""
        self.queue.settled(message_id(task_id))
        self.room.tell(task_id)
        self.room.wake()

"""Sending and leasing tasks of one store, with a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

from buntime_keyval.wire.tasks import NewTask, TaskOptions
from buntime_plugin_keyval.features.tasks.runners import Run, RunnerCall
from buntime_plugin_keyval.storage.tasks import StoredTask
from keyval.service.world import World

LEASE_MS = 30_000
MINUTE_MS = 60_000


async def send(world: World, name: str = "a", payload: str = "null", **options: Any) -> StoredTask:
    sent = await world.service.tasks.desk.send(NewTask(name, payload, TaskOptions(**options)))
    return sent.task


async def lease(world: World, *names: str, limit: int = 10, runner: str = "w") -> list[Run]:
    call = RunnerCall(runner, frozenset(names) or None, limit, LEASE_MS)
    return await world.service.tasks.runners.lease(call)


async def status(world: World, task: StoredTask) -> str:
    return (await world.service.tasks.desk.get(task.id)).status

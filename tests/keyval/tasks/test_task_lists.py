"""Tasks that are listed, kept for a time, and removed."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import NotFound, TaskLost
from buntime_keyval.shared import TaskStatus
from buntime_plugin_keyval.storage.tasks import WantedTasks
from keyval.service.world import World
from keyval.tasks.sending import LEASE_MS, lease, send

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")


async def test_finished_tasks_are_kept_for_a_time(world: World) -> None:
    part, clock = world.service.tasks, world.clock
    task = await send(world, keep_ms=1000)
    (run,) = await lease(world)
    await part.runners.complete(task.id, run.token)
    clock.advance(999)
    assert await part.clean_up(10) == 0
    clock.advance(1)
    assert await part.clean_up(10) == 1
    with pytest.raises(NotFound):
        await part.desk.get(task.id)


async def test_a_task_can_be_removed_whatever_it_is_in(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    running, waiting = await send(world, "a"), await send(world, "b")
    (run,) = await lease(world, "a")
    assert await desk.delete(running.id)
    assert await desk.delete(waiting.id)
    assert not await desk.delete(waiting.id)
    assert await lease(world) == []
    with pytest.raises(TaskLost):
        await runners.complete(running.id, run.token)


async def test_lists_by_status_name_and_parent(world: World) -> None:
    desk = world.service.tasks.desk
    tasks = [await send(world, name) for name in "aabb"]
    child = await send(world, "c", parent=tasks[0].id)
    (run,) = await lease(world, "b", limit=1)
    await desk.cancel(tasks[0].id)

    async def ids(**wanted: Any) -> list[str]:
        return [task.id for task in await desk.newest(WantedTasks(**wanted))]

    newest = [child.id, *(task.id for task in reversed(tasks))]
    assert await ids() == newest
    assert await ids(limit=2, offset=1) == newest[1:3]
    assert await ids(before=child.seq, limit=2) == newest[1:3]
    assert await ids(name="b") == newest[1:3]
    assert await ids(status="cancelled") == [tasks[0].id]
    assert await ids(status="running", name="b") == [run.task.id]
    assert await ids(parent=tasks[0].id) == [child.id]
    assert await ids(parent=tasks[0].id, status="failed") == []
    assert await desk.counts() == {
        "a": {"cancelled": 1, "pending": 1},
        "b": {"pending": 1, "running": 1},
        "c": {"pending": 1},
    }
    assert await desk.counts("a") == {"a": {"cancelled": 1, "pending": 1}}


async def test_a_page_of_a_status_is_full(world: World) -> None:
    """What is stored as running is pending again once its lease is over."""
    runners, tasks = world.service.tasks.runners, world.kv.tasks
    parent = await send(world, "parent")
    over, running, waiting = [(await send(world, parent=parent.id)).id for _ in range(3)]
    token = {run.task.id: run.token for run in await lease(world, "a", limit=2)}[running]
    world.clock.advance(LEASE_MS - 1)
    await runners.heartbeat(running, token)
    world.clock.advance(1)
    found: dict[TaskStatus, list[str]] = {"pending": [waiting, over], "running": [running]}
    for of in ({"name": "a"}, {"parent": parent.id}, {"name": "a", "parent": parent.id}):
        for status, expected in found.items():
            ids = []
            for offset in range(3):
                page = await tasks.list(status=status, limit=1, offset=offset, **of)
                ids += [task.id for task in page.tasks]
                assert [task.status for task in page.tasks] in ([], [status])
                assert (page.cursor is None) is (offset >= len(expected))
            assert ids == expected
    assert [task.id for task in (await tasks.list(status="running")).tasks] == [running]
    assert (await tasks.list(status="failed", parent=parent.id)).tasks == []


async def test_each_status_has_its_list(world: World) -> None:
    desk, seen = world.service.tasks.desk, list[tuple[str, list[str]]]()
    runners = world.service.tasks.runners
    statuses: tuple[TaskStatus, ...] = ("pending", "running", "completed", "failed", "cancelled")

    async def look() -> None:
        for each in statuses:
            found = (await world.kv.tasks.list(status=each)).tasks
            seen.extend([(each, [task.name for task in found])] if found else [])

    with pytest.raises(NotFound):
        await desk.get("nobody")
    await look()
    good, bad = await send(world, "good"), await send(world, "bad", max_retries=2, pauses_ms=(1,))
    await look()
    runs = {run.name: run for run in await lease(world)}
    await look()
    await runners.complete(good.id, runs["good"].token)
    await runners.fail(bad.id, runs["bad"].token, "no")
    await look()
    world.clock.advance(10)
    (again,) = await lease(world)
    await runners.fail(bad.id, again.token, "no")
    await desk.cancel((await send(world, "gone")).id)
    await look()
    assert seen == [
        ("pending", ["bad", "good"]),
        ("running", ["bad", "good"]),
        *[("pending", ["bad"]), ("completed", ["good"])],
        *[("completed", ["good"]), ("failed", ["bad"]), ("cancelled", ["gone"])],
    ]

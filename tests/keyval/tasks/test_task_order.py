"""Which task runs when: after others, one of several at a time, by age and priority."""

from __future__ import annotations

import pytest
from buntime_keyval import InvalidInput, QueueOptions, TaskConflict
from buntime_keyval.wire.tasks import NewTask, TaskOptions
from buntime_plugin_keyval.storage.tasks import WantedTasks
from keyval.service.world import World
from keyval.tasks.sending import LEASE_MS, lease, send, status

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")


async def test_a_task_after_one_that_is_not_there_has_failed(world: World) -> None:
    sent = await send(world, after=("none",))
    in_a_commit = world.kv.atomic().task("a", id="b", after=["none"])
    assert (await in_a_commit.commit()).ok
    await world.kv.schedules.put("s", {"name": "a", "after": ["none"]}, every="1h")
    started = await world.kv.schedules.run("s")
    for task_id in (sent.id, "b", started):
        found = await world.service.tasks.desk.get(task_id)
        assert found.status == "failed"
        assert found.last_error == "the task none, which comes before it, is not there"


async def test_one_with_a_unique_text_at_a_time(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    first = await desk.send(NewTask("a", "1", TaskOptions(unique="x")))
    second = await desk.send(NewTask("a", "2", TaskOptions(unique="x")))
    assert (first.is_new, second.is_new) == (True, False)
    assert (second.task.id, second.task.payload) == (first.task.id, "1")
    assert (await desk.send(NewTask("b", "3", TaskOptions(unique="x")))).is_new
    (run,) = await lease(world, "a")
    assert not (await desk.send(NewTask("a", "4", TaskOptions(unique="x")))).is_new
    await runners.fail(first.task.id, run.token, "no", retry=False)
    third = await desk.send(NewTask("a", "5", TaskOptions(unique="x")))
    assert third.is_new
    with pytest.raises(TaskConflict, match="unique text x"):
        await desk.retry(first.task.id)
    assert await status(world, third.task) == "pending"


async def test_a_given_id_is_sent_once(world: World) -> None:
    desk = world.service.tasks.desk
    assert (await desk.send(NewTask("a", "1", TaskOptions(id="x")))).is_new
    again = await desk.send(NewTask("a", "2", TaskOptions(id="x")))
    assert (again.is_new, again.task.payload) == (False, "1")
    with pytest.raises(TaskConflict, match="in use by a task with another name"):
        await desk.send(NewTask("b", "2", TaskOptions(id="x")))


async def test_a_sequence_runs_one_at_a_time_in_order(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    runners = world.service.tasks.runners
    tasks = [await send(world, sequence="s", pauses_ms=(10,)) for _ in range(4)]
    other = await send(world, sequence="t")
    assert {run.task.id for run in await lease(world)} == {tasks[0].id, other.id}
    (found,) = [it for it in await desk.newest(WantedTasks("running")) if it.sequence == "s"]
    await runners.fail(tasks[0].id, str(found.lease), "once")
    assert await lease(world) == []  # the first one is to be tried again, and the others wait
    clock.advance(11)
    (run,) = await lease(world)
    assert run.task.id == tasks[0].id
    await runners.complete(run.task.id, run.token)
    await desk.cancel(tasks[2].id)
    (run,) = await lease(world)
    assert run.task.id == tasks[1].id
    await runners.fail(run.task.id, run.token, "no", retry=False)
    (run,) = await lease(world)
    assert run.task.id == tasks[3].id


async def test_a_task_runs_after_those_before_it(world: World) -> None:
    runners = world.service.tasks.runners
    first, second = await send(world, "a"), await send(world, "b")
    third = await send(world, "c", after=(first.id, second.id))
    fourth = await send(world, "d", after=(third.id,))
    (run_a,) = await lease(world, "a")
    await runners.complete(first.id, run_a.token)
    assert await lease(world, "c", "d") == []
    (run_b,) = await lease(world, "b")
    await runners.complete(second.id, run_b.token)
    (run_c,) = await lease(world, "c", "d")
    assert run_c.task.id == third.id
    await runners.complete(third.id, run_c.token)
    (run_d,) = await lease(world)
    assert run_d.task.id == fourth.id
    late = await send(world, "e", after=(first.id, second.id))
    assert [run.task.id for run in await lease(world)] == [late.id]


async def test_what_comes_after_a_failure_fails(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    first, healthy = await send(world, "a"), await send(world, "b")
    second = await send(world, "c", after=(first.id, healthy.id), sequence="s")
    third = await send(world, "d", after=(second.id,))
    next_one = await send(world, "c", sequence="s")
    (run,) = await lease(world, "a")
    assert await lease(world, "c") == []
    await runners.fail(first.id, run.token, "no", retry=False)
    for task in (second, third):
        found = await desk.get(task.id)
        assert found.status == "failed"
        assert found.last_error == f"the task {first.id}, which comes before it, is failed"
    assert [run.task.id for run in await lease(world, "c")] == [next_one.id]
    early = await send(world, "e", after=(first.id,))
    assert (early.status, early.last_error) == (
        "failed",
        f"the task {first.id}, which comes before it, is failed",
    )
    (run,) = await lease(world, "b")
    await runners.complete(healthy.id, run.token)
    assert await world.rows("SELECT count(*) FROM kv_task_order") == [(0,)]


async def test_who_is_run_again_waits_again(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    first = await send(world, "a", max_retries=1)
    second = await send(world, "b", after=(first.id,))
    (run,) = await lease(world)
    await runners.fail(first.id, run.token, "no")
    await desk.retry(first.id)
    assert (await desk.retry(second.id)).status == "pending"
    (run,) = await lease(world)
    await runners.complete(first.id, run.token)
    assert [it.task.id for it in await lease(world)] == [second.id]


async def test_delays_priorities_and_ages(world: World) -> None:
    clock = world.clock
    late = await send(world, delay_ms=1000)
    at = await send(world, scheduled_for=clock.wall() + 500)
    low, high = await send(world, priority=-1), await send(world, priority=1)
    assert [run.task.id for run in await lease(world)] == [high.id, low.id]
    clock.advance(500)
    assert [run.task.id for run in await lease(world)] == [at.id]
    clock.advance(500)
    assert [run.task.id for run in await lease(world)] == [late.id]


async def test_limits_hold_over_all_runners(world: World) -> None:
    part, clock = world.service.tasks, world.clock
    await part.set_limits("a", QueueOptions(max_running=2))
    tasks = [await send(world) for _ in range(4)]
    running = await lease(world)
    assert [run.task.id for run in running] == [task.id for task in tasks[:2]]
    assert await lease(world, runner="another") == []
    await part.runners.complete(running[0].task.id, running[0].token)
    assert len(await lease(world)) == 1
    clock.advance(LEASE_MS)
    assert len(await lease(world)) == 2
    assert (await part.limits("a")).max_running == 2
    await part.set_limits("a", QueueOptions())
    assert len(await lease(world)) == 1
    assert await world.service.queues.names(10) == []


async def test_a_commit_fails_whose_task_has_the_id_of_another_one(world: World) -> None:
    await send(world, "mail", id="welcome")
    same = await world.kv.atomic().task("mail", id="welcome").set(["again"], 1).commit()
    other = await world.kv.atomic().task("invoice", id="welcome").set(["paid"], 1).commit()
    assert (same.ok, other.ok) == (True, False)
    assert (await world.kv.get(["paid"])).value is None
    assert await world.rows("SELECT name FROM kv_tasks") == [("mail",)]


async def test_a_task_cannot_come_after_itself(world: World) -> None:
    with pytest.raises(InvalidInput, match="after must name other tasks"):
        await world.kv.atomic().task("a", id="x", after=["x"]).commit()

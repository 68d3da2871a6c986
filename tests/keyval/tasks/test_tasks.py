"""Tasks of one store, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput, NotFound, TaskConflict, TaskLost
from buntime_keyval.shared import TaskStatus
from buntime_keyval.wire.tasks import NewTask, TaskOptions, pause_behind
from buntime_plugin_keyval.features.tasks.tasks import Heard, Run, RunnerCall
from buntime_plugin_keyval.model.messages import QueueSettings
from buntime_plugin_keyval.storage.task_effects import CompletedTask
from buntime_plugin_keyval.storage.tasks import StoredTask, WantedTasks
from keyval.service.world import World, until
from msgspec.structs import replace
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")

LEASE_MS = 30_000
MINUTE_MS = 60_000


async def send(world: World, name: str = "a", payload: str = "null", **options: Any) -> StoredTask:
    sent = await world.service.tasks.desk.send(NewTask(name, payload, TaskOptions(**options)))
    return sent.task


async def lease(world: World, *names: str, limit: int = 10, runner: str = "w") -> list[Run]:
    call = RunnerCall(runner, frozenset(names) or None, limit, LEASE_MS)
    return await world.service.tasks.desk.lease(call)


async def status(world: World, task: StoredTask) -> str:
    return (await world.service.tasks.desk.get(task.id)).status


async def test_a_task_from_its_beginning_to_its_end(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    task = await send(world, "mail", '{"to":"a"}', priority=2)
    assert (task.status, task.attempts, task.payload) == ("pending", 0, '{"to":"a"}')
    clock.advance(10)
    (run,) = await lease(world, "mail", "other", runner="w1")
    assert (run.name, run.task.id, run.task.payload, run.task.attempts) == (
        "mail",
        task.id,
        '{"to":"a"}',
        1,
    )
    assert await lease(world) == []
    found = await desk.get(task.id)
    assert (found.status, found.runner, found.attempts) == ("running", "w1", 1)
    assert (found.started_at, found.visible_at) == (clock.wall(), clock.now() + LEASE_MS)
    await desk.heartbeat(task.id, run.token, progress="[0.5,null]")
    assert (await desk.get(task.id)).progress == "[0.5,null]"
    clock.advance(5)
    assert not (await desk.complete(task.id, run.token, '{"sent":1}')).cancelled
    found = await desk.get(task.id)
    assert (found.status, found.result, found.attempts) == ("completed", '{"sent":1}', 1)
    assert (found.completed_at, found.last_error) == (clock.wall(), None)
    assert await world.rows("SELECT count(*) FROM kv_queue") == [(0,)]


async def test_who_is_cancelled_while_he_leases_leaves_the_tasks_to_others(world: World) -> None:
    sent = await send(world, max_retries=1)
    for turns in range(12):
        leasing = asyncio.create_task(lease(world))
        for _ in range(turns):
            await asyncio.sleep(0)
        if leasing.cancel():
            with pytest.raises(asyncio.CancelledError):
                await leasing
            assert await status(world, sent) == "pending"
    (run,) = await lease(world)
    assert run.task.attempts == 1


async def test_several_are_completed_in_one_commit(world: World) -> None:
    desk = world.service.tasks.desk
    names = ["good", "cancelled", "lost", "last"]
    sent = [await send(world, name, sequence="s") for name in names]
    behind = await send(world, "last", sequence="s")
    runs = {run.name: run for run in await lease(world)}
    await desk.cancel(sent[1].id)
    done = [CompletedTask(run.task.id, run.token, f'["{name}"]') for name, run in runs.items()]
    done = [replace(it, lease="another") if it.id == sent[2].id else it for it in done]
    for _ in range(2):  # the same again is as good as once
        heard = dict(zip(runs, await desk.complete_many(done), strict=True))
        assert heard == {
            "good": Heard(cancelled=False),
            "cancelled": Heard(cancelled=True),
            "lost": Heard(cancelled=False, lost=True),
            "last": Heard(cancelled=False),
        }
        assert [await status(world, task) for task in sent] == [
            *("completed", "cancelled", "running", "completed")
        ]
    found = await desk.get(sent[0].id)
    assert (found.result, found.attempts) == ('["good"]', 1)
    assert found.completed_at == world.clock.wall()
    assert [run.task.id for run in await lease(world)] == [behind.id]  # the next of its sequence
    assert await desk.complete_many([]) == []


async def test_a_failed_attempt_waits_longer_each_time(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    task = await send(world, max_retries=3, pauses_ms=(MINUTE_MS, 2 * MINUTE_MS))
    for attempt, pause in ((1, MINUTE_MS), (2, 2 * MINUTE_MS)):
        (run,) = await lease(world)
        assert run.task.attempts == attempt
        await desk.fail(task.id, run.token, f"no {attempt}")
        found = await desk.get(task.id)
        assert (found.status, found.last_error) == ("pending", f"no {attempt}")
        assert found.attempts == attempt
        clock.advance(pause - 1)
        assert await lease(world) == []
        clock.advance(1 + pause // 10)
    (run,) = await lease(world)
    await desk.fail(task.id, run.token, "for good")
    found = await desk.get(task.id)
    assert (found.status, found.attempts, found.last_error) == ("failed", 3, "for good")


def test_pauses_double_up_to_an_hour() -> None:
    assert [pause_behind(n, None, 0) for n in (1, 2, 5, 6, 50)] == [
        120_000,
        240_000,
        1_920_000,
        3_600_000,
        3_600_000,
    ]
    assert pause_behind(1, None, 1) == 132_000
    assert [pause_behind(n, (5, 7), 0) for n in (1, 2, 3)] == [5, 7, 7]


@pytest.mark.parametrize("retries", [0, 1])
async def test_no_retries_are_one_attempt(world: World, retries: int) -> None:
    desk = world.service.tasks.desk
    task = await send(world, max_retries=retries)
    (run,) = await lease(world)
    await desk.fail(task.id, run.token, "no")
    assert (await desk.get(task.id)).attempts == 1
    assert await status(world, task) == "failed"


async def test_who_fails_without_a_retry_fails_for_good(world: World) -> None:
    task = await send(world)
    (run,) = await lease(world)
    await world.service.tasks.desk.fail(task.id, run.token, "no", retry=False)
    assert await status(world, task) == "failed"


async def test_a_lease_that_ends_gives_the_task_back(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    task = await send(world)
    (first,) = await lease(world)
    clock.advance(LEASE_MS - 1)
    assert await lease(world) == []
    heard = await desk.heartbeat(task.id, first.token)
    assert heard.ends_at == clock.now() + LEASE_MS
    clock.advance(LEASE_MS)
    assert await status(world, task) == "pending"
    (second,) = await lease(world)
    assert second.task.attempts == 2
    for call in (
        desk.heartbeat(task.id, first.token),
        desk.complete(task.id, first.token),
        desk.fail(task.id, first.token, "late"),
        desk.release(task.id, first.token),
    ):
        with pytest.raises(TaskLost):
            await call
    await desk.complete(task.id, second.token)
    await desk.complete(task.id, second.token)  # the same again is as good as once
    assert await status(world, task) == "completed"


async def test_a_task_whose_last_runner_died_fails(world: World) -> None:
    task = await send(world, max_retries=1)
    await lease(world)
    world.clock.advance(LEASE_MS)
    await world.service.queue.bury_exhausted()
    found = await world.service.tasks.desk.get(task.id)
    assert (found.status, found.attempts) == ("failed", 1)
    assert found.last_error == "Lease expired after max attempts"
    assert await world.rows("SELECT count(*) FROM kv_dlq") == [(0,)]


async def test_a_released_task_was_not_attempted(world: World) -> None:
    desk = world.service.tasks.desk
    task = await send(world)
    (run,) = await lease(world)
    await desk.release(task.id, run.token)
    assert (await desk.get(task.id)).attempts == 0
    (run,) = await lease(world)
    assert run.task.attempts == 1


async def test_a_cancelled_task_stays_cancelled(world: World) -> None:
    desk = world.service.tasks.desk
    waiting, running = await send(world, "a"), await send(world, "b")
    assert (await desk.cancel(waiting.id)).status == "cancelled"
    (run,) = await lease(world)
    assert (await desk.cancel(running.id)).status == "cancelled"
    assert (await desk.heartbeat(running.id, run.token)).cancelled
    assert (await desk.complete(running.id, run.token)).cancelled
    assert (await desk.fail(running.id, run.token, "no")).cancelled
    assert await status(world, running) == "cancelled"
    assert await lease(world) == []
    with pytest.raises(NotFound):
        await desk.cancel("unknown")


async def test_a_cancelled_task_keeps_its_place_while_its_runner_works(world: World) -> None:
    desk = world.service.tasks.desk
    await world.service.tasks.set_limits("a", QueueSettings(max_running=1))
    first = await send(world, sequence="x", unique="u")
    second = await send(world, sequence="x")
    (run,) = await lease(world)
    cancelled = await desk.cancel(first.id)
    assert (cancelled.status, cancelled.attempts, cancelled.completed_at) == ("cancelled", 1, None)
    assert (await desk.cancel(first.id)).status == "cancelled"
    assert (await desk.heartbeat(first.id, run.token)).cancelled
    third = await send(world)
    assert await lease(world) == []
    with pytest.raises(TaskConflict, match="its runner has not stopped yet"):
        await send(world, unique="u")
    unique = world.kv.atomic().task("a", unique="u")
    assert not (await unique.commit()).ok
    with pytest.raises(TaskConflict, match="its runner has not stopped yet"):
        await desk.retry(first.id)
    await desk.release(first.id, run.token)
    over = await desk.get(first.id)
    assert (over.status, over.completed_at) == ("cancelled", world.clock.wall())
    ids = []
    for _ in range(2):
        (run,) = await lease(world)
        ids.append(run.task.id)
        await desk.complete(run.task.id, run.token)
    assert ids == [third.id, second.id]
    assert (await desk.retry(first.id)).status == "pending"


@pytest.mark.parametrize("says", ["complete", "fail", "retry", "nothing"])
async def test_the_place_of_a_cancelled_task_is_free_in_the_end(world: World, says: str) -> None:
    desk = world.service.tasks.desk
    first, second = await send(world, sequence="x"), await send(world, sequence="x")
    after = await send(world, "c", after=(first.id,))
    (run,) = await lease(world, "a")
    await desk.cancel(first.id)
    if says == "complete":
        assert (await desk.complete(first.id, run.token)).cancelled
    elif says == "nothing":
        world.clock.advance(LEASE_MS)
        await world.service.queue.bury_exhausted()
    else:
        assert (await desk.fail(first.id, run.token, "no", retry=says == "retry")).cancelled
    found = await desk.get(first.id)
    assert (found.status, found.last_error) == ("cancelled", None)
    assert found.completed_at is not None
    (run,) = await lease(world)
    assert run.task.id == second.id
    assert await status(world, after) == "failed"


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


async def test_a_failed_or_cancelled_task_can_be_run_again(world: World) -> None:
    desk = world.service.tasks.desk
    task = await send(world, max_retries=1)
    with pytest.raises(TaskConflict, match="is pending"):
        await desk.retry(task.id)
    (run,) = await lease(world)
    await desk.fail(task.id, run.token, "no")
    again = await desk.retry(task.id)
    assert (again.status, again.attempts) == ("pending", 0)
    (run,) = await lease(world)
    assert run.task.attempts == 1
    await desk.complete(task.id, run.token)
    with pytest.raises(TaskConflict, match="is completed"):
        await desk.retry(task.id)


async def test_one_with_a_unique_text_at_a_time(world: World) -> None:
    desk = world.service.tasks.desk
    first = await desk.send(NewTask("a", "1", TaskOptions(unique="x")))
    second = await desk.send(NewTask("a", "2", TaskOptions(unique="x")))
    assert (first.is_new, second.is_new) == (True, False)
    assert (second.task.id, second.task.payload) == (first.task.id, "1")
    assert (await desk.send(NewTask("b", "3", TaskOptions(unique="x")))).is_new
    (run,) = await lease(world, "a")
    assert not (await desk.send(NewTask("a", "4", TaskOptions(unique="x")))).is_new
    await desk.fail(first.task.id, run.token, "no", retry=False)
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
    with pytest.raises(TaskConflict, match="of another name"):
        await desk.send(NewTask("b", "2", TaskOptions(id="x")))


async def test_a_sequence_runs_one_at_a_time_in_order(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    tasks = [await send(world, sequence="s", pauses_ms=(10,)) for _ in range(4)]
    other = await send(world, sequence="t")
    assert {run.task.id for run in await lease(world)} == {tasks[0].id, other.id}
    (found,) = [it for it in await desk.newest(WantedTasks("running")) if it.sequence == "s"]
    await desk.fail(tasks[0].id, str(found.lease), "once")
    assert await lease(world) == []  # the first one is to be tried again, and the others wait
    clock.advance(11)
    (run,) = await lease(world)
    assert run.task.id == tasks[0].id
    await desk.complete(run.task.id, run.token)
    await desk.cancel(tasks[2].id)
    (run,) = await lease(world)
    assert run.task.id == tasks[1].id
    await desk.fail(run.task.id, run.token, "no", retry=False)
    (run,) = await lease(world)
    assert run.task.id == tasks[3].id


async def test_a_task_runs_after_those_before_it(world: World) -> None:
    desk = world.service.tasks.desk
    first, second = await send(world, "a"), await send(world, "b")
    third = await send(world, "c", after=(first.id, second.id))
    fourth = await send(world, "d", after=(third.id,))
    (run_a,) = await lease(world, "a")
    await desk.complete(first.id, run_a.token)
    assert await lease(world, "c", "d") == []
    (run_b,) = await lease(world, "b")
    await desk.complete(second.id, run_b.token)
    (run_c,) = await lease(world, "c", "d")
    assert run_c.task.id == third.id
    await desk.complete(third.id, run_c.token)
    (run_d,) = await lease(world)
    assert run_d.task.id == fourth.id
    late = await send(world, "e", after=(first.id, second.id))
    assert [run.task.id for run in await lease(world)] == [late.id]


async def test_what_comes_after_a_failure_fails(world: World) -> None:
    desk = world.service.tasks.desk
    first, healthy = await send(world, "a"), await send(world, "b")
    second = await send(world, "c", after=(first.id, healthy.id), sequence="s")
    third = await send(world, "d", after=(second.id,))
    next_one = await send(world, "c", sequence="s")
    (run,) = await lease(world, "a")
    assert await lease(world, "c") == []
    await desk.fail(first.id, run.token, "no", retry=False)
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
    await desk.complete(healthy.id, run.token)
    assert await world.rows("SELECT count(*) FROM kv_task_order") == [(0,)]


async def test_who_is_run_again_waits_again(world: World) -> None:
    desk = world.service.tasks.desk
    first = await send(world, "a", max_retries=1)
    second = await send(world, "b", after=(first.id,))
    (run,) = await lease(world)
    await desk.fail(first.id, run.token, "no")
    await desk.retry(first.id)
    assert (await desk.retry(second.id)).status == "pending"
    (run,) = await lease(world)
    await desk.complete(first.id, run.token)
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
    await part.set_limits("a", QueueSettings(max_running=2))
    tasks = [await send(world) for _ in range(4)]
    running = await lease(world)
    assert [run.task.id for run in running] == [task.id for task in tasks[:2]]
    assert await lease(world, runner="another") == []
    await part.desk.complete(running[0].task.id, running[0].token)
    assert len(await lease(world)) == 1
    clock.advance(LEASE_MS)
    assert len(await lease(world)) == 2
    assert (await part.limits("a")).max_running == 2
    await part.set_limits("a", QueueSettings())
    assert len(await lease(world)) == 1
    assert await world.service.queues.names(10) == []


async def test_finished_tasks_are_kept_for_a_time(world: World) -> None:
    part, clock = world.service.tasks, world.clock
    task = await send(world, keep_ms=1000)
    (run,) = await lease(world)
    await part.desk.complete(task.id, run.token)
    clock.advance(999)
    assert await part.clean_up(10) == 0
    clock.advance(1)
    assert await part.clean_up(10) == 1
    with pytest.raises(NotFound):
        await part.desk.get(task.id)


async def test_a_task_can_be_removed_whatever_it_is_in(world: World) -> None:
    desk = world.service.tasks.desk
    running, waiting = await send(world, "a"), await send(world, "b")
    (run,) = await lease(world, "a")
    assert await desk.delete(running.id)
    assert await desk.delete(waiting.id)
    assert not await desk.delete(waiting.id)
    assert await lease(world) == []
    with pytest.raises(TaskLost):
        await desk.complete(running.id, run.token)


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
    desk, tasks = world.service.tasks.desk, world.kv.tasks
    parent = await send(world, "parent")
    over, running, waiting = [(await send(world, parent=parent.id)).id for _ in range(3)]
    token = {run.task.id: run.token for run in await lease(world, "a", limit=2)}[running]
    world.clock.advance(LEASE_MS - 1)
    await desk.heartbeat(running, token)
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
    await desk.complete(good.id, runs["good"].token)
    await desk.fail(bad.id, runs["bad"].token, "no")
    await look()
    world.clock.advance(10)
    (again,) = await lease(world)
    await desk.fail(bad.id, again.token, "no")
    await desk.cancel((await send(world, "gone")).id)
    await look()
    assert seen == [
        ("pending", ["bad", "good"]),
        ("running", ["bad", "good"]),
        *[("pending", ["bad"]), ("completed", ["good"])],
        *[("completed", ["good"]), ("failed", ["bad"]), ("cancelled", ["gone"])],
    ]


async def test_a_queue_knows_nothing_of_tasks(world: World) -> None:
    await send(world)
    await world.kv.enqueue("a message")
    assert (await world.service.queue.stats(None)).total == 1
    assert await world.service.queues.names(10) == [""]
    message = await world.kv.dequeue()
    assert message is not None
    assert message.value == "a message"
    assert await world.kv.dequeue() is None


async def test_a_runner_waits_for_work(world: World) -> None:
    desk = world.service.tasks.desk
    call = RunnerCall("w", frozenset({"a"}), 1, LEASE_MS)
    waiting = [asyncio.ensure_future(desk.lease(call, 60_000)) for _ in range(2)]
    await until(lambda: desk.room.number == 2)
    await send(world, "b")
    first = await send(world, "a")
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
    assert [run.task.id for task in done for run in task.result()] == [first.id]
    second = await send(world, "a")
    (waiter,) = left
    assert [run.task.id for run in await asyncio.wait_for(waiter, 10)] == [second.id]
    await desk.room.loop.stop()


async def test_somebody_waits_for_the_end(world: World) -> None:
    desk = world.service.tasks.desk
    task = await send(world)
    assert (await desk.wait(task.id, 1)).status == "pending"
    waiting = asyncio.create_task(desk.wait(task.id, 60_000))
    (run,) = await lease(world)
    await desk.complete(task.id, run.token, "7")
    assert (await asyncio.wait_for(waiting, 10)).result == "7"
    await desk.room.loop.stop()


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

"""The life of a task, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from buntime_keyval import NotFound, QueueOptions, TaskConflict, TaskLost
from buntime_keyval.wire.tasks import pause_behind
from buntime_plugin_keyval.features.tasks import http
from buntime_plugin_keyval.features.tasks.runners import Heard, Run, RunnerCall
from buntime_plugin_keyval.features.tasks.shapes import TaskListening
from buntime_plugin_keyval.features.tasks.waiting import Caller
from buntime_plugin_keyval.requests.sse import OPENED, PING
from buntime_plugin_keyval.storage.task_effects import CompletedTask
from keyval.service.world import World, open_world, until
from keyval.tasks.sending import LEASE_MS, MINUTE_MS, lease, send, status
from msgspec.structs import replace
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")


async def test_a_task_from_its_beginning_to_its_end(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    runners = world.service.tasks.runners
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
    await runners.heartbeat(task.id, run.token, progress="[0.5,null]")
    assert (await desk.get(task.id)).progress == "[0.5,null]"
    clock.advance(5)
    assert not (await runners.complete(task.id, run.token, '{"sent":1}')).cancelled
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


@pytest.mark.engines("sqlite", "odd")
async def test_who_waits_looks_again_at_the_end_only_where_something_was_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runners, looks = world.service.tasks.runners, 0
    take_of_ready = runners._take

    async def counted(call: RunnerCall) -> list[Run]:
        nonlocal looks
        looks += 1
        return await take_of_ready(call)

    monkeypatch.setattr(runners, "_take", counted)
    call = RunnerCall("w1", frozenset({"mail"}), 1, LEASE_MS)
    assert await runners.lease(call, 50) == []
    assert looks == 1
    monkeypatch.setattr(Caller, "call", lambda _: None)  # as if nobody had noticed
    leasing = asyncio.ensure_future(runners.lease(call, 500))
    await until(lambda: world.service.tasks.room.number == 1)
    before = looks
    await send(world, "mail")
    (run,) = await leasing
    assert (run.name, looks) == ("mail", before + 1)


async def test_several_are_completed_in_one_commit(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    names = ["good", "cancelled", "lost", "last"]
    sent = [await send(world, name, sequence="s") for name in names]
    behind = await send(world, "last", sequence="s")
    runs = {run.name: run for run in await lease(world)}
    await desk.cancel(sent[1].id)
    done = [CompletedTask(run.task.id, run.token, f'["{name}"]') for name, run in runs.items()]
    done = [replace(it, lease="another") if it.id == sent[2].id else it for it in done]
    for _ in range(2):  # the same again is as good as once
        heard = dict(zip(runs, await runners.complete_many(done), strict=True))
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
    assert await runners.complete_many([]) == []


async def test_a_failed_attempt_waits_longer_each_time(world: World) -> None:
    desk, clock = world.service.tasks.desk, world.clock
    runners = world.service.tasks.runners
    task = await send(world, max_retries=3, pauses_ms=(MINUTE_MS, 2 * MINUTE_MS))
    for attempt, pause in ((1, MINUTE_MS), (2, 2 * MINUTE_MS)):
        (run,) = await lease(world)
        assert run.task.attempts == attempt
        await runners.fail(task.id, run.token, f"no {attempt}")
        found = await desk.get(task.id)
        assert (found.status, found.last_error) == ("pending", f"no {attempt}")
        assert found.attempts == attempt
        clock.advance(pause - 1)
        assert await lease(world) == []
        clock.advance(1 + pause // 10)
    (run,) = await lease(world)
    await runners.fail(task.id, run.token, "for good")
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
    runners = world.service.tasks.runners
    task = await send(world, max_retries=retries)
    (run,) = await lease(world)
    await runners.fail(task.id, run.token, "no")
    assert (await desk.get(task.id)).attempts == 1
    assert await status(world, task) == "failed"


async def test_who_fails_without_a_retry_fails_for_good(world: World) -> None:
    task = await send(world)
    (run,) = await lease(world)
    await world.service.tasks.runners.fail(task.id, run.token, "no", retry=False)
    assert await status(world, task) == "failed"


async def test_a_lease_that_ends_gives_the_task_back(world: World) -> None:
    runners, clock = world.service.tasks.runners, world.clock
    task = await send(world)
    (first,) = await lease(world)
    clock.advance(LEASE_MS - 1)
    assert await lease(world) == []
    heard = await runners.heartbeat(task.id, first.token)
    assert heard.ends_at == clock.now() + LEASE_MS
    clock.advance(LEASE_MS)
    assert await status(world, task) == "pending"
    (second,) = await lease(world)
    assert second.task.attempts == 2
    for call in (
        runners.heartbeat(task.id, first.token),
        runners.complete(task.id, first.token),
        runners.fail(task.id, first.token, "late"),
        runners.release(task.id, first.token),
    ):
        with pytest.raises(TaskLost):
            await call
    await runners.complete(task.id, second.token)
    await runners.complete(task.id, second.token)  # the same again is as good as once
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
    runners = world.service.tasks.runners
    task = await send(world)
    (run,) = await lease(world)
    await runners.release(task.id, run.token)
    assert (await desk.get(task.id)).attempts == 0
    (run,) = await lease(world)
    assert run.task.attempts == 1


async def test_a_cancelled_task_stays_cancelled(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    waiting, running = await send(world, "a"), await send(world, "b")
    assert (await desk.cancel(waiting.id)).status == "cancelled"
    (run,) = await lease(world)
    assert (await desk.cancel(running.id)).status == "cancelled"
    assert (await runners.heartbeat(running.id, run.token)).cancelled
    assert (await runners.complete(running.id, run.token)).cancelled
    assert (await runners.fail(running.id, run.token, "no")).cancelled
    assert await status(world, running) == "cancelled"
    assert await lease(world) == []
    with pytest.raises(NotFound):
        await desk.cancel("unknown")


async def test_a_cancelled_task_keeps_its_place_while_its_runner_works(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    await world.service.tasks.set_limits("a", QueueOptions(max_running=1))
    first = await send(world, sequence="x", unique="u")
    second = await send(world, sequence="x")
    (run,) = await lease(world)
    cancelled = await desk.cancel(first.id)
    assert (cancelled.status, cancelled.attempts, cancelled.completed_at) == ("cancelled", 1, None)
    assert (await desk.cancel(first.id)).status == "cancelled"
    assert (await runners.heartbeat(first.id, run.token)).cancelled
    third = await send(world)
    assert await lease(world) == []
    with pytest.raises(TaskConflict, match="its runner has not stopped yet"):
        await send(world, unique="u")
    unique = world.kv.atomic().task("a", unique="u")
    assert not (await unique.commit()).ok
    with pytest.raises(TaskConflict, match="its runner has not stopped yet"):
        await desk.retry(first.id)
    await runners.release(first.id, run.token)
    over = await desk.get(first.id)
    assert (over.status, over.completed_at) == ("cancelled", world.clock.wall())
    ids = []
    for _ in range(2):
        (run,) = await lease(world)
        ids.append(run.task.id)
        await runners.complete(run.task.id, run.token)
    assert ids == [third.id, second.id]
    assert (await desk.retry(first.id)).status == "pending"


@pytest.mark.parametrize("says", ["complete", "fail", "retry", "nothing"])
async def test_the_place_of_a_cancelled_task_is_free_in_the_end(world: World, says: str) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    first, second = await send(world, sequence="x"), await send(world, sequence="x")
    after = await send(world, "c", after=(first.id,))
    (run,) = await lease(world, "a")
    await desk.cancel(first.id)
    if says == "complete":
        assert (await runners.complete(first.id, run.token)).cancelled
    elif says == "nothing":
        world.clock.advance(LEASE_MS)
        await world.service.queue.bury_exhausted()
    else:
        assert (await runners.fail(first.id, run.token, "no", retry=says == "retry")).cancelled
    found = await desk.get(first.id)
    assert (found.status, found.last_error) == ("cancelled", None)
    assert found.completed_at is not None
    (run,) = await lease(world)
    assert run.task.id == second.id
    assert await status(world, after) == "failed"


async def test_a_failed_or_cancelled_task_can_be_run_again(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    task = await send(world, max_retries=1)
    with pytest.raises(TaskConflict, match="is pending"):
        await desk.retry(task.id)
    (run,) = await lease(world)
    await runners.fail(task.id, run.token, "no")
    again = await desk.retry(task.id)
    assert (again.status, again.attempts) == ("pending", 0)
    (run,) = await lease(world)
    assert run.task.attempts == 1
    await runners.complete(task.id, run.token)
    with pytest.raises(TaskConflict, match="is completed"):
        await desk.retry(task.id)


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
    runners = world.service.tasks.runners
    call = RunnerCall("w", frozenset({"a"}), 1, LEASE_MS)
    waiting = [asyncio.ensure_future(runners.lease(call, 60_000)) for _ in range(2)]
    await until(lambda: world.service.tasks.room.number == 2)
    await send(world, "b")
    first = await send(world, "a")
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
    assert [run.task.id for task in done for run in task.result()] == [first.id]
    second = await send(world, "a")
    (waiter,) = left
    assert [run.task.id for run in await asyncio.wait_for(waiter, 10)] == [second.id]
    await world.service.tasks.room.loop.stop()


async def test_somebody_waits_for_the_end(world: World) -> None:
    desk = world.service.tasks.desk
    runners = world.service.tasks.runners
    task = await send(world)
    assert (await desk.wait(task.id, 1)).status == "pending"
    waiting = asyncio.create_task(desk.wait(task.id, 60_000))
    (run,) = await lease(world)
    await runners.complete(task.id, run.token, "7")
    assert (await asyncio.wait_for(waiting, 10)).result == "7"
    await world.service.tasks.room.loop.stop()


@pytest.mark.engines("sqlite")
async def test_a_stream_is_alive_at_the_beats_of_all_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it has room for a task or not."""
    part = world.service.tasks
    asked = []

    def until_beat(seconds: float) -> float:
        asked.append(seconds)
        return 0.01

    monkeypatch.setattr(http, "until_beat", until_beat)
    given = TaskListening(runner="w", names=frozenset({"work"}), prefetch=1, duration=LEASE_MS)
    async with asyncio.timeout(PATIENCE), aclosing(http._frames(part, given, None)) as frames:
        assert await anext(frames) == OPENED
        assert [await anext(frames) for _ in range(3)] == [PING] * 3
        task = await send(world, "work")
        frame = await anext(frames)
        while frame == PING:
            frame = await anext(frames)
        assert isinstance(frame, bytes)
        assert task.id.encode() in frame
        assert [await anext(frames) for _ in range(3)] == [PING] * 3
    assert set(asked) == {part.heartbeat_ms / 1000}


@pytest.mark.engines("sqlite")
async def test_idle_runners_ask_again_without_a_look(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nobody commits, nothing becomes ready, and their names were looked for."""
    runners, room = world.service.tasks.runners, world.service.tasks.room
    takes = 0
    take = runners._take

    async def counted(call: RunnerCall) -> list[Run]:
        nonlocal takes
        takes += 1
        return await take(call)

    monkeypatch.setattr(runners, "_take", counted)
    call = RunnerCall("w", frozenset({"a"}), 1, LEASE_MS)
    staying = asyncio.ensure_future(runners.lease(call, 60_000))
    await until(lambda: takes == 1 and room.has_nothing(call.names))
    for _ in range(5):
        assert await runners.lease(call, 1) == []
    assert takes == 1
    assert await runners.lease(call._replace(names=frozenset({"b"})), 1) == []
    assert takes == 2
    staying.cancel()
    await asyncio.wait([staying])

    await until(lambda: room.has_nothing(call.names))
    async with open_world(tmp_path / "kv.db", world.clock) as other:
        foreign = await send(other, "a")
        assert not room.has_nothing(call.names)
        assert [run.task.id for run in await runners.lease(call, 60_000)] == [foreign.id]
        own = await send(world, "a")
        assert not room.has_nothing(call.names)
        assert [run.task.id for run in await runners.lease(call, 60_000)] == [own.id]
    later = await send(world, "a", delay_ms=1_000)
    assert await runners.lease(call, 1) == []
    world.clock.advance(1_000)
    assert not room.has_nothing(call.names)
    assert [run.task.id for run in await runners.lease(call, 60_000)] == [later.id]
    await room.loop.stop()

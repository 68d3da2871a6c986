"""Schedules of one store, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput, NotFound
from buntime_plugin_keyval.features.schedules.feature import SCHEDULES
from buntime_plugin_keyval.features.schedules.part import SAID_BY_SCHEDULE, TASK_MEMBERS
from buntime_plugin_keyval.features.schedules.timing import Timing
from buntime_plugin_keyval.features.tasks.shapes import TaskMutation
from buntime_plugin_keyval.requests.shape import members_of
from keyval.service.world import World

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")

MINUTE = 60_000
DAILY_MS = 24 * 60 * MINUTE
TASK = {"name": "report", "payload": {"to": "ada"}, "maxRetries": 5}


async def step(*hosts: World) -> None:
    """Let hosts look at the same time whether anything is due, until nothing is."""
    while True:
        steps = [host.service.part(SCHEDULES).schedules._step() for host in hosts]
        if 0 not in await asyncio.gather(*steps):
            return


async def tasks(world: World) -> list[tuple[Any, ...]]:
    return await world.rows("SELECT name, payload FROM kv_tasks ORDER BY seq")


async def test_what_is_said_of_it_is_told(world: World) -> None:
    schedules, now = world.kv.schedules, world.clock.wall()
    made = await schedules.put("a", TASK, every="10m", missed="all")
    assert (made.name, made.every, made.cron, made.timezone) == ("a", 600_000, None, "UTC")
    assert (made.task, made.missed, made.paused, made.fires) == (TASK, "all", False, 0)
    assert made.next == [now + number * 600_000 for number in range(1, 6)]
    assert (made.created_at, made.updated_at, made.last_at) == (now, now, None)
    world.clock.advance(1000)
    made = await schedules.put("a", {"name": "b"}, cron="0 3 * * *", timezone="Europe/Lisbon")
    assert (made.cron, made.every, made.timezone) == ("0 3 * * *", None, "Europe/Lisbon")
    assert (made.task, made.missed) == ({"name": "b"}, "skip")
    assert (made.created_at, made.updated_at) == (now, now + 1000)
    await schedules.put("b/ü", {"name": "c"}, cron="@hourly", paused=True)
    assert [it.name for it in await schedules.list()] == ["a", "b/ü"]
    assert [it.name for it in await schedules.list("a", limit=1)] == ["b/ü"]
    assert (await schedules.list("a"))[0].next == []
    assert await schedules.get("c") is None
    assert [await schedules.delete("a"), await schedules.delete("a")] == [True, False]
    assert await schedules.get("a") is None


async def test_each_time_starts_one_task_whatever_hosts_look(world: World, other: World) -> None:
    await world.kv.schedules.put("a", TASK, every="1m")
    await step(world, other)
    assert await tasks(world) == []
    for number in range(1, 4):
        world.clock.advance(MINUTE)
        await step(world, other, world, other)
        assert await tasks(world) == [("report", '{"to":"ada"}')] * number
    found = await world.kv.schedules.get("a")
    assert found is not None
    assert (found.fires, found.last_at) == (3, world.clock.wall())
    assert found.next[0] == world.clock.wall() + MINUTE
    (last,) = await world.rows("SELECT id FROM kv_tasks ORDER BY seq DESC LIMIT 1")
    assert found.last_task == last[0]


@pytest.mark.parametrize(("missed", "started"), [("skip", 0), ("once", 1), ("all", 250)])
async def test_what_was_missed(world: World, missed: Any, started: int) -> None:
    made = await world.kv.schedules.put("a", TASK, every="10m", missed=missed)
    world.clock.advance(250 * 10 * MINUTE + 2 * MINUTE)
    await step(world)
    assert len(await tasks(world)) == started
    found = await world.kv.schedules.get("a")
    assert found is not None
    assert (found.next[0], found.fires) == (made.next[0] + 250 * 10 * MINUTE, started)


async def test_who_says_it_again_does_not_put_it_off(world: World) -> None:
    schedules = world.kv.schedules
    made = await schedules.put("a", TASK, every="10m")
    world.clock.advance(9 * MINUTE)
    again = await schedules.put("a", {"name": "other"}, every="10m", missed="once")
    assert again.next == made.next
    assert (await schedules.put("a", TASK, every="11m")).next[0] == made.next[0] + 10 * MINUTE


async def test_one_that_is_paused_starts_nothing(world: World) -> None:
    schedules = world.kv.schedules
    await schedules.put("a", TASK, every="1m", missed="all")
    await schedules.put("a", TASK, every="1m", missed="all", paused=True)
    world.clock.advance(10 * MINUTE)
    await step(world)
    assert await tasks(world) == []
    again = await schedules.put("a", TASK, every="1m", missed="all")
    assert again.next[0] == world.clock.wall() + MINUTE


async def test_one_is_started_by_hand_beside_its_times(world: World) -> None:
    schedules = world.kv.schedules
    made = await schedules.put("a", TASK, every="1m")
    task_id = await schedules.run("a", idempotency_key="k")
    assert await schedules.run("a", idempotency_key="k") == task_id
    assert await world.rows("SELECT id FROM kv_tasks") == [(task_id,)]
    found = await schedules.get("a")
    assert found is not None
    assert (found.next, found.fires) == (made.next, 0)
    with pytest.raises(NotFound, match="There is no schedule b"):
        await schedules.run("b")


@pytest.mark.parametrize("timing", [{"every": "1m"}, {"cron": "* * * * *"}])
@pytest.mark.parametrize("minutes", [60, 10 * 365 * 24 * 60])
async def test_pauses_go_on_when_the_clock_is_set_back(
    world: World, timing: dict[str, Any], minutes: int
) -> None:
    await world.kv.schedules.put("a", TASK, **timing)
    await step(world)
    world.clock.advance(MINUTE)
    await step(world)
    world.clock.step(-minutes * MINUTE)
    await step(world)
    assert len(await tasks(world)) == 1  # not at once
    for number in range(2, 4):
        world.clock.advance(MINUTE)
        await step(world)
        assert len(await tasks(world)) == number


async def test_a_clock_that_is_set_back_by_little_starts_no_time_of_a_day_again(
    world: World,
) -> None:
    made = await world.kv.schedules.put("a", TASK, cron="@daily")
    world.clock.advance(made.next[0] - world.clock.wall())
    await step(world)
    world.clock.advance(30 * MINUTE)
    world.clock.step(-60 * MINUTE)
    for _ in range(4):
        await step(world)
        world.clock.advance(30 * MINUTE)
    found = await world.kv.schedules.get("a")
    assert found is not None
    assert found.next == [*made.next[1:], made.next[-1] + DAILY_MS]
    assert len(await tasks(world)) == 1


async def test_times_found_by_a_wrong_clock_are_met_by_the_right_one(
    world: World, other: World
) -> None:
    right_ms = world.clock.wall()
    world.clock.step(10 * 365 * DAILY_MS)
    await world.kv.schedules.put("a", TASK, cron="@daily")
    world.clock.step(-10 * 365 * DAILY_MS)
    await step(other)  # which begins when the clock is right
    found = await world.kv.schedules.get("a")
    assert found is not None
    assert right_ms < found.next[0] <= right_ms + DAILY_MS
    world.clock.advance(found.next[0] - world.clock.wall())
    await step(world, other)
    assert len(await tasks(world)) == 1


@pytest.mark.parametrize("cron", ["@daily", "@weekly"])
@pytest.mark.parametrize("minutes", [2, 179, 200])
async def test_a_time_that_a_wrong_clock_passed_over_is_met(
    world: World, cron: str, minutes: int
) -> None:
    right_ms = Timing(cron=cron).next(world.clock.wall(), 0)
    assert right_ms is not None
    world.clock.advance(right_ms - world.clock.wall() - minutes * MINUTE)
    world.clock.step(7 * DAILY_MS)
    await world.kv.schedules.put("a", TASK, cron=cron)
    await step(world)
    world.clock.step(-7 * DAILY_MS)
    await step(world)
    found = await world.kv.schedules.get("a")
    assert found is not None
    assert found.next[0] == right_ms


@pytest.mark.parametrize("timing", [{"every": "1m"}, {"cron": "@daily"}])
async def test_hosts_whose_clocks_differ_a_little_take_nothing_back(
    world: World, timing: dict[str, Any]
) -> None:
    daily_ms = Timing(cron="@daily").next(world.clock.wall(), 0)
    assert daily_ms is not None
    world.clock.advance(daily_ms - world.clock.wall() + 2000)
    made = await world.kv.schedules.put("a", TASK, **timing)
    world.clock.step(-5000)  # as the clock of a host that begins later
    await step(world)
    found = await world.kv.schedules.get("a")
    assert found is not None
    assert found.next == made.next


async def test_one_at_a_time_where_the_task_says_so(world: World) -> None:
    await world.kv.schedules.put("a", {"name": "report", "unique": "a"}, every="1m")
    for _ in range(3):
        world.clock.advance(MINUTE)
        await step(world)
    assert len(await tasks(world)) == 1


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        (TASK, {}, "either cron or every is required"),
        (TASK, {"cron": "@daily", "every": "1m"}, "either cron or every is required"),
        (TASK, {"every": "1m", "timezone": "UTC"}, "timezone is for cron"),
        (TASK, {"every": "10ms"}, "every must be a duration from 1s to 366d"),
        (TASK, {"every": "1m", "missed": "some"}, "missed must be skip, once or all"),
        (TASK, {"cron": "every day"}, "cron must have five fields"),
        (TASK, {"cron": "@daily", "timezone": "Mars"}, "timezone must be the name of"),
        ("report", {"every": "1m"}, "task must be a mapping such as"),
        ({}, {"every": "1m"}, r"task\.name"),
        ({"name": "a", "payloat": 1}, {"every": "1m"}, "did you mean 'payload'"),
        ({"name": "a", "zzz": 1}, {"every": "1m"}, r"'zzz' in task \(known: name, payload, max"),
        ({"name": "a", "timeout": 0}, {"every": "1m"}, r"task\.timeout must be at least"),
        ({"name": "a", "id": "b"}, {"every": "1m"}, "task.id is not allowed"),
        ({"name": "a", "delay": "1s"}, {"every": "1m"}, "task.delay is not allowed"),
        ({"name": "a", "payload": "x" * 65_536}, {"every": "1m"}, "task too large: 65"),
        ({"name": object()}, {"every": "1m"}, "task has what JSON does not"),
    ],
)
async def test_what_means_nothing_is_refused(
    world: World, task: Any, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        await world.kv.schedules.put("a", task, **options)
    assert await world.kv.schedules.list() == []


def test_a_schedule_says_what_its_tasks_do_not() -> None:
    known = {name for name, member in members_of(TaskMutation).items() if member.name == name}
    assert {*TASK_MEMBERS, *SAID_BY_SCHEDULE} == known

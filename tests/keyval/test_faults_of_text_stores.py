"""What stores of text keys got wrong, by number, and the tests that say that this one does not.

Those of faults that a database may have run on every engine that may hold a store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from buntime_database import Transaction
from buntime_keyval import KvRecord, RecordPut
from buntime_plugin_keyval.config import Retention
from buntime_plugin_keyval.features.expiry.sweeper import Sweeper
from keyval.named_tests import engines_of
from keyval.service.world import World, until
from support.waiting import PATIENCE

ENGINES = ("sqlite", "libsql", "rqlite", "postgres")
everywhere = pytest.mark.engines(*ENGINES)

HERE = "keyval.test_faults_of_text_stores"
TASKS = "keyval.tasks.test_tasks"

FAULTS = {
    (1, "prefixes read everything"): (
        f"{HERE}.test_fault_1_a_prefix_is_a_range_of_keys",
        f"{HERE}.test_fault_1_a_prefix_is_meant_to_the_letter",
    ),
    (2, "times do not sort"): (f"{HERE}.test_fault_2_times_are_numbers_that_sort",),
    (3, "a crashed runner leaves its task running"): (
        f"{TASKS}.test_a_lease_that_ends_gives_the_task_back",
        f"{TASKS}.test_a_task_whose_last_runner_died_fails",
    ),
    (4, "a start is never written down"): (f"{TASKS}.test_a_task_from_its_beginning_to_its_end",),
    (5, "a cancelled task comes back when its runner is done"): (
        f"{TASKS}.test_a_cancelled_task_stays_cancelled",
        f"{TASKS}.test_the_place_of_a_cancelled_task_is_free_in_the_end",
    ),
    (6, "a task whose time is over is stranded"): (
        "keyval.tasks.test_runners.test_a_runner_says_what_came_of_each_task",
    ),
    (7, "a consumer that comes back reads on from an old position"): (
        f"{HERE}.test_fault_7_who_comes_back_goes_on_behind_what_others_did",
        "keyval.consumers.test_consumers.test_one_owner_at_a_time_and_the_late_one_changes_nothing",
    ),
    (8, "versions come again"): (
        f"{HERE}.test_fault_8_a_record_that_was_made_anew_is_another_one",
    ),
    (9, "a patch loses the type"): (f"{HERE}.test_fault_9_a_patch_keeps_the_type",),
    (10, "changes have no time"): (
        "keyval.stream.test_stream.test_fault_10_each_change_has_its_time",
    ),
    (11, "the stream grows for ever"): (f"{HERE}.test_fault_11_old_changes_go_by_themselves",),
    (12, "commands show base64, take objects alone, and tell errors on stdout"): (
        "client.cli.test_direct.test_fault_12_values_are_json_and_errors_are_not_output",
        "client.cli.test_direct.test_tasks_and_who_runs_them",
    ),
}

COMMANDS = 12
MINUTE_MS = 60_000


@dataclass
class Person:
    name: str


def keys_of(found: list[KvRecord[object]]) -> list[str]:
    return [record.key for record in found]


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{number} {words}" for number, words in FAULTS])
def test_each_fault_has_its_tests(fault: tuple[int, str]) -> None:
    for place in FAULTS[fault]:
        engines = engines_of(place)
        # Commands are the same whatever holds the store.
        assert engines >= {*ENGINES} or fault[0] == COMMANDS, place


async def plan_of(world: World, sql: str, args: Any) -> list[str]:
    """How the engine finds the rows of a query; of few rows it would read all, if it may."""
    if world.adapter.capabilities.dialect != "postgres":
        return [str(row[3]) for row in await world.rows(f"EXPLAIN QUERY PLAN {sql}", *args)]

    async def explain(transaction: Transaction) -> list[str]:
        await transaction.execute("SET LOCAL enable_seqscan = off")
        rows = await transaction.execute(f"EXPLAIN {sql}", args)
        return [str(text).strip() for row in rows for text in row.values()]

    return await world.plain.transaction(explain)


@everywhere
async def test_fault_1_a_prefix_is_a_range_of_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = world.kv.records()
    await records.mutate_all(*(RecordPut(key, 1) for key in ("a", "b/1", "b/2", "c")))
    asked: list[tuple[str, Any]] = []
    query = world.adapter.query

    async def note(sql: str, args: Any = (), **options: Any) -> Any:
        asked.append((sql, args))
        return await query(sql, args, **options)

    with monkeypatch.context() as noting:
        noting.setattr(world.adapter, "query", note)
        assert keys_of(await records.get_prefix("b")) == ["b/1", "b/2"]
        assert await records.count_prefix("b") == 2
        assert await records.delete_prefix("b") == 2
    assert len(asked) == 3
    is_postgres = world.adapter.capabilities.dialect == "postgres"
    found = "Index Cond: ((key >= " if is_postgres else "SEARCH kv_entries USING PRIMARY KEY (key>?"
    for sql, args in asked:
        steps = await plan_of(world, sql, args)
        assert [step for step in steps if step.startswith(found)], steps
        assert not [step for step in steps if step.startswith("SCAN kv_entries")], steps


@everywhere
async def test_fault_1_a_prefix_is_meant_to_the_letter(world: World) -> None:
    records = world.kv.records()
    keys = ("a%b", "a_b", "axb", "A%b", "a", "ab", "é1", "e1", "\U0010ffff1")
    await records.mutate_all(*(RecordPut(key, 1) for key in keys))
    assert keys_of(await records.get_prefix("a%")) == ["a%b"]
    assert keys_of(await records.get_prefix("a_")) == ["a_b"]
    assert keys_of(await records.get_prefix("A")) == ["A%b"]
    assert keys_of(await records.get_prefix("a")) == ["a", "a%b", "a_b", "ab", "axb"]
    assert keys_of(await records.get_prefix("é")) == ["é1"]
    assert keys_of(await records.get_prefix("\U0010ffff")) == ["\U0010ffff1"]
    assert await records.delete_prefix("a_") == 1
    assert await records.count_prefix("a") == 4


@everywhere
async def test_fault_2_times_are_numbers_that_sort(world: World) -> None:
    """As texts 5.15 would be before 5.1, and that before 5."""
    records, desk, start = world.kv.records(), world.service.tasks.desk, world.clock.now()
    delays = {"5": 5_000, "5.1": 5_100, "5.15": 5_150}
    for name, delay in delays.items():
        await world.kv.tasks.send("due", name, delay=delay)
    for name, delay in delays.items():
        world.clock.advance(start + delay - world.clock.now())
        await records.put(name, 1)
        leased = await world.kv.tasks.lease("w", limit=3)
        assert [task.payload for task in leased] == [name]
    assert await desk.counts() == {"due": {"running": 3}}
    found = await records.list()
    assert {record.key: record.created - start for record in found} == delays
    for number, delay in enumerate(delays.values()):
        page = await world.kv.stream.read(since=start + delay)
        assert [record.key[0] for record in page.records] == [*delays][number:]


@everywhere
async def test_fault_7_who_comes_back_goes_on_behind_what_others_did(world: World) -> None:
    kv = world.kv
    for number in range(3):
        await kv.set(["a", number], number)
    seqs = [record.seq for record in (await kv.stream.read()).records]
    first = kv.consumer("mailer", owner="first", batch=1, lock_duration="1m")
    reading = first.records(commit="each")
    assert (await anext(reading)).seq == seqs[0]
    world.clock.advance(MINUTE_MS)
    batch = await kv.consumers.fetch("mailer", "second")
    assert [record.seq for record in batch.records] == seqs
    assert await kv.consumers.commit("mailer", batch.token, seqs[1]) == seqs[1]
    assert await kv.consumers.release("mailer", "second")
    assert (await anext(reading)).seq == seqs[2]
    state = await kv.consumers.get("mailer")
    assert state is not None
    assert (state.position, state.owner) == (seqs[1], "first")
    first.stop()  # the record that was read last is done
    assert [record async for record in reading] == []
    state = await kv.consumers.get("mailer")
    assert state is not None
    assert (state.position, state.owner) == (seqs[2], None)


@everywhere
async def test_fault_8_a_record_that_was_made_anew_is_another_one(world: World) -> None:
    kv, records = world.kv, world.kv.records()
    await records.put("a", 1)
    first = await kv.get(["a"])
    await records.delete("a")
    await records.put("a", 2)
    again = await records.get("a")
    assert again is not None
    assert again.version == 1
    assert not (await kv.atomic().check(first).set(["a"], 3).commit()).ok
    assert (await kv.get(["a"])).value == 2


@everywhere
async def test_fault_9_a_patch_keeps_the_type(world: World) -> None:
    records = world.kv.records()
    await records.put("a", Person("Ada"))
    await records.patch("a", {"age": 1})
    (found,) = await records.get_type("Person")
    assert (found.key, found.version, found.value) == ("a", 2, {"name": "Ada", "age": 1})
    assert await records.get_type("dict") == []


@everywhere
async def test_fault_11_old_changes_go_by_themselves(world: World) -> None:
    kept = Retention()
    for number in range(4):
        await world.kv.set(["n", number], number)
        world.clock.advance(kept.age_ms // 2 + 1)
    sweeper = Sweeper(world.store, interval_ms=MINUTE_MS, retention=kept)
    sweeper.start()

    async def is_trimmed() -> bool:
        changes = await world.kv.changes()
        return [it.at for it in changes] == [world.clock.now() - kept.age_ms // 2 - 1]

    await until(is_trimmed)
    async with asyncio.timeout(PATIENCE):
        await sweeper.close()
    assert await world.kv.stream.seq() >= 4

"""Writes with a key of their caller's: done once, over processes and failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import buntime_keyval
import pytest
from buntime_database import DatabaseFull, Guard, GuardFailed, OutcomeUnknown
from buntime_keyval import (
    CommitResult,
    DeleteResult,
    IdempotencyKeyReused,
    InvalidInput,
    RequestUnderWay,
)
from buntime_plugin_keyval.engine import once as once_module
from buntime_plugin_keyval.engine.additions import Requirement
from buntime_plugin_keyval.engine.once import keyed, once_of
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.storage.dialects.sqlite.values import INLINE_BYTES
from buntime_plugin_keyval.storage.replays import NEWS_BATCH, Kept
from keyval.service.world import NOW_MS, FakeClock, World
from support.waiting import PATIENCE

OpenStore = Callable[..., AbstractAsyncContextManager[World]]


pytestmark = pytest.mark.engines("sqlite", "rqlite")


async def add(kv: LocalKv, key: str, amount: int = 1) -> CommitResult:
    return await kv.atomic().sum(["n"], amount).commit(idempotency_key=key)


async def kept(world: World) -> int:
    """How many results are in the table."""
    rows = await world.rows("SELECT keys FROM kv_replays WHERE keys <> ''")
    return sum(str(keys).count("\n") - 1 for (keys,) in rows)


async def test_over_processes(world: World, other: World) -> None:
    """Both try it at a time, and the slower one finds the result of the other."""
    for number in range(20):
        first, second = await asyncio.gather(
            add(world.kv, f"k{number}"), add(other.kv, f"k{number}")
        )
        assert first == second
    assert (await world.kv.get(["n"])).value == 20
    with pytest.raises(IdempotencyKeyReused):
        await add(other.kv, "k0", 2)


async def test_one_that_is_under_way_is_told_so(world: World) -> None:
    first = asyncio.create_task(add(world.kv, "k"))
    await asyncio.sleep(0)
    with pytest.raises(RequestUnderWay) as raised:
        await add(world.kv, "k")
    assert (raised.value.status, raised.value.code) == (409, "KEYVAL_REQUEST_UNDER_WAY")
    assert await add(world.kv, "another") is not None
    assert await first == await add(world.kv, "k")
    assert (await world.kv.get(["n"])).value == 2


async def test_one_whose_caller_has_gone_is_under_way_until_it_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.adapter.batch_each
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(batches: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await commit(batches)

    with monkeypatch.context() as patch:
        patch.setattr(world.adapter, "batch_each", wait)
        first = asyncio.create_task(add(world.kv, "k"))
        await begun.wait()
        first.cancel()
        await asyncio.wait([first])
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(RequestUnderWay):
                await add(world.kv, "k")
        go_on.set()
        await world.kv.set(["behind"], 1)
    assert (await add(world.kv, "k")).ok
    assert (await world.kv.get(["n"])).value == 1


@pytest.mark.parametrize("late_groups", [0, 10])
async def test_a_result_that_is_forgotten_while_it_is_looked_for(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch, late_groups: int
) -> None:
    """The key is free again then, so the write is made as if it were new."""
    await add(world.kv, "looks")
    first = await add(other.kv, "k")
    commit = world.adapter.batch_each
    failures = 0

    async def forget(batches: Any) -> Any:
        nonlocal failures
        outcomes = await commit(batches)
        if any(isinstance(outcome, GuardFailed) for outcome in outcomes):
            failures += 1
            await world.adapter.execute("DELETE FROM kv_replays")
        return outcomes

    monkeypatch.setattr(world.adapter, "batch_each", forget)
    monkeypatch.setattr(once_module, "LOOK_SECONDS", 1e9)
    monkeypatch.setattr(world.kv._store._committer, "_late_groups", late_groups)
    second = await add(world.kv, "k")
    assert failures == 1
    assert second.versionstamp != first.versionstamp
    assert (await world.kv.get(["n"])).value == 3
    assert await add(world.kv, "k") == second


async def test_a_result_that_is_kept_between_the_look_and_the_commit(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.adapter.batch_each
    told: list[CommitResult] = []

    async def come_between(batches: Any) -> Any:
        if not told:
            told.append(await add(other.kv, "k"))
        return await commit(batches)

    monkeypatch.setattr(world.adapter, "batch_each", come_between)
    results = await asyncio.gather(add(world.kv, "k"), add(world.kv, "new"), world.kv.set(["a"], 1))
    assert results[0] == told[0]
    assert (await world.kv.get(["n"])).value == 2
    assert (await world.kv.get(["a"])).value == 1
    with pytest.raises(IdempotencyKeyReused):
        await add(world.kv, "k", 2)


async def test_a_failed_write_keeps_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the same key may be used again: nothing was done under it."""

    async def fail(batches: Any) -> Any:
        return [DatabaseFull("the disk is full") for _ in batches]

    with monkeypatch.context() as patch:
        patch.setattr(world.adapter, "batch_each", fail)
        with pytest.raises(DatabaseFull):
            await add(world.kv, "k")
    await world.kv.set(["s"], "text")
    with pytest.raises(InvalidInput):
        await world.kv.atomic().sum(["s"], 1).commit(idempotency_key="s")
    assert await kept(world) == 0
    await add(world.kv, "k")
    assert (await world.kv.get(["n"])).value == 1


async def test_a_repetition_is_told_though_it_would_be_refused_now(world: World) -> None:
    """What was a number is a text by now, what was missing is there."""
    kv = world.kv
    create = kv.atomic().check(await kv.get(["c"])).set(["c"], 1)
    results = [
        await kv.atomic().sum(["n"], 1).commit(idempotency_key="sum"),
        await create.commit(idempotency_key="create"),
    ]
    await kv.set(["n"], "text")
    assert results == [
        await kv.atomic().sum(["n"], 1).commit(idempotency_key="sum"),
        await create.commit(idempotency_key="create"),
    ]
    assert (await kv.get(["n"])).value == "text"
    # And a check that did not hold does not hold the second time.
    checked = kv.atomic().check(await kv.get(["none"])).set(["x"], 1)
    await kv.set(["none"], 1)
    assert not (await checked.commit(idempotency_key="check")).ok
    await kv.delete(["none"])
    assert not (await checked.commit(idempotency_key="check")).ok
    assert not (await kv.get(["x"])).exists


async def test_many_in_one_group(world: World) -> None:
    results = await asyncio.gather(*(add(world.kv, f"k{n}") for n in range(50)))
    again = await asyncio.gather(
        *(add(world.kv, f"k{n}") for n in range(50)),
        *(world.kv.set(["other", n], n) for n in range(50)),
    )
    assert list(again[:50]) == list(results)
    assert (await world.kv.get(["n"])).value == 50
    assert await world.kv.count(["other"]) == 50


async def test_a_group_keeps_its_results_in_one_row(world: World) -> None:
    kv = world.kv
    await asyncio.gather(*(add(kv, f"k{n}") for n in range(20)), kv.set(["a"], 1))
    assert await world.rows("SELECT count(*), max(seq) FROM kv_replays") == [(1, 20)]


async def test_a_group_of_which_a_part_fails(world: World) -> None:
    """Each is done, and kept, on its own then."""
    kv = world.kv
    await kv.set(["s"], "text")
    false = [Requirement(Guard("1 = 2"))]

    async def guarded() -> object:
        return await world.store.commit(false, [], once=keyed("guarded", b"it"))

    results = await asyncio.gather(
        kv.set(["a"], 1, idempotency_key="a"),
        guarded(),
        add(kv, "n"),
        kv.atomic().sum(["s"], 1).commit(idempotency_key="s"),
        kv.delete(["s"], exact=True, idempotency_key="d"),
        kv.set(["b"], 1),
        return_exceptions=True,
    )
    assert results[1] is None
    assert isinstance(results[3], InvalidInput)
    assert await world.rows("SELECT keys FROM kv_replays ORDER BY seq") == [
        ("\na\n",), ("\nn\n",), ("\nd\n",),
    ]  # fmt: skip
    again = await asyncio.gather(
        kv.set(["a"], 1, idempotency_key="a"),
        add(kv, "n"),
        kv.delete(["s"], exact=True, idempotency_key="d"),
    )
    assert [*again] == [results[0], results[2], results[4]]
    assert await kv.count() == 3


async def test_an_error_of_a_write_with_a_key_concerns_no_other(world: World) -> None:
    kv = world.kv
    await kv.set(["s"], "text")
    refused, added, deleted = await asyncio.gather(
        kv.atomic().sum(["s"], 1).commit(idempotency_key="s"),
        kv.atomic().sum(["n"], 1).commit(),
        kv.delete(["s"], exact=True),
        return_exceptions=True,
    )
    assert isinstance(refused, InvalidInput)
    assert added == CommitResult(True, (await kv.get(["n"])).versionstamp)
    assert deleted == DeleteResult(1)
    assert await kept(world) == 0


async def test_counts_of_several_writes_of_a_group(world: World) -> None:
    """Each deletion is told its own again, whatever stands between them."""
    kv = world.kv

    async def delete_all() -> list[Any]:
        keyed = [kv.delete(["d", n], idempotency_key=f"d{n}") for n in range(4)]
        found: list[Any] = await asyncio.gather(
            add(kv, "n"), *keyed, kv.enqueue(1, idempotency_key="m")
        )
        return [found[0], [result.deleted_count for result in found[1:-1]], found[-1]]

    for n in (1, 2, 2.5, 3):
        await kv.set(["d", int(n), n], n)
    first = await delete_all()
    assert first[1] == [0, 1, 2, 1]
    for n in range(4):
        await kv.set(["d", n], n)
    assert await delete_all() == first


async def test_over_a_restart(world: World, open_store: OpenStore) -> None:
    """All that is kept is found, over several pages of it."""
    first = [await add(world.kv, f"k{n}") for n in range(2 * NEWS_BATCH + 5)]
    async with open_store(world.clock) as later:
        again = await asyncio.gather(*(add(later.kv, f"k{n}") for n in range(len(first))))
        assert again == first
        assert (await later.kv.get(["n"])).value == len(first)
        with pytest.raises(IdempotencyKeyReused):
            await add(later.kv, "k7", 2)


async def test_what_is_known_is_no_more_than_what_is_kept(
    world: World, other: World, clock: FakeClock
) -> None:
    for number in range(30):
        await add((world, other)[number % 2].kv, f"k{number}")
    clock.advance(1000)
    await asyncio.gather(*(add(world.kv, f"new{number}") for number in range(5)))
    for one in (world, other):
        while await one.store.replays.forget(keep=8, age_ms=10_000):
            pass
        assert 8 <= one.store.replays.known <= 12  # a few may stand behind newer ones
    while await other.store.replays.forget(keep=8, age_ms=500):
        pass
    clock.advance(1000)
    assert await world.store.replays.forget(keep=8, age_ms=500) == 1
    assert await world.store.replays.forget(keep=8, age_ms=500) == 0
    assert await kept(world) == 0
    assert await add(other.kv, "new1") == await add(world.kv, "new1")
    assert (await world.kv.get(["n"])).value == 36


async def test_a_file_of_before_in_the_place_of_the_database(world: World) -> None:
    """What this process knows of the other history counts for nothing."""
    for number in range(5):
        await add(world.kv, f"k{number}")
    await world.adapter.execute("DELETE FROM kv_replays WHERE seq > 2")
    assert (await add(world.kv, "k3")).ok
    assert (await add(world.kv, "new")).ok
    assert (await world.kv.get(["n"])).value == 7
    await add(world.kv, "k1")
    assert (await world.kv.get(["n"])).value == 7


async def test_results_of_version_13(open_store: OpenStore, open_older_store: OpenStore) -> None:
    """Short ones, long ones and such with counts are told as before."""
    request = partial(once_of, operation="commit")
    long = [1] * INLINE_BYTES
    rows = [
        ("set", "0188-0000-7000-8000-000000000001", "null", "", None),
        ("deleted", "01880000-0000-7000-8000-000000000002", "null", "3,0,", None),
        ("told", "01880000-0000-7000-8000-000000000003", '{"a":1}', "", None),
        ("long", "01880000-0000-7000-8000-000000000004", "", "", 1),
    ]
    async with open_older_store(13) as world:
        text = json.dumps(long)
        await world.plain.execute("INSERT INTO kv_long_values (text) VALUES (?)", [text])
        for number, (key, stamp, told, counts, long_id) in enumerate(rows, 1):
            once = request(key)
            assert once is not None
            await world.plain.execute(
                "INSERT INTO kv_replays VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (number, key, once.fingerprint, stamp, told, counts, NOW_MS, long_id),
            )
    async with open_store() as world:
        found = {}
        for key, *_ in rows:
            once = request(key)
            assert once is not None
            found[key] = await world.store.replays.find(once)
        assert found == {
            "set": Kept(rows[0][1], None, []),
            "deleted": Kept(rows[1][1], None, [3, 0]),
            "told": Kept(rows[2][1], {"a": 1}, []),
            "long": Kept(rows[3][1], long, []),
        }
        assert await world.rows("SELECT count(*) FROM kv_long_values") == [(0,)]


async def test_an_unknown_outcome_is_resolved_by_the_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_each = world.adapter.batch_each

    async def lose(batches: Any) -> Any:
        await batch_each(batches)
        return [OutcomeUnknown("the connection broke") for _ in batches]

    async def lose_before(batches: Any) -> Any:
        return [OutcomeUnknown("the connection broke") for _ in batches]

    monkeypatch.setattr(world.adapter, "batch_each", lose)
    result = await add(world.kv, "k")
    assert (await world.kv.get(["n"])).versionstamp == result.versionstamp
    with pytest.raises(buntime_keyval.OutcomeUnknown):
        await world.kv.atomic().sum(["n"], 1).commit()  # without a key
    monkeypatch.setattr(world.adapter, "batch_each", lose_before)
    with pytest.raises(buntime_keyval.OutcomeUnknown):
        await add(world.kv, "k2")
    assert (await world.kv.get(["n"])).value == 2


async def test_deletions_by_a_filter(world: World) -> None:
    kv = world.kv
    for number in range(5):
        await kv.set(["d", number], {"name": "ÄÖÜ"})
    where = {"name": {"$containsi": "äö"}}
    for _ in range(2):
        result = await kv.delete(["d"], where=where, idempotency_key="k")
        assert result.deleted_count == 5
    await kv.set(["d", 7], {"name": "ÄÖÜ"})
    assert (await kv.delete(["d"], where=where, idempotency_key="k")).deleted_count == 5
    assert (await kv.get(["d", 7])).exists


@pytest.mark.engines("libsql", "rqlite", "postgres")
async def test_work_of_several_commits(world: World, other: World) -> None:
    done: list[str] = []

    async def work() -> int:
        done.append("work")
        return 7

    for each in (world, world, other):
        result = await each.store.replays.run(
            keyed("k", b"work"), work, keep=lambda told: told, recall=lambda kept: int(kept.told)
        )
        assert result == 7
    assert done == ["work"]
    assert await kept(world) == 1


async def test_results_are_forgotten_by_age_and_by_number(world: World, clock: FakeClock) -> None:
    for number in range(10):
        await add(world.kv, f"k{number}")
        clock.now_ms += 1000
    replays = world.store.replays
    while await replays.forget(keep=4, age_ms=3600_000):
        pass
    assert await kept(world) == 4
    await add(world.kv, "k9")  # the newest are there
    assert (await world.kv.get(["n"])).value == 10
    clock.now_ms += 3600_000
    while await replays.forget(keep=4, age_ms=3600_000):
        pass
    assert await kept(world) == 0
    await add(world.kv, "k9")
    assert (await world.kv.get(["n"])).value == 11


@pytest.mark.engines("sqlite")
async def test_a_write_without_a_key_has_no_statement_more(world: World) -> None:
    statements: list[str] = []

    def trace(_: Any, sql: str, __: Any) -> bool:
        statements.append(sql)
        return True

    await world.kv.set(["warm"], 1)
    world.adapter.get_raw_client().exec_trace = trace
    await world.kv.set(["a"], 1)
    await world.kv.delete(["a"])
    await world.kv.enqueue(1)
    world.adapter.get_raw_client().exec_trace = None
    assert statements
    assert not [sql for sql in statements if "kv_replays" in sql]

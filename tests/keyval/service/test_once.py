"""Writes with a key of their caller's: done once, over processes and failures."""

from __future__ import annotations

import asyncio
from typing import Any

import buntime_keyval
import pytest
from buntime_database import ConstraintViolation, DatabaseFull, OutcomeUnknown
from buntime_keyval import CommitResult, IdempotencyKeyReused, InvalidInput, RequestUnderWay
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import FakeClock, World


async def add(kv: LocalKv, key: str, amount: int = 1) -> CommitResult:
    return await kv.atomic().sum(["n"], amount).commit(idempotency_key=key)


async def kept(world: World) -> int:
    ((number,),) = await world.rows("SELECT count(*) FROM kv_replays")
    return int(number)


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
        async with asyncio.timeout(10):
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
    first = await add(other.kv, "k")
    await world.kv.set(["learns", "of the stamps"], 1)
    commit = world.adapter.batch_each

    async def forget(batches: Any) -> Any:
        outcomes = await commit(batches)
        if any(isinstance(outcome, ConstraintViolation) for outcome in outcomes):
            await world.adapter.execute("DELETE FROM kv_replays")
        return outcomes

    monkeypatch.setattr(world.adapter, "batch_each", forget)
    monkeypatch.setattr(world.kv._store._committer, "_late_groups", late_groups)
    second = await add(world.kv, "k")
    assert second.versionstamp != first.versionstamp
    assert (await world.kv.get(["n"])).value == 2


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

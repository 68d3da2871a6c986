"""Transactions in process: cached reads, conflicts, retries, and what their result says."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from buntime_database import DatabaseUnavailable
from buntime_keyval import AsyncTransaction, InvalidInput
from buntime_keyval._async import transactions
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import World, values

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql-replica")

KEY = ("k",)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that retries waited; they wait no longer, and randomness is three quarters."""
    waited: list[float] = []

    async def record(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(transactions, "sleep", record)
    monkeypatch.setattr(random, "uniform", lambda low, high: low + (high - low) * 0.75)
    return waited


async def test_what_it_wrote_is_committed_together(kv: LocalKv) -> None:
    await kv.set(KEY, 1)

    async def fn(tx: AsyncTransaction) -> str:
        entry = await tx.get(KEY)
        assert entry.value == 1
        tx.set(("set",), entry.value + 1)
        tx.sum(("sum",), 5)
        tx.max(("max",), 6)
        tx.min(("min",), "7")
        tx.append(("list",), [2])
        tx.prepend(("list",), [1])
        tx.delete(KEY)
        tx.enqueue("sent", delay=0)
        assert (tx.read_count, tx.write_count) == (1, 8)
        return "done"

    result = await kv.transaction(fn)
    assert (result.ok, result.value, result.error) == (True, "done", None)
    expected = {("list",): [1, 2], ("max",): 6, ("min",): 7, ("set",): 2, ("sum",): 5}
    assert await values(kv) == expected
    assert {entry.versionstamp async for entry in kv.list()} == {result.versionstamp}
    message = await kv.dequeue()
    assert message is not None
    assert message.value == "sent"


async def test_an_expiry_and_a_placeholder(world: World) -> None:
    async def fn(tx: AsyncTransaction) -> None:
        tx.set(("a", world.kv.uuidv7()), 1, expires_in="20ms")

    result = await world.kv.transaction(fn)
    assert await values(world.kv) == {("a", result.versionstamp): 1}
    world.clock.advance(20)
    assert await values(world.kv) == {}


async def test_reads_are_cached_across_single_and_batch(kv: LocalKv) -> None:
    await kv.set(("a",), 1)
    await kv.set((1,), "number")

    async def fn(tx: AsyncTransaction) -> None:
        first = await tx.get(("a",))
        await kv.set(("a",), 2)
        await kv.set(("b",), 2)
        batch = await tx.get([("a",), ("b",), ("a",), ("none",)])
        assert [entry.value for entry in batch] == [1, 2, 1, None]
        await kv.set(("b",), 3)
        assert await tx.get(("b",)) == batch[1]
        assert await tx.get(("a",)) == first
        assert (await tx.get([(True,), (1,)]))[1].value == "number"
        assert not await tx.get([])
        assert tx.read_count == 5

    result = await kv.transaction(fn)
    assert result.error == "conflict"


async def test_writes_are_not_seen_by_reads(kv: LocalKv) -> None:
    async def fn(tx: AsyncTransaction) -> None:
        tx.set(KEY, 1)
        assert not (await tx.get(KEY)).exists

    assert (await kv.transaction(fn)).ok


@pytest.mark.parametrize("change", ["changed", "created", "deleted", "same value again"])
@pytest.mark.parametrize("reads", ["single", "batch"])
async def test_a_foreign_change_of_what_was_read_is_a_conflict(
    kv: LocalKv, change: str, reads: str
) -> None:
    if change != "created":
        await kv.set(KEY, 1)
    runs = 0

    async def fn(tx: AsyncTransaction) -> None:
        nonlocal runs
        runs += 1
        await (tx.get(KEY) if reads == "single" else tx.get([("other",), KEY]))
        if change == "deleted":
            await kv.delete(KEY)
        else:
            await kv.set(KEY, 1 if change == "same value again" else 2)
        tx.set(("mine",), 1)

    result = await kv.transaction(fn)
    assert (result.ok, result.value, result.versionstamp) == (False, None, None)
    assert (result.error, runs) == ("conflict", 1)
    assert not (await kv.get(("mine",))).exists


async def test_what_was_not_read_may_change(kv: LocalKv) -> None:
    async def fn(tx: AsyncTransaction) -> None:
        await tx.get(("a",))
        await kv.set(("b",), 1)
        tx.sum(("b",), 1)

    assert (await kv.transaction(fn)).ok
    assert await values(kv) == {("b",): 2}


async def test_a_transaction_that_only_reads_is_checked_too(kv: LocalKv) -> None:
    async def calm(tx: AsyncTransaction) -> Any:
        return (await tx.get([("a",), ("b",)]))[0].value

    async def disturbed(tx: AsyncTransaction) -> None:
        await tx.get(("a",))
        await kv.set(("a",), 2)
        await tx.get(("b",))

    await kv.set(("a",), 1)
    result = await kv.transaction(calm)
    assert (result.ok, result.value) == (True, 1)
    assert (await kv.transaction(disturbed)).error == "conflict"


async def test_retries_run_again_with_fresh_reads(kv: LocalKv, pauses: list[float]) -> None:
    seen: list[Any] = []

    async def fn(tx: AsyncTransaction) -> int:
        seen.append((await tx.get(KEY)).value)
        if len(seen) < 4:
            await kv.set(KEY, len(seen))
        tx.set(("mine",), len(seen))
        return len(seen)

    result = await kv.transaction(fn, max_retries=5)
    assert (result.ok, result.value, seen) == (True, 4, [None, 1, 2, 3])
    assert pauses == pytest.approx(
        [0.0175, 0.0275, 0.0475]
    )  # 10 ms, doubled each time, and 7.5 of jitter
    assert (await kv.get(("mine",))).value == 4


async def test_retries_end(kv: LocalKv, pauses: list[float]) -> None:
    runs = 0

    async def fn(tx: AsyncTransaction) -> None:
        nonlocal runs
        runs += 1
        await tx.get(KEY)
        await kv.set(KEY, runs)

    result = await kv.transaction(fn, max_retries=2, retry_delay=100)
    assert (result.ok, result.error, runs) == (False, "conflict", 3)
    assert pauses == pytest.approx([0.175, 0.275])


async def test_an_exception_is_the_result_and_is_not_retried(
    kv: LocalKv, pauses: list[float]
) -> None:
    error = ValueError("no luck")

    async def fn(tx: AsyncTransaction) -> None:
        tx.set(KEY, 1)
        raise error

    result = await kv.transaction(fn, max_retries=3)
    assert (result.ok, result.error, result.message) == (False, "error", "no luck")
    assert result.exception is error
    assert pauses == []
    assert await values(kv) == {}


async def test_a_mutation_that_cannot_work_is_an_error(kv: LocalKv) -> None:
    await kv.set(KEY, "text")

    async def fn(tx: AsyncTransaction) -> None:
        tx.set(("mine",), 1)
        tx.sum(KEY, 1)

    result = await kv.transaction(fn)
    assert result.error == "error"
    assert isinstance(result.exception, InvalidInput)
    assert await values(kv) == {KEY: "text"}


async def test_refused_input_is_not_counted(kv: LocalKv) -> None:
    bad: Any = ()
    nothing: Any = None

    async def fn(tx: AsyncTransaction) -> tuple[int, int]:
        with pytest.raises(InvalidInput):
            tx.set(bad, 1)
        with pytest.raises(InvalidInput):
            tx.append(KEY, nothing)
        with pytest.raises(InvalidInput):
            await tx.get([KEY, bad])
        return tx.read_count, tx.write_count

    result = await kv.transaction(fn)
    assert (result.ok, result.value) == (True, (0, 0))


async def test_cancellation_passes_through(kv: LocalKv) -> None:
    reached = asyncio.Event()

    async def fn(tx: AsyncTransaction) -> None:
        tx.set(KEY, 1)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kv.transaction(fn))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await values(kv) == {}


async def test_use_after_the_end_is_refused(kv: LocalKv) -> None:
    kept: list[AsyncTransaction] = []

    async def fn(tx: AsyncTransaction) -> None:
        kept.append(tx)

    await kv.transaction(fn)
    (tx,) = kept
    uses: list[Any] = [
        lambda: tx.set(KEY, 1), lambda: tx.delete(KEY), lambda: tx.sum(KEY, 1),
        lambda: tx.max(KEY, 1), lambda: tx.min(KEY, 1), lambda: tx.append(KEY, [1]),
        lambda: tx.prepend(KEY, [1]),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(RuntimeError, match=r"^Transaction already committed$"):
            use()
    with pytest.raises(RuntimeError, match=r"^Transaction already committed$"):
        await tx.get(KEY)
    assert await values(kv) == {}


async def test_a_database_that_is_down_is_raised(world: World) -> None:
    async def fn(tx: AsyncTransaction) -> None:
        await world.adapter.close()
        tx.set(KEY, 1)

    with pytest.raises(DatabaseUnavailable):
        await world.kv.transaction(fn, max_retries=3)


@pytest.mark.parametrize("options", [{"max_retries": -1}, {"retry_delay": -1}])
async def test_negative_options_are_refused(kv: LocalKv, options: dict[str, Any]) -> None:
    async def fn(tx: AsyncTransaction) -> None:
        raise AssertionError

    with pytest.raises(InvalidInput, match="must not be negative"):
        await kv.transaction(fn, **options)


async def test_concurrent_counters_lose_nothing(kv: LocalKv) -> None:
    async def add(tx: AsyncTransaction) -> None:
        entry = await tx.get(KEY)
        await asyncio.sleep(0)
        tx.set(KEY, (entry.value or 0) + 1)

    runs = (kv.transaction(add, max_retries=100, retry_delay=0) for _ in range(40))
    results = await asyncio.gather(*runs)
    assert all(result.ok for result in results)
    assert (await kv.get(KEY)).value == 40

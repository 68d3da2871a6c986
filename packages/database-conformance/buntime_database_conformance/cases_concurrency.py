"""Many writers at once, in one adapter and in two."""

from __future__ import annotations

import asyncio

from buntime_database import (
    Adapter,
    Batch,
    DatabaseBusy,
    DatabaseError,
    Guard,
    GuardFailed,
    Statement,
    Transaction,
)

from buntime_database_conformance.dialect import INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect
from buntime_database_conformance.suite import Need, OpenAdapter, case

WORKERS, ROUNDS = 4, 8


async def _increment(adapter: Adapter, *, bounded: bool) -> None:
    """Read, then write if no other writer was faster, until it works."""
    while True:
        ((n,),) = await adapter.query("SELECT n FROM items WHERE id = 1", point=True)
        steps: list[Statement | Guard] = [
            Guard("(SELECT n FROM items WHERE id = ?) = ?", (1, n)),
            Statement("UPDATE items SET n = ? WHERE id = ?", (int(str(n)) + 1, 1)),
        ]
        (outcome,) = await adapter.batch_each([Batch(steps, bounded)])
        if not isinstance(outcome, DatabaseError):
            return
        if not isinstance(outcome, (GuardFailed, DatabaseBusy)):
            raise outcome


async def _count(adapters: list[Adapter]) -> None:
    await make_items(adapters[0], 1)

    async def work(adapter: Adapter, *, bounded: bool) -> None:
        for _ in range(ROUNDS):
            await _increment(adapter, bounded=bounded)

    async with asyncio.TaskGroup() as tasks:
        for number in range(WORKERS):
            for adapter in adapters:
                tasks.create_task(work(adapter, bounded=number % 2 == 0))
    wanted = 10 + WORKERS * ROUNDS * len(adapters)
    for adapter in adapters:
        rows = await adapter.query("SELECT n FROM items WHERE id = 1")
        expect(rows, [(wanted,)], "the sum of all increments")


@case()
async def guarded_increments_lose_nothing(open_adapter: OpenAdapter) -> None:
    await _count([await open_adapter()])


@case(Need.ONE_VIEW)
async def guarded_increments_of_two_adapters_lose_nothing(open_adapter: OpenAdapter) -> None:
    await _count([await open_adapter(), await open_adapter()])


@case(Need.SEVERAL_CONNECTIONS)
async def fresh_reads_see_the_writes_of_other_adapters(open_adapter: OpenAdapter) -> None:
    one, two = await open_adapter(), await open_adapter()
    await make_items(one)
    for number in range(20):
        writer, reader = (one, two) if number % 2 else (two, one)
        await writer.execute(INSERT, (number, "x", 0))
        rows = await reader.query("SELECT count(*) FROM items", point=number % 3 == 0, fresh=True)
        expect(rows, [(number + 1,)], "rows seen by the other adapter")
        again = await reader.query("SELECT count(*) FROM items")
        expect(again, rows, "rows seen by the next read, which is never behind an earlier one")


@case(Need.ONE_VIEW)
async def adapters_see_the_writes_of_each_other(open_adapter: OpenAdapter) -> None:
    one, two = await open_adapter(), await open_adapter()
    await make_items(one)
    for number in range(10):
        writer, reader = (one, two) if number % 2 else (two, one)
        await writer.execute(INSERT, (number, "x", 0))
        point = number % 3 == 0
        rows = await reader.query("SELECT count(*) FROM items", point=point)
        expect(rows, [(number + 1,)], f"rows seen by the other adapter, point={point}")


@case(Need.INTERACTIVE_TRANSACTIONS)
async def transactions_at_the_same_time_lose_nothing(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)

    async def work(tx: Transaction) -> None:
        row = await tx.execute_one("SELECT n FROM items WHERE id = 1")
        await asyncio.sleep(0)
        n = 0 if row is None else int(str(row["n"]))
        await tx.execute("UPDATE items SET n = ? WHERE id = 1", (n + 1,))

    await asyncio.gather(*(adapter.transaction(work) for _ in range(20)))
    expect(await adapter.query("SELECT n FROM items"), [(30,)], "the sum of all increments")


@case(Need.INTERACTIVE_TRANSACTIONS)
async def batches_wait_for_an_open_transaction(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    order: list[str] = []
    entered = asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await tx.execute(INSERT, (1, "x", 0))
        entered.set()
        for _ in range(20):
            await asyncio.sleep(0)
        await tx.execute(INSERT, (2, "x", 0))
        order.append("transaction")

    async def write() -> None:
        await entered.wait()
        await adapter.batch([Guard("(SELECT count(*) FROM items) = 2")])
        order.append("batch")

    await asyncio.gather(adapter.transaction(hold), write())
    expect(order, ["transaction", "batch"], "order")
    expect(await ids_in(adapter), [1, 2], "rows")

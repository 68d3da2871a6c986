"""Interactive transactions."""

from __future__ import annotations

import asyncio

from buntime_database import (
    ConstraintViolation,
    DatabaseError,
    InvalidStatement,
    Statement,
    Transaction,
    TransactionMisuse,
)

from buntime_database_conformance.dialect import COUNT, INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect, expect_raises
from buntime_database_conformance.suite import Need, OpenAdapter, case

INTERACTIVE = Need.INTERACTIVE_TRANSACTIONS


class _Stop(Exception):
    pass


@case(INTERACTIVE)
async def a_transaction_commits_and_passes_the_value_on(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)

    async def work(tx: Transaction) -> str:
        expect(await tx.execute(INSERT, (2, "b", 20)), [], "execute")
        row = await tx.execute_one("SELECT n FROM items WHERE id = ?", (2,))
        expect(row, {"n": 20}, "own write")
        result = await tx.execute_result("UPDATE items SET n = 0")
        expect((result.rowcount, result.rows), (2, []), "execute_result")
        expect(await tx.execute("SELECT n FROM items"), [{"n": 0}, {"n": 0}], "rows")
        expect(await tx.execute_one("SELECT n FROM items WHERE id = 9"), None, "no row")
        return "done"

    expect(await adapter.transaction(work), "done", "value")
    expect(await adapter.query("SELECT id, n FROM items ORDER BY id"), [(1, 0), (2, 0)], "rows")


@case(INTERACTIVE)
async def a_transaction_rolls_back_when_it_raises(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, (2, "b", 20))
        raise _Stop

    with expect_raises(_Stop, "the function's own error"):
        await adapter.transaction(work)
    expect(await ids_in(adapter), [1], "rows")
    await adapter.execute(INSERT, (3, "c", 30))
    expect(await ids_in(adapter), [1, 3], "rows of the next write")


@case(INTERACTIVE)
async def a_transaction_rolls_back_when_it_is_cancelled(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    written = asyncio.Event()

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, (2, "b", 20))
        written.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(adapter.transaction(work))
    await written.wait()
    task.cancel()
    with expect_raises(asyncio.CancelledError, "cancelled"):
        await task
    expect(await ids_in(adapter), [1], "rows")
    await adapter.execute(INSERT, (3, "c", 30))
    expect(await ids_in(adapter), [1, 3], "rows of the next write")


@case(INTERACTIVE)
async def a_cancelled_wait_for_the_turn_leaves_nothing_behind(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await tx.execute(INSERT, (1, "x", 0))
        entered.set()
        await leave.wait()

    async def never(tx: Transaction) -> None:
        await tx.execute(INSERT, (2, "x", 0))
        await asyncio.Event().wait()

    holding = asyncio.create_task(adapter.transaction(hold))
    await entered.wait()
    waiting = asyncio.create_task(adapter.transaction(never))
    await asyncio.sleep(0)
    waiting.cancel()
    with expect_raises(asyncio.CancelledError, "cancelled"):
        await waiting
    leave.set()
    await holding
    await adapter.execute(INSERT, (3, "x", 0))
    expect(await ids_in(adapter), [1, 3], "rows")


@case(INTERACTIVE)
async def an_error_of_a_statement_may_be_caught(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    if adapter.capabilities.dialect == "postgres":
        return  # there, every error ends the transaction
    await make_items(adapter, 1)

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, (2, "x", 0))
        with expect_raises(ConstraintViolation, "a row that exists"):
            await tx.execute(INSERT, (1, "x", 0))
        with expect_raises(InvalidStatement, "wrong SQL"):
            await tx.execute("SELEKT")
        await tx.execute(INSERT, (3, "x", 0))

    await adapter.transaction(work)
    expect(await ids_in(adapter), [1, 2, 3], "rows")


@case(INTERACTIVE)
async def statements_that_would_end_it_are_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, (1, "x", 0))
        for sql in ("COMMIT", "ROLLBACK", "BEGIN", "SELECT 1; COMMIT"):
            with expect_raises(InvalidStatement, sql):
                await tx.execute(sql)
        raise _Stop

    with expect_raises(_Stop, "the function's own error"):
        await adapter.transaction(work)
    expect(await ids_in(adapter), [], "rows")


@case(INTERACTIVE)
async def a_transaction_inside_another_is_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)

    async def inner(tx: Transaction) -> None:
        await tx.execute(INSERT, (9, "x", 0))

    async def outer(tx: Transaction) -> None:
        await tx.execute(INSERT, (1, "x", 0))
        with expect_raises(TransactionMisuse, "transaction"):
            await adapter.transaction(inner)
        with expect_raises(TransactionMisuse, "batch"):
            await adapter.batch([Statement(INSERT, (9, "x", 0))])
        with expect_raises(TransactionMisuse, "execute that writes"):
            await adapter.execute(INSERT, (9, "x", 0))
        with expect_raises(TransactionMisuse, "in a task of its own"):
            await asyncio.create_task(adapter.transaction(inner))
        with expect_raises(TransactionMisuse, "close"):
            await adapter.close()
        await tx.execute(INSERT, (2, "x", 0))

    await adapter.transaction(outer)
    expect(await ids_in(adapter), [1, 2], "rows")


@case(INTERACTIVE)
async def a_transaction_cannot_be_used_after_its_end(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    kept: list[Transaction] = []

    async def keep(tx: Transaction) -> None:
        kept.append(tx)

    async def keep_and_stop(tx: Transaction) -> None:
        kept.append(tx)
        raise _Stop

    await adapter.transaction(keep)
    with expect_raises(_Stop, "the function's own error"):
        await adapter.transaction(keep_and_stop)
    for tx in kept:
        with expect_raises(TransactionMisuse, "execute"):
            await tx.execute(INSERT, (1, "x", 0))
        with expect_raises(TransactionMisuse, "execute_one"):
            await tx.execute_one(COUNT)
    expect(await ids_in(adapter), [], "rows")


@case(INTERACTIVE, Need.SEVERAL_CONNECTIONS)
async def reads_do_not_see_an_open_transaction(open_adapter: OpenAdapter) -> None:
    adapter, other = await open_adapter(), await open_adapter()
    await make_items(adapter, 1)

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, (2, "x", 0))
        for reader in (adapter, other):
            for point in (False, True):
                expect(await reader.query(COUNT, point=point), [(1,)], f"point={point}")
            expect((await reader.execute_result(COUNT)).rows, [(1,)], "execute_result")

    await adapter.transaction(work)
    for reader in (adapter, other):
        expect(await reader.query(COUNT, point=True), [(2,)], "after the commit")


@case(Need.NO_INTERACTIVE_TRANSACTIONS)
async def an_engine_without_transactions_says_so(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    called = False

    async def work(_: Transaction) -> None:
        nonlocal called
        called = True

    with expect_raises(DatabaseError, "transaction"):
        await adapter.transaction(work)
    expect(called, False, "the function was called")

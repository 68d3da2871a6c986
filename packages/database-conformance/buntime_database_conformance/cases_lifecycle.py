"""What an adapter says about itself, and its end."""

from __future__ import annotations

import asyncio

from buntime_database import Batch, DatabaseClosed, Statement, Transaction

from buntime_database_conformance.dialect import COUNT, INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect, expect_raises
from buntime_database_conformance.suite import Need, OpenAdapter, case


@case()
async def an_adapter_describes_itself(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    expect(isinstance(adapter.type, str) and bool(adapter.type), True, "type is a name")
    expect(adapter.tenant, None, "tenant of a root adapter")
    expect(adapter.get_raw_client() is not None, True, "raw client")


@case()
async def a_closed_adapter_says_so(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    await adapter.close()
    await adapter.close()
    await asyncio.gather(adapter.close(), adapter.close())
    for point in (False, True):
        with expect_raises(DatabaseClosed, f"query(point={point})"):
            await adapter.query(COUNT, point=point)
    with expect_raises(DatabaseClosed, "a read by execute"):
        await adapter.execute(COUNT)
    with expect_raises(DatabaseClosed, "a write by execute"):
        await adapter.execute(INSERT, (2, "x", 0))
    with expect_raises(DatabaseClosed, "batch"):
        await adapter.batch([Statement(INSERT, (2, "x", 0))])
    with expect_raises(DatabaseClosed, "batch_each"):
        await adapter.batch_each([Batch([Statement(INSERT, (2, "x", 0))])])


@case(Need.INTERACTIVE_TRANSACTIONS)
async def a_closed_adapter_opens_no_transaction(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await adapter.close()
    called = False

    async def work(_: Transaction) -> None:
        nonlocal called
        called = True

    with expect_raises(DatabaseClosed, "transaction"):
        await adapter.transaction(work)
    expect(called, False, "the function was called")


@case(Need.ONE_VIEW)
async def closing_finishes_the_writes_that_were_accepted(open_adapter: OpenAdapter) -> None:
    adapter, other = await open_adapter(), await open_adapter()
    await make_items(adapter)
    writes = [
        asyncio.create_task(adapter.execute(INSERT, (number, "x", 0))) for number in range(50)
    ]
    await asyncio.sleep(0)
    await adapter.close()
    for number, result in enumerate(await asyncio.gather(*writes, return_exceptions=True)):
        expect(result, [], f"result of write {number}")
    expect(await ids_in(other), list(range(50)), "rows")


@case(Need.ONE_VIEW)
async def what_was_written_is_there_when_it_is_opened_again(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2)
    await adapter.close()
    expect(await ids_in(await open_adapter()), [1, 2], "rows")


@case(Need.INTERACTIVE_TRANSACTIONS, Need.SEVERAL_CONNECTIONS)
async def closing_waits_for_an_open_transaction(open_adapter: OpenAdapter) -> None:
    adapter, other = await open_adapter(), await open_adapter()
    await make_items(adapter)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def work(tx: Transaction) -> str:
        await tx.execute(INSERT, (1, "x", 0))
        entered.set()
        await leave.wait()
        await tx.execute(INSERT, (2, "x", 0))
        return "done"

    holding = asyncio.create_task(adapter.transaction(work))
    await entered.wait()
    closing = asyncio.create_task(adapter.close())
    for _ in range(20):
        await asyncio.sleep(0)
    expect(closing.done(), False, "closed before the transaction ended")
    leave.set()
    await closing
    expect(await holding, "done", "value of the transaction")
    expect(await ids_in(other), [1, 2], "rows")


@case(Need.ONE_VIEW)
async def closing_one_adapter_leaves_the_other_open(open_adapter: OpenAdapter) -> None:
    adapter, other = await open_adapter(), await open_adapter()
    await make_items(adapter, 1)
    await adapter.close()
    await other.execute(INSERT, (2, "x", 0))
    expect(await ids_in(other), [1, 2], "rows")

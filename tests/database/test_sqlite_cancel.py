"""Tasks that are cancelled while they write, and the end of the loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import apsw
import pytest
from buntime_database import DatabaseClosed, Statement, Transaction, TransactionMisuse
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.thread import WorkThread
from database.support import OpenSqlite, Trace, eventually

INSERT = Statement("INSERT INTO t VALUES (1)")
COUNT = "SELECT count(*) FROM t"
ENDLESS = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    " INSERT INTO t SELECT x FROM c WHERE x < 0"
)


async def test_cancelling_interrupts_the_statement_that_runs(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    started = False

    async def work(tx: Transaction) -> None:
        nonlocal started
        await tx.execute(*INSERT)
        started = True
        await tx.execute(ENDLESS)

    task = asyncio.create_task(adapter.transaction(work))
    await eventually(lambda: started, "the endless statement")
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 5)
    assert not adapter.get_raw_client().in_transaction
    await adapter.execute(*INSERT)
    assert await adapter.query(COUNT) == [(1,)]


async def test_a_timeout_inside_a_transaction_ends_it(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")

    async def work(tx: Transaction) -> None:
        await tx.execute(*INSERT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await tx.execute(ENDLESS)

    with pytest.raises(TransactionMisuse, match="rolled back when a statement failed"):
        await adapter.transaction(work)
    assert await adapter.query(COUNT) == [(0,)]


async def test_a_cancelled_close_can_be_repeated(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    entered, leave = asyncio.Event(), asyncio.Event()

    async def work(tx: Transaction) -> None:
        entered.set()
        await leave.wait()
        await tx.execute(*INSERT)

    working = asyncio.create_task(adapter.transaction(work))
    await entered.wait()
    closing = asyncio.create_task(adapter.close())
    await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    leave.set()
    await working
    await adapter.close()
    with pytest.raises(apsw.ConnectionClosedError):
        adapter.get_raw_client().execute(COUNT)
    with pytest.raises(DatabaseClosed):
        await adapter.execute(*INSERT)


async def test_the_turn_is_kept_until_the_rollback_has_ended(open_sqlite: OpenSqlite) -> None:
    """However often the task is cancelled: the thread still has the connection."""
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    trace.hold["ROLLBACK"] = threading.Event()
    entered = asyncio.Event()

    async def work(tx: Transaction) -> None:
        await tx.execute(*INSERT)
        entered.set()
        await asyncio.Event().wait()

    working = asyncio.create_task(adapter.transaction(work))
    await entered.wait()
    working.cancel()
    await eventually(lambda: trace.count("ROLLBACK"), "the rollback")
    writing = asyncio.create_task(adapter.execute(*INSERT))
    for _ in range(3):
        working.cancel()
        await asyncio.sleep(0.005)
    assert not working.done()
    assert trace.count("BEGIN IMMEDIATE") == 1
    trace.hold["ROLLBACK"].set()
    with pytest.raises(asyncio.CancelledError):
        await working
    await writing
    assert await adapter.query(COUNT) == [(1,)]


async def test_a_commit_is_not_cut_short_by_a_cancellation(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    trace.hold["COMMIT"] = threading.Event()

    async def work(tx: Transaction) -> None:
        await tx.execute(*INSERT)

    working = asyncio.create_task(adapter.transaction(work))
    await eventually(lambda: trace.count("COMMIT"), "the commit")
    working.cancel()
    await asyncio.sleep(0.005)
    assert not working.done()
    trace.hold["COMMIT"].set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert trace.count("ROLLBACK") == 0
    assert await adapter.query(COUNT) == [(1,)]


async def test_nobody_waits_for_ever_if_the_committing_task_is_ended(
    open_sqlite: OpenSqlite,
) -> None:
    adapter, other = open_sqlite(), open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    other.get_raw_client().execute("BEGIN IMMEDIATE")
    writes = [asyncio.create_task(adapter.execute(*INSERT)) for _ in range(3)]
    await asyncio.sleep(0.01)
    (draining,) = (task for task in asyncio.all_tasks() if "_drain" in repr(task.get_coro()))
    writes.append(asyncio.create_task(adapter.execute(*INSERT)))
    await asyncio.sleep(0)
    draining.cancel()
    results = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 5)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    other.get_raw_client().execute("ROLLBACK")
    await adapter.execute(*INSERT)
    assert await adapter.query(COUNT) == [(1,)]


def test_the_end_of_the_loop_ends_waiting_writes(tmp_path: Path) -> None:
    """Nobody hangs, and no lock stays behind."""
    path = str(tmp_path / "test.db")

    async def main() -> tuple[SqliteAdapter, SqliteAdapter]:
        adapter, other = SqliteAdapter(path), SqliteAdapter(path)
        await adapter.execute("CREATE TABLE t (x)")
        other.get_raw_client().execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(adapter.execute(*INSERT))
        await asyncio.sleep(0.02)
        assert not writing.done()
        return adapter, other

    adapter, other = asyncio.run(main())
    other.get_raw_client().execute("ROLLBACK")
    assert not adapter.get_raw_client().in_transaction

    async def close() -> None:
        await adapter.execute(*INSERT)
        assert await other.query(COUNT) == [(1,)]
        await adapter.close()
        await other.close()

    asyncio.run(close())


@pytest.mark.parametrize("is_waiting", [True, False], ids=["waiting", "about to wait"])
async def test_who_is_cancelled_waits_for_the_work_in_the_thread(*, is_waiting: bool) -> None:
    thread = WorkThread("test")
    may_end, begun = threading.Event(), asyncio.Event()
    hurried = 0

    def hurry() -> None:
        nonlocal hurried
        hurried += 1

    async def wait() -> None:
        working = thread.submit(may_end.wait, hurry)
        begun.set()
        if not is_waiting:
            me = asyncio.current_task()
            assert me is not None
            me.cancel()
        await working

    task = asyncio.create_task(wait())
    await begun.wait()
    if is_waiting:
        task.cancel()
    assert hurried == 1
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hurried == 1
    thread.close()

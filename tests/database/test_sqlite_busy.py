"""Several processes on one file."""

from __future__ import annotations

import asyncio
import time

import pytest
from buntime_database import Batch, DatabaseBusy, Statement, Transaction
from database.support import OpenSqlite, lock_held_elsewhere

INSERT = Statement("INSERT INTO t VALUES (1)")


async def test_a_lock_that_is_freed_in_time_is_waited_for(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(busy_timeout_ms=60_000)
    await adapter.execute("CREATE TABLE t (x)")
    for bounded in (True, False):
        async with lock_held_elsewhere(adapter.path) as release:
            writing = asyncio.create_task(adapter.batch_each([Batch([INSERT], bounded)]))
            # Who waited on the event loop would keep it until the time is over.
            for _ in range(30):
                await asyncio.sleep(0.01)
            assert not writing.done()
            await release()
            (outcome,) = await writing
            assert isinstance(outcome, list)
            assert outcome[0].rowcount == 1


async def test_a_lock_that_is_held_too_long(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(busy_timeout_ms=100)
    await adapter.execute("CREATE TABLE t (x)")

    async def work(tx: Transaction) -> None:
        await tx.execute(*INSERT)

    async with lock_held_elsewhere(adapter.path):
        started = time.monotonic()
        outcomes = await adapter.batch_each([Batch([INSERT], True), Batch([INSERT])])
        assert [type(outcome) for outcome in outcomes] == [DatabaseBusy, DatabaseBusy]
        assert time.monotonic() - started >= 0.1
        with pytest.raises(DatabaseBusy):
            await adapter.execute(*INSERT)
        with pytest.raises(DatabaseBusy):
            await adapter.transaction(work)
        for point in (False, True):
            assert await adapter.query("SELECT count(*) FROM t", point=point) == [(0,)]
    await adapter.transaction(work)
    await adapter.execute(*INSERT)
    assert await adapter.query("SELECT count(*) FROM t") == [(2,)]


async def test_all_who_wait_for_a_lock_give_up_together(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(busy_timeout_ms=1000)
    await adapter.execute("CREATE TABLE t (x)")
    async with lock_held_elsewhere(adapter.path):
        started = time.monotonic()
        results = await asyncio.gather(
            *(adapter.execute(*INSERT) for _ in range(60)), return_exceptions=True
        )
        assert {type(result) for result in results} == {DatabaseBusy}
        # One after the other they would wait for a minute.
        assert time.monotonic() - started < 30, "each waited for its own timeout"


async def test_a_cancelled_wait_for_the_lock_leaves_no_transaction(
    open_sqlite: OpenSqlite,
) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    entered = False

    async def work(tx: Transaction) -> None:
        nonlocal entered
        entered = True

    async with lock_held_elsewhere(adapter.path) as release:
        waiting = asyncio.create_task(adapter.transaction(work))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await release()
    assert not entered
    assert not adapter.get_raw_client().in_transaction
    await adapter.execute(*INSERT)
    assert await adapter.query("SELECT count(*) FROM t") == [(1,)]


async def test_opening_does_not_need_the_lock(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    async with lock_held_elsewhere(adapter.path):
        other = open_sqlite()
        assert await other.query("SELECT count(*) FROM t") == [(0,)]


async def test_what_another_process_wrote_is_seen_at_once(open_sqlite: OpenSqlite) -> None:
    adapter, other = open_sqlite(), open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    for number in range(1, 20):
        await other.execute(*INSERT)
        point = number % 2 == 0
        assert await adapter.query("SELECT count(*) FROM t", point=point) == [(number,)]

"""Writes share commits, and what runs where."""

from __future__ import annotations

import asyncio
import threading

import pytest
from buntime_database import Batch, DatabaseError, Statement
from buntime_plugin_database.engines.sqlite import writer
from database.support import OpenSqlite, Trace, eventually

INSERT = "INSERT INTO t VALUES (?)"


def insert(number: int, *, bounded: bool = False) -> Batch:
    return Batch([Statement(INSERT, (number,))], bounded)


async def test_fifty_writes_at_once_share_one_commit(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    await asyncio.gather(*(adapter.execute(INSERT, (number,)) for number in range(50)))
    assert trace.count("BEGIN IMMEDIATE") == trace.count("COMMIT") == 1
    assert trace.count("SAVEPOINT all_batches") == 1
    assert trace.count("ROLLBACK TO all_batches") == 0
    assert trace.count(INSERT) == 50
    assert await adapter.query("SELECT count(*) FROM t") == [(50,)]


async def test_writes_that_arrive_during_a_commit_join_the_next(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    trace.hold["COMMIT"] = threading.Event()
    first = asyncio.create_task(adapter.execute(INSERT, (0,)))
    await eventually(lambda: trace.count("COMMIT") == 1, "the first commit")
    others = [asyncio.create_task(adapter.execute(INSERT, (n,))) for n in range(1, 50)]
    await asyncio.sleep(0)
    assert not first.done()
    assert await adapter.query("SELECT count(*) FROM t", point=True) == [(0,)]
    trace.hold["COMMIT"].set()
    await asyncio.gather(first, *others)
    assert trace.count("COMMIT") == 2
    assert trace.count(INSERT) == 50


async def test_what_was_gathered_is_written_at_once_unless_others_write(
    open_sqlite: OpenSqlite,
) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    trace.hold["COMMIT"] = threading.Event()
    first = asyncio.create_task(adapter.batch_each([insert(0, bounded=True), insert(1)]))
    await eventually(lambda: trace.count("COMMIT") == 1, "the first commit")
    later = [
        asyncio.create_task(adapter.batch_each([insert(2)])),
        asyncio.create_task(adapter.execute(INSERT, (3,))),
    ]
    await asyncio.sleep(0)
    assert trace.count("BEGIN IMMEDIATE") == 1
    trace.hold["COMMIT"].set()
    await asyncio.gather(first, *later)
    assert trace.count("COMMIT") == 2
    assert await adapter.query("SELECT x FROM t ORDER BY rowid") == [(0,), (1,), (2,), (3,)]


async def test_who_leaves_while_his_batches_are_committed_has_them_written(
    open_sqlite: OpenSqlite,
) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    trace.hold["COMMIT"] = threading.Event()
    leaving = asyncio.create_task(adapter.batch_each([insert(0, bounded=True)]))
    await eventually(lambda: trace.count("COMMIT") == 1, "the commit")
    leaving.cancel()
    trace.hold["COMMIT"].set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await adapter.execute(INSERT, (1,))
    assert await adapter.query("SELECT x FROM t ORDER BY rowid") == [(0,), (1,)]


async def test_of_results_that_nobody_wants_there_are_none(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    steps = [Statement(INSERT, (number,)) for number in range(3)]
    outcomes = await adapter.batch_each(
        [Batch(steps, wanted=(1,)), Batch(steps, wanted=()), Batch(steps)]
    )
    counts = [
        [result.rowcount for result in outcome] if isinstance(outcome, list) else outcome
        for outcome in outcomes
    ]
    assert counts == [[0, 1, 0], [0, 0, 0], [1, 1, 1]]


async def test_no_write_is_acknowledged_before_its_commit(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    for bounded in (False, True):
        trace = Trace(adapter)
        trace.hold["COMMIT"] = threading.Event()
        writing = asyncio.create_task(adapter.batch_each([insert(1, bounded=bounded)] * 2))
        await eventually(lambda: "COMMIT" in trace.statements, "the commit")  # noqa: B023
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        trace.hold["COMMIT"].set()
        await writing


async def test_a_failed_write_costs_the_others_nothing(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x UNIQUE)")
    trace = Trace(adapter)
    outcomes = await adapter.batch_each([insert(1), insert(1), insert(2)])
    assert [isinstance(outcome, DatabaseError) for outcome in outcomes] == [False, True, False]
    assert trace.count("COMMIT") == 1
    assert trace.count("ROLLBACK TO all_batches") == trace.count("ROLLBACK TO one_batch") == 1
    assert await adapter.query("SELECT x FROM t") == [(1,), (2,)]


async def test_a_group_is_limited_so_that_the_loop_is_not_held(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    await asyncio.gather(
        *(adapter.batch_each([insert(n, bounded=True) for n in range(100)]) for _ in range(5))
    )
    assert trace.count("COMMIT") == 3
    assert await adapter.query("SELECT count(*) FROM t") == [(500,)]


async def test_bounded_batches_run_on_the_loop_and_commit_in_the_thread(
    open_sqlite: OpenSqlite,
) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    await adapter.batch_each([insert(1, bounded=True)])
    here = threading.get_ident()
    assert trace.threads["BEGIN IMMEDIATE"] == trace.threads[INSERT] == here
    assert trace.threads["COMMIT"] != here


@pytest.mark.parametrize("path", ["db", ":memory:"])
async def test_what_takes_longer_goes_on_in_the_thread(
    open_sqlite: OpenSqlite, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Even a short statement may take long, such as one that replaces megabytes."""
    monkeypatch.setattr(writer, "INLINE_SECONDS", 0)
    adapter = open_sqlite(path)
    await adapter.execute("CREATE TABLE t (x UNIQUE)")
    trace = Trace(adapter)
    batches = [insert(number, bounded=True) for number in (1, 1, 2, 3)]
    first, again, *others = await adapter.batch_each(batches)
    assert isinstance(again, DatabaseError)
    assert not any(isinstance(outcome, DatabaseError) for outcome in (first, *others))
    assert await adapter.query("SELECT x FROM t") == [(1,), (2,), (3,)]
    here = threading.get_ident()
    assert trace.threads["SAVEPOINT all_batches"] == here
    assert (trace.threads[INSERT] == here) == (path == ":memory:")
    assert trace.threads[INSERT] == trace.threads["COMMIT"]
    (alone,) = await adapter.batch_each([insert(4, bounded=True)])
    assert not isinstance(alone, DatabaseError)


async def test_other_batches_run_in_the_thread(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    await adapter.batch_each([insert(1), insert(2, bounded=True)])
    assert threading.get_ident() not in (trace.threads[INSERT], trace.threads["COMMIT"])
    assert trace.threads[INSERT] == trace.threads["COMMIT"]


async def test_in_memory_there_is_no_thread(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(":memory:")
    await adapter.execute("CREATE TABLE t (x)")
    trace = Trace(adapter)
    before = threading.active_count()
    await adapter.batch_each([insert(1), insert(2)])
    assert set(trace.threads.values()) == {threading.get_ident()}
    assert threading.active_count() == before


async def test_a_point_read_runs_on_the_loop_and_a_scan_does_not(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    before = {thread.name for thread in threading.enumerate()}
    await adapter.query("SELECT count(*) FROM t", point=True)
    assert {thread.name for thread in threading.enumerate()} == before
    await adapter.query("SELECT count(*) FROM t")
    started = {thread.name for thread in threading.enumerate()} - before
    assert any(name.startswith("sqlite-reader") for name in started)


async def test_nobody_is_told_the_rowid_of_another_ones_insert(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x PRIMARY KEY)")
    first, second, third = await asyncio.gather(
        adapter.execute_result("INSERT INTO t VALUES (1)"),
        adapter.execute_result("INSERT INTO t VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 5"),
        adapter.execute_result("UPDATE t SET x = 6"),
    )
    assert (first.rowcount, first.lastrowid) == (1, 1)
    assert (second.rowcount, second.lastrowid) == (1, None)
    assert (third.rowcount, third.lastrowid) == (1, None)

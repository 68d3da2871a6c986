"""Reads beside writes, and reads that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
from buntime_database import DatabaseClosed, DatabaseLost, ResultTooLarge, Transaction
from buntime_plugin_database.engines.sqlite import readers
from buntime_plugin_database.engines.sqlite.statements import run
from database.support import OpenSqlite, eventually

COUNT = "SELECT count(*) FROM t"
ENDLESS = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    " SELECT count(*) FROM c WHERE x < 0"
)
LONG = ENDLESS.replace("FROM c)", "FROM c WHERE x < 5000000)")


async def test_reads_go_on_during_a_long_write(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    fill = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000)"
        " INSERT INTO t SELECT x FROM c"
    )
    done = False

    async def work(tx: Transaction) -> None:
        nonlocal done
        for _ in range(3):
            await tx.execute(fill)
        done = True

    writing = asyncio.create_task(adapter.transaction(work))
    reads = 0
    while not done:
        for point in (False, True):
            assert await adapter.query(COUNT, point=point) == [(0,)]
        reads += 1
        await asyncio.sleep(0)
    await writing
    assert reads > 1
    assert await adapter.query(COUNT) == [(300_000,)]


async def test_a_cancelled_scan_is_interrupted(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(readers=1)
    await adapter.execute("CREATE TABLE t (x)")
    for _ in range(3):
        scan = asyncio.create_task(adapter.query(ENDLESS))
        await asyncio.sleep(0.02)
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
        # There is one thread: this would wait for ever behind the scan.
        assert await asyncio.wait_for(adapter.query(COUNT), 5) == [(0,)]


async def test_scans_run_beside_each_other(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(readers=2)
    await adapter.execute("CREATE TABLE t (x)")
    endless = asyncio.create_task(adapter.query(ENDLESS))
    await asyncio.sleep(0.02)
    assert await asyncio.wait_for(adapter.query(COUNT), 5) == [(0,)]
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless


async def test_closing_waits_for_scans_without_holding_the_loop(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    scan = asyncio.create_task(adapter.query(LONG))
    await asyncio.sleep(0.005)
    assert not scan.done()
    closing = asyncio.create_task(adapter.close())
    turns = 0
    while not scan.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await scan == [(0,)]
    await closing
    assert turns > 3, "the loop went on while closing waited for the scan"
    with pytest.raises(DatabaseClosed):
        await adapter.query(COUNT)


async def test_a_small_read_is_prepared_once_whatever_its_limit(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    assert adapter._readers is not None
    preparing = 0

    def authorize(action: int, *_: str | None) -> int:
        nonlocal preparing
        preparing += action == apsw.SQLITE_SELECT
        return apsw.SQLITE_OK

    adapter._readers._inline.authorizer = authorize
    seen = []
    for limit in range(5):
        await adapter.query("SELECT x FROM t LIMIT ?", (limit,), point=True)
        seen.append(preparing)
    assert seen == [seen[0]] * 5


async def test_a_long_text_is_not_read_on_the_event_loop(
    open_sqlite: OpenSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = open_sqlite()
    threads: list[str] = []

    def noted(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return run(*args)

    monkeypatch.setattr(readers, "run", noted)
    short, long = readers.INLINE_BYTES - 1, readers.INLINE_BYTES + 1
    assert await adapter.query("SELECT length(CAST(zeroblob(?) AS TEXT))", (short,), point=True)
    assert threads == []
    ((blob,),) = await adapter.query("SELECT zeroblob(?)", (long,), point=True)
    assert blob == bytes(long)
    assert len(threads) == 1
    assert threads[0].startswith("sqlite-reader")
    with pytest.raises(ResultTooLarge):
        await adapter.query("SELECT hex(zeroblob(?))", (1000,), point=True, max_bytes=1000)
    assert len(threads) == 1


async def test_the_version_of_the_data_changes_with_every_commit(open_sqlite: OpenSqlite) -> None:
    adapter, other = open_sqlite(), open_sqlite()
    seen = [adapter.data_version()]
    for writer in (adapter, other, adapter):
        await writer.execute("CREATE TABLE IF NOT EXISTS t (x)")
        await writer.execute("INSERT INTO t VALUES (1)")
        seen.append(adapter.data_version())
        await adapter.query(COUNT, point=True)
        assert adapter.data_version() == seen[-1], "a read changes nothing"
    assert None not in seen
    assert len(set(seen)) == len(seen)
    assert open_sqlite(":memory:").data_version() is None


def remove(path: str) -> None:
    Path(path).unlink()


async def test_the_version_of_a_lost_file(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    remove(adapter.path)

    def is_refused() -> bool:
        try:
            adapter.data_version()
        except DatabaseLost:
            return True
        return False

    await eventually(is_refused, "the next look at the file")

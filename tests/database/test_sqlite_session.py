"""Sessions: a connection of one's own, with limits, that always comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator, Set
from pathlib import Path
from typing import Any

import apsw
import pytest
from buntime_database import (
    Column,
    DatabaseBusy,
    DatabaseClosed,
    InvalidStatement,
    ResultTooLarge,
    SessionLimits,
    SessionsNotSupported,
    StatementTimeout,
    TransactionTimeout,
)
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from support.waiting import PATIENCE, until

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{}) SELECT i FROM n"
ENDLESS = f"SELECT count(*) FROM ({NUMBERS.format('')})"
QUICK_SECONDS = 30.0
"""Half of what would pass without an interruption."""


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    """A database file with one table."""
    options = SqliteOptions(busy_timeout_ms=60_000)
    opened = SqliteAdapter(str(tmp_path / "test.db"), options=options)
    await opened.execute("CREATE TABLE t (x INTEGER UNIQUE)")
    yield opened
    await opened.close()


async def test_statements_and_transactions(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    result = await session.execute("INSERT INTO t VALUES (?), (?) RETURNING x", (1, 2))
    assert result.columns == (Column("x", "INTEGER"),)
    assert (result.rows, result.rowcount, result.lastrowid) == ([(1,), (2,)], 2, 2)
    assert (session.autocommit, session.rollback_at) == (True, None)
    await session.execute("BEGIN IMMEDIATE")
    assert (session.autocommit, session.rollback_at is None) == (False, False)
    await session.execute("DELETE FROM t")
    assert await adapter.query("SELECT count(*) FROM t") == [(2,)]
    await session.execute("ROLLBACK")
    assert (session.autocommit, session.rollback_at) == (True, None)
    assert (await session.execute("SELECT x FROM t")).rows == [(1,), (2,)]
    await session.close()


async def test_closing_rolls_back_and_is_idempotent(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    await session.execute("BEGIN IMMEDIATE")
    await session.execute("INSERT INTO t VALUES (1)")
    await session.close()
    await session.close()
    with pytest.raises(DatabaseClosed):
        await session.execute("SELECT 1")
    await adapter.execute("INSERT INTO t VALUES (2)")
    assert await adapter.query("SELECT x FROM t") == [(2,)]


async def test_closing_interrupts_what_runs(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session(SessionLimits(statement_seconds=60))
    running = asyncio.create_task(session.execute(ENDLESS))
    await asyncio.sleep(0)
    started = time.monotonic()
    await session.close()
    with pytest.raises(DatabaseClosed):
        await running
    assert time.monotonic() - started < QUICK_SECONDS


async def test_cancelling_interrupts_the_statement_only(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session(SessionLimits(statement_seconds=60))
    await session.execute("BEGIN")
    await session.execute("SELECT * FROM t")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await session.execute(ENDLESS)
    assert time.monotonic() - started < QUICK_SECONDS
    assert not session.autocommit
    assert (await session.execute("SELECT 1")).rows == [(1,)]
    await session.close()


async def test_calls_at_the_same_time_take_turns(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    await asyncio.gather(*(session.execute("INSERT INTO t VALUES (?)", (n,)) for n in range(50)))
    assert (await session.execute("SELECT count(*) FROM t")).rows == [(50,)]
    await session.close()


async def test_many_sessions_that_wait_for_one_do_not_keep_it_from_going_on(
    adapter: SqliteAdapter,
) -> None:
    first = await adapter.open_session()
    await first.execute("BEGIN IMMEDIATE")
    others = [await adapter.open_session() for _ in range(40)]
    waiting = [
        asyncio.create_task(session.execute("INSERT INTO t VALUES (?)", (number,)))
        for number, session in enumerate(others)
    ]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in waiting)
    async with asyncio.timeout(QUICK_SECONDS):
        await first.execute("COMMIT")
        await asyncio.gather(*waiting)
    assert await adapter.query("SELECT count(*) FROM t") == [(40,)]
    await asyncio.gather(*(session.close() for session in (first, *others)))


@pytest.mark.slow
async def test_waiting_for_a_lock_has_an_end(tmp_path: Path) -> None:
    options = SqliteOptions(busy_timeout_ms=50)
    adapter = SqliteAdapter(str(tmp_path / "test.db"), options=options)
    await adapter.execute("CREATE TABLE t (x)")
    first, second = await adapter.open_session(), await adapter.open_session()
    await first.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy) as raised:
        await second.execute("INSERT INTO t VALUES (1)")
    assert raised.value.code == "SQLITE_BUSY"
    with pytest.raises(DatabaseBusy):
        await adapter.execute("INSERT INTO t VALUES (1)")
    await adapter.close()


async def test_limits(adapter: SqliteAdapter) -> None:
    hurried = await adapter.open_session(SessionLimits(statement_seconds=0.1))
    with pytest.raises(StatementTimeout):
        await hurried.execute(ENDLESS)
    await hurried.close()
    session = await adapter.open_session(SessionLimits(max_bytes=1000))
    with pytest.raises(ResultTooLarge):
        await session.execute("SELECT randomblob(2000)")
    with pytest.raises(ResultTooLarge):
        await session.execute(NUMBERS.format(" LIMIT 1000"))
    result = await session.execute(NUMBERS.format(" LIMIT 1000"), max_rows=5)
    assert (len(result.rows), result.truncated) == (5, True)
    assert not (await session.execute("SELECT 1", max_rows=1)).truncated
    await session.close()


async def test_a_transaction_has_an_end(adapter: SqliteAdapter) -> None:
    limits = SessionLimits(statement_seconds=60, transaction_seconds=0.1)
    session = await adapter.open_session(limits)

    async def go_on() -> None:
        await session.execute("INSERT INTO t VALUES (1)")  # which may be too late already
        await session.execute(ENDLESS)

    await session.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransactionTimeout):
        await go_on()
    for sql in ("INSERT INTO t VALUES (2)", "COMMIT", "BEGIN"):
        with pytest.raises(TransactionTimeout):
            await session.execute(sql)
    with pytest.raises(TransactionTimeout):
        await session.sequence("INSERT INTO t VALUES (2)")
    assert session.autocommit
    await session.sequence("ROLLBACK;")
    await session.execute("INSERT INTO t VALUES (3)")
    assert (await session.execute("SELECT x FROM t")).rows == [(3,)]
    await session.close()


async def test_a_reader_may_take_longer(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session(SessionLimits(transaction_seconds=0.0))
    await session.execute("BEGIN")
    await session.execute("SELECT * FROM t")
    assert session.rollback_at is None
    await session.execute("COMMIT")
    await session.close()


async def test_what_is_sorted_goes_to_files_that_have_no_name(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session(SessionLimits(statement_seconds=PATIENCE))
    before = nameless_files().keys()
    numbers = NUMBERS.format("").replace("SELECT i FROM", "SELECT i, zeroblob(10000) FROM")
    endless = asyncio.create_task(session.execute(f"{numbers} ORDER BY random()"))
    await until(lambda: new_sizes(before))
    assert apsw.Connection(":memory:").pragma("temp_store_directory")
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    await until(lambda: not nameless_files().keys() - before)
    await session.close()


def new_sizes(before: Set[int]) -> int:
    """Bytes in files without a name that others cannot open, and that were not there before."""
    files = nameless_files()
    modes = {stat.S_IMODE(files[file].st_mode) for file in files.keys() - before}
    assert modes <= {0o600}
    return sum(files[file].st_size for file in files.keys() - before)


def nameless_files() -> dict[int, os.stat_result]:
    """Those that this process has open, by their number."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            file = os.fstat(int(name))
            if stat.S_ISREG(file.st_mode) and not file.st_nlink:
                found[file.st_ino] = file
    return found


async def test_a_cursor(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    cursor = await session.open_cursor(NUMBERS.format(" LIMIT 5"))
    assert [column.name for column in cursor.columns] == ["i"]
    assert await cursor.fetch(3) == [(1,), (2,), (3,)]
    assert await cursor.fetch(3) == [(4,), (5,)]
    assert await cursor.fetch(3) == []
    assert (await cursor.finish()).rows == []
    writing = await session.open_cursor("INSERT INTO t VALUES (1), (2) RETURNING x")
    assert await writing.fetch(1) == [(1,)]
    assert (await writing.finish()).rowcount == 2
    await session.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM buntime_access_keys",
        "SELECT 1 FROM (SELECT record FROM main.[BUNTIME_ACCESS_keys])",
        "INSERT INTO buntime_access_keys VALUES ('a', '{}', 1)",
        "INSERT INTO t SELECT id FROM buntime_access_keys",
        "UPDATE buntime_access_keys SET record = '{}'",
        "DELETE FROM buntime_access_keys",
        "DROP TABLE buntime_access_keys",
        "ALTER TABLE buntime_access_keys RENAME TO x",
        "CREATE TABLE buntime_access_more (x)",
        "CREATE TRIGGER g AFTER INSERT ON buntime_access_keys BEGIN SELECT 1; END",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM buntime_access_keys; END",
        "CREATE INDEX i ON buntime_access_keys (record)",
    ],
)
async def test_the_keys_of_the_host_are_out_of_reach(adapter: SqliteAdapter, sql: str) -> None:
    """Also by a trigger, which runs later, for somebody else."""
    await adapter.execute(
        "CREATE TABLE IF NOT EXISTS buntime_access_keys (id PRIMARY KEY, record, used_at)"
    )
    await adapter.execute("CREATE TABLE IF NOT EXISTS t (x)")
    session = await adapter.open_session()

    async def run() -> None:
        await session.execute(sql)
        await session.execute("INSERT INTO t VALUES (1)")

    with pytest.raises(InvalidStatement) as raised:
        await run()
    assert raised.value.code == "SQLITE_AUTH"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM buntime_access_keys; END",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM [BUNTIME_access_keys]; END",
        'CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM "buntime_access_keys"; END',
        "CREATE VIEW v AS SELECT record FROM/**/`buntime_access_keys`",
        "CREATE TEMP VIEW v AS SELECT record FROM main.'buntime_access_keys'",
        "CREATE VIRTUAL TABLE f USING fts5(id, record, content='buntime_access_keys')",
        "ALTER TABLE t RENAME TO buntime_access_more",
    ],
)
@pytest.mark.parametrize("in_sequence", [False, True])
async def test_nothing_is_made_that_reaches_the_keys_later(
    adapter: SqliteAdapter, sql: str, *, in_sequence: bool
) -> None:
    """When others use it, whom nothing restricts, such as the store that writes its entries."""
    await adapter.execute(
        "CREATE TABLE IF NOT EXISTS buntime_access_keys (id PRIMARY KEY, record, used_at)"
    )
    await adapter.execute("INSERT INTO buntime_access_keys VALUES ('a', '{}', 1)")
    session = await adapter.open_session()
    run: Any = session.sequence if in_sequence else session.execute
    with pytest.raises(InvalidStatement) as raised:
        await run(f"CREATE VIEW good AS SELECT 1; {sql}; SELECT 1" if in_sequence else sql)
    assert raised.value.code == "SQLITE_AUTH"
    with pytest.raises(InvalidStatement):
        await session.describe(sql)
    await adapter.execute("INSERT INTO t VALUES (1)")
    rows = await adapter.query("SELECT count(*) FROM buntime_access_keys")
    assert [*map(tuple, rows)] == [(1,)]
    made = await adapter.query("SELECT name FROM sqlite_schema WHERE name IN ('g', 'v', 'f')")
    assert not made
    # What only has the words of it is nobody's business.
    await session.execute("CREATE TRIGGER ok AFTER INSERT ON t BEGIN SELECT 'buntime'; END")
    await session.close()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "CREATE TEMP TABLE x (y)",
        "PRAGMA query_only = 0",
        "BEGIN IMMEDIATE",
        "ATTACH ':memory:' AS x",
        "SAVEPOINT x",
    ],
)
async def test_a_session_that_only_reads(adapter: SqliteAdapter, sql: str) -> None:
    session = await adapter.open_session(SessionLimits(readonly=True))
    with pytest.raises(InvalidStatement) as raised:
        await session.execute(sql)
    assert raised.value.code == "SQLITE_AUTH"
    assert (await session.execute("SELECT count(*) FROM t")).rows == [(0,)]
    await session.close()


@pytest.mark.parametrize("sql", ["VACUUM", " -- x\n vacuum", "VACUUM; SELECT 1"])
async def test_vacuum_attaches_nothing_but_its_own_file(
    adapter: SqliteAdapter, sql: str, tmp_path: Path
) -> None:
    session = await adapter.open_session()
    await session.sequence(sql)
    for attach in (f"ATTACH '{tmp_path}/x.db' AS x", "ATTACH '' AS x"):
        with pytest.raises(InvalidStatement):
            await session.execute(attach)
        with pytest.raises(InvalidStatement):
            await session.sequence(f"VACUUM; {attach}")
    assert not (tmp_path / "x.db").exists()
    await session.close()


@pytest.mark.parametrize("filler", ["/**/", " ", "--\n", ";", "/*", "\n/* */ --x\n"])
async def test_no_text_takes_long_to_look_at(adapter: SqliteAdapter, filler: str) -> None:
    session = await adapter.open_session(SessionLimits(statement_seconds=60))
    started = time.monotonic()
    for text in (f"SELECT 1;{filler * 5000}x", f"{filler * 5000}VACUU", f"VACUUM{filler * 5000}'"):
        with contextlib.suppress(InvalidStatement):  # one big comment after all is no mistake
            await session.execute(text)
    assert time.monotonic() - started < QUICK_SECONDS
    await session.close()


async def test_text_that_is_not_utf8(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    with pytest.raises(InvalidStatement):
        await session.execute("SELECT CAST(x'ff' AS TEXT)")
    await session.close()


async def test_closing_the_database_closes_its_sessions(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    await session.execute("BEGIN IMMEDIATE")
    await adapter.close()
    with pytest.raises(DatabaseClosed):
        await session.execute("SELECT 1")
    with pytest.raises(DatabaseClosed):
        await adapter.open_session()


async def test_a_database_in_memory_has_no_sessions() -> None:
    adapter = SqliteAdapter(":memory:")
    with pytest.raises(SessionsNotSupported):
        await adapter.open_session()
    await adapter.close()

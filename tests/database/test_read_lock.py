"""Reads in quick succession share a lock; they are as fresh as those that take one each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from buntime_database import InvalidStatement, Statement
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.read_lock import FROM_READS
from database.support import OpenSqlite, eventually

COUNT = "SELECT count(*) FROM t"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[apsw.Connection]:
    """Somebody else who has the database of `opened` open."""
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE t (x)")
    yield connection
    connection.close()


@pytest.fixture
def opened(other: apsw.Connection, open_sqlite: OpenSqlite, tmp_path: Path) -> SqliteAdapter:
    return open_sqlite(str(tmp_path / "a.db"))


async def read_much(adapter: SqliteAdapter, expected: int = 0) -> None:
    """Without a moment for anybody else, so that the lock is kept when this returns."""
    for _ in range(2 * FROM_READS):
        assert await adapter.query(COUNT, point=True) == [(expected,)]


def begins_anew(connection: apsw.Connection) -> bool:
    """Whether the log can; not so while somebody has a lock of a place in it."""
    connection.execute("INSERT INTO t VALUES (0)")
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    except apsw.BusyError:
        return False
    return True


async def test_every_read_sees_what_others_have_committed(
    opened: SqliteAdapter, other: apsw.Connection
) -> None:
    for number in range(50):
        await read_much(opened, number)
        other.execute("INSERT INTO t VALUES (0)")


async def test_every_read_sees_what_was_committed_here(opened: SqliteAdapter) -> None:
    for number in range(20):
        await read_much(opened, number)
        await opened.batch([Statement("INSERT INTO t VALUES (0)")])


async def test_it_is_kept_for_a_moment(opened: SqliteAdapter, other: apsw.Connection) -> None:
    assert begins_anew(other)
    await read_much(opened, 1)
    assert not begins_anew(other)
    await eventually(lambda: begins_anew(other), "the lock")


async def test_few_reads_take_one_each(opened: SqliteAdapter, other: apsw.Connection) -> None:
    for _ in range(FROM_READS - 1):
        await opened.query(COUNT, point=True)
    assert begins_anew(other)


async def test_a_commit_gives_it_back(opened: SqliteAdapter, other: apsw.Connection) -> None:
    await read_much(opened)
    await opened.batch([Statement("INSERT INTO t VALUES (0)")])
    assert begins_anew(other)


async def test_whoever_reads_without_a_pause_lets_others_go_on(
    opened: SqliteAdapter, other: apsw.Connection
) -> None:
    other.set_busy_timeout(20_000)
    waiting = asyncio.create_task(asyncio.to_thread(begins_anew, other))
    while not waiting.done():
        for _ in range(4 * FROM_READS):
            await opened.query(COUNT, point=True)
        await asyncio.sleep(0)
    assert waiting.result()


async def test_a_wrong_statement_changes_nothing(opened: SqliteAdapter) -> None:
    await read_much(opened)
    for wrong in ("SELECT nothing FROM t", "INSERT INTO t VALUES (0)", "SELECT ?"):
        with pytest.raises(InvalidStatement):
            await opened.query(wrong, point=True)
        await read_much(opened)


async def test_it_can_be_closed_meanwhile(opened: SqliteAdapter, other: apsw.Connection) -> None:
    await read_much(opened)
    await opened.close()
    assert begins_anew(other)

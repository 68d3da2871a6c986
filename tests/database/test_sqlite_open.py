"""Opening a database: its settings, files that are none, and what is left open."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

import pytest
from buntime_database import DatabaseUnavailable
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.connection import open_connection
from buntime_plugin_database.engines.sqlite.readers import Readers
from database.support import OpenSqlite

SYNCHRONOUS: dict[Literal["off", "normal", "full", "extra"], int] = {
    "off": 0,
    "normal": 1,
    "full": 2,
    "extra": 3,
}


async def test_settings_of_the_writing_connection(open_sqlite: OpenSqlite) -> None:
    connection = open_sqlite().get_raw_client()
    names = ("journal_mode", "synchronous", "foreign_keys", "cache_size", "busy_timeout")
    assert [connection.pragma(name) for name in names] == ["wal", 2, 1, -65536, 0]


@pytest.mark.parametrize("name", SYNCHRONOUS)
async def test_synchronous_can_be_chosen(
    name: Literal["off", "normal", "full", "extra"], open_sqlite: OpenSqlite
) -> None:
    connection = open_sqlite(synchronous=name).get_raw_client()
    assert connection.pragma("synchronous") == SYNCHRONOUS[name]
    assert connection.pragma("journal_mode") == "wal"


async def test_the_cache_can_be_chosen(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite(cache_bytes=2 * 1024 * 1024)
    assert adapter.get_raw_client().pragma("cache_size") == -2048
    assert await adapter.query("PRAGMA cache_size", point=True) == [(-2048,)]
    assert await adapter.query("PRAGMA cache_size") == [(-2048,)]


async def test_foreign_keys_are_enforced_in_memory_too(open_sqlite: OpenSqlite) -> None:
    assert open_sqlite(":memory:").get_raw_client().pragma("foreign_keys") == 1


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
async def test_a_file_that_is_no_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseUnavailable) as raised:
        SqliteAdapter(str(path))
    assert str(raised.value).startswith(f"cannot open database {path}: ")
    assert path.read_bytes() == content


async def test_a_database_whose_schema_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    adapter = SqliteAdapter(str(path))
    await adapter.execute("CREATE TABLE t (x)")
    await adapter.close()
    content = bytearray(path.read_bytes())
    content[100:108] = b"\xff" * 8  # the head of the schema's own page
    path.write_bytes(content)
    with pytest.raises(DatabaseUnavailable, match="malformed") as raised:
        SqliteAdapter(str(path))
    assert str(path) in str(raised.value)


async def test_a_database_whose_rows_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    adapter = SqliteAdapter(str(path))
    await adapter.execute("CREATE TABLE t (x)")
    await adapter.execute("INSERT INTO t VALUES (1)")
    await adapter.close()
    content = bytearray(path.read_bytes())
    content[8192:8296] = b"\xff" * 104  # the page before is the map of the pages
    path.write_bytes(content)
    adapter = SqliteAdapter(str(path))
    for point in (False, True):
        with pytest.raises(DatabaseUnavailable, match="malformed"):
            await adapter.query("SELECT * FROM t", point=point)
    with pytest.raises(DatabaseUnavailable, match="malformed"):
        await adapter.execute("INSERT INTO t VALUES (2)")
    await adapter.execute("CREATE TABLE other (x)")
    await adapter.close()


async def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot open database"):
        SqliteAdapter(str(tmp_path))


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


async def test_nothing_stays_open_after_closing(tmp_path: Path) -> None:
    warm = SqliteAdapter(str(tmp_path / "warm.db"))
    await warm.close()
    before = open_files()
    for number in range(50):
        adapter = SqliteAdapter(str(tmp_path / f"{number % 5}.db"))
        if number < 5:
            await adapter.execute("CREATE TABLE t (x)")
        await adapter.query("SELECT count(*) FROM t")
        assert open_files() > before
        await adapter.close()
    assert open_files() == before


async def test_nothing_stays_open_when_opening_fails(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(b"this is no database" * 100)
    before = open_files()
    errors = []  # kept, since an error may keep what it refers to
    for _ in range(20):
        with pytest.raises(DatabaseUnavailable) as raised:
            SqliteAdapter(str(path))
        errors.append(raised.value)
    assert open_files() == before


async def test_nothing_stays_open_when_a_reader_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    real = open_connection

    def fail_at_the_third(path: str, options: SqliteOptions, *, writes: bool) -> object:
        nonlocal opened
        opened += 1
        if opened == 3:
            raise DatabaseUnavailable("no more files")
        return real(path, options, writes=writes)

    monkeypatch.setattr(f"{Readers.__module__}.open_connection", fail_at_the_third)
    before = open_files()
    with pytest.raises(DatabaseUnavailable, match="no more files") as raised:
        SqliteAdapter(str(tmp_path / "test.db"))
    assert raised.value.__traceback__ is not None
    assert opened == 3
    assert open_files() == before


async def test_many_may_make_the_same_database_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        path = str(tmp_path / f"{attempt}.db")
        adapters = await asyncio.gather(*(asyncio.to_thread(SqliteAdapter, path) for _ in range(8)))
        await adapters[0].execute("CREATE TABLE t (x)")
        for adapter in adapters:
            await adapter.execute("INSERT INTO t VALUES (1)")
        assert await adapters[-1].query("SELECT count(*) FROM t") == [(8,)]
        for adapter in adapters:
            await adapter.close()

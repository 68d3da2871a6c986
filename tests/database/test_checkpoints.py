"""The log is copied into the database beside the writer, and stays short."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest
from buntime_database import Batch, DatabaseError, Statement, Transaction
from buntime_plugin_database.engines.sqlite import SqliteAdapter, checkpoints
from buntime_plugin_database.engines.sqlite.files import descriptors_of
from database.support import OpenSqlite, eventually

pytestmark = pytest.mark.slow

INSERT = "INSERT INTO t (value) VALUES (?)"
PAGE = b"x" * 4000
PAGE_BYTES = 4096 + 24
"""Of the log: a page and what says which one it is."""
PASS_PAGES, LOG_PAGES = 100, 200
AHEAD_PAGES = 200
"""What writers may add while passes go on, which is less from pass to pass."""
GROUP_PAGES = 150
"""More than one commit of these tests writes, what SQLite keeps about its table included."""
COPIER = "sqlite-checkpoint"
BELOW = apsw.vfs_names()[0]
"""The file system that there is."""


class Disk(apsw.VFS):
    """The file system, and who writes to the databases in it; logs are not counted."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self.pause = 0.0
        """Seconds that the copying thread needs for a page."""
        self.is_broken = False
        """Whether the copying thread cannot write."""
        super().__init__("counting", BELOW, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._is_database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        super().__init__(BELOW, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._is_database:
            thread = threading.current_thread().name
            self._disk.writes[thread] += 1
            if thread == COPIER:
                time.sleep(self._disk.pause)
                if self._disk.is_broken:
                    raise apsw.IOError("the disk is broken")
        super().xWrite(data, offset)


@pytest.fixture
def disk() -> Iterator[Disk]:
    counting = Disk()
    yield counting
    counting.unregister()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of some hundred pages instead of some thousand."""
    monkeypatch.setattr(checkpoints, "PASS_PAGES", PASS_PAGES)
    monkeypatch.setattr(checkpoints, "LOG_PAGES", LOG_PAGES)
    monkeypatch.setattr(checkpoints, "REST_PAGES", 10)


@pytest.fixture
async def adapter(disk: Disk, open_sqlite: OpenSqlite) -> SqliteAdapter:
    opened = open_sqlite()
    await opened.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
    disk.writes.clear()  # the file was made by the one who opened it
    return opened


async def write(adapter: SqliteAdapter, pages: int, *, tasks: int = 8) -> None:
    """So many pages, by so many at once, each in a write of its own."""
    left = iter(range(pages))

    async def repeat() -> None:
        for _ in left:
            await adapter.execute(INSERT, (PAGE,))

    await asyncio.gather(*(repeat() for _ in range(tasks)))


def log_pages(adapter: SqliteAdapter) -> float:
    """Of the file, which does not become shorter: the most that were in it."""
    return Path(f"{adapter.path}-wal").stat().st_size / PAGE_BYTES


def exists(path: str) -> bool:
    return Path(path).exists()


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def replace(path: str, content: bytes) -> None:
    Path(path).unlink()
    Path(path).write_bytes(content)


async def test_no_commit_copies_the_log(adapter: SqliteAdapter, disk: Disk) -> None:
    async def insert(transaction: Transaction) -> None:
        for _ in range(GROUP_PAGES):
            await transaction.execute(INSERT, (PAGE,))

    await write(adapter, 3 * LOG_PAGES)
    await adapter.transaction(insert)
    unbounded = [Batch([Statement(INSERT, (PAGE,))] * GROUP_PAGES, bounded=False)]
    assert not any(isinstance(one, DatabaseError) for one in await adapter.batch_each(unbounded))
    await eventually(lambda: disk.writes[COPIER] > 3 * LOG_PAGES, "the log to be copied")
    assert set(disk.writes) == {COPIER}


async def test_the_log_stays_short(adapter: SqliteAdapter) -> None:
    await write(adapter, 20 * LOG_PAGES)
    assert log_pages(adapter) <= LOG_PAGES + AHEAD_PAGES + GROUP_PAGES


async def test_writers_wait_for_a_slow_disk(adapter: SqliteAdapter, disk: Disk) -> None:
    disk.pause = 0.001
    await write(adapter, 6 * LOG_PAGES)
    assert log_pages(adapter) <= LOG_PAGES + AHEAD_PAGES + GROUP_PAGES


async def test_the_log_of_two_that_write(open_sqlite: OpenSqlite) -> None:
    """As two processes do, of which neither knows what the other writes."""
    one, other = open_sqlite(), open_sqlite()
    await one.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
    await asyncio.gather(write(one, 10 * LOG_PAGES), write(other, 10 * LOG_PAGES))
    assert log_pages(one) <= 3 * (LOG_PAGES + AHEAD_PAGES + GROUP_PAGES)
    assert await one.query("SELECT count(*) FROM t") == [(20 * LOG_PAGES,)]


async def test_a_read_that_goes_on_keeps_what_it_needs(adapter: SqliteAdapter) -> None:
    await write(adapter, 10)
    session = await adapter.open_session()
    await session.execute("BEGIN")
    before = (await session.execute("SELECT count(*) FROM t")).rows
    await write(adapter, 4 * LOG_PAGES)
    assert (await session.execute("SELECT count(*) FROM t")).rows == before == [(10,)]
    await session.execute("COMMIT")
    await session.close()
    grown = log_pages(adapter)
    assert grown > 4 * LOG_PAGES
    await write(adapter, 40 * LOG_PAGES)
    most = 3 * grown + AHEAD_PAGES + GROUP_PAGES
    assert log_pages(adapter) <= most, "it begins anew once nobody needs it"


async def test_closing_while_it_is_copied(disk: Disk, adapter: SqliteAdapter) -> None:
    disk.pause = 0.001
    await write(adapter, 2 * PASS_PAGES)
    await adapter.close()
    assert not exists(f"{adapter.path}-wal")
    connection = apsw.Connection(adapter.path)
    assert connection.pragma("integrity_check") == "ok"
    assert connection.execute("SELECT count(*) FROM t").get == 2 * PASS_PAGES
    connection.close()


async def test_closing_copies_the_rest_in_a_thread(adapter: SqliteAdapter, disk: Disk) -> None:
    await write(adapter, PASS_PAGES // 2)
    assert not disk.writes
    await adapter.close()
    assert disk.writes.total() > PASS_PAGES // 2
    assert threading.main_thread().name not in disk.writes


async def test_a_disk_that_fails_is_told_once(
    adapter: SqliteAdapter, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.is_broken = True
    with caplog.at_level(logging.WARNING):
        await write(adapter, 4 * LOG_PAGES)
        told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert told[0].startswith(f"the log of database {adapter.path} cannot be copied into it: ")
    grown = log_pages(adapter)
    disk.is_broken = False
    await write(adapter, 20 * LOG_PAGES)
    assert log_pages(adapter) <= 3 * grown + AHEAD_PAGES + GROUP_PAGES


async def test_a_file_that_took_the_place_of_a_lost_one_is_left_alone(
    adapter: SqliteAdapter, disk: Disk
) -> None:
    disk.pause = 0.001
    with contextlib.suppress(DatabaseError):
        writing = asyncio.create_task(write(adapter, 20 * LOG_PAGES))
        await eventually(lambda: disk.writes[COPIER], "the log to be copied")
        replace(adapter.path, b"another")
        await writing
    await adapter.close()
    assert content(adapter.path) == b"another"


async def test_the_descriptor_of_a_file_that_is_open(adapter: SqliteAdapter) -> None:
    before = descriptors_of(adapter.path)
    connection = apsw.Connection(adapter.path)
    connection.execute("SELECT * FROM t")
    (opened,) = descriptors_of(adapter.path) - before
    assert os.path.samestat(os.fstat(opened), os.stat(adapter.path))
    connection.close()
    assert descriptors_of(f"{adapter.path}-nothing") == set()


async def test_small_databases_have_no_thread_for_it(
    adapter: SqliteAdapter, open_sqlite: OpenSqlite
) -> None:
    in_memory = open_sqlite(":memory:")
    await in_memory.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
    await write(in_memory, 2 * LOG_PAGES)
    await write(adapter, PASS_PAGES // 4)
    assert COPIER not in _threads()
    await write(adapter, PASS_PAGES)
    await eventually(lambda: COPIER in _threads(), "the thread")
    await adapter.close()
    assert COPIER not in _threads()


def _threads() -> Sequence[str]:
    return [thread.name for thread in threading.enumerate()]

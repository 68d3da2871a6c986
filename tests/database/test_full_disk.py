"""A disk that is full: a store can be emptied, and then takes large values again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import httpx2
import pytest
from buntime_database import (
    Batch,
    DatabaseError,
    DatabaseFull,
    InvalidStatement,
    Statement,
    Transaction,
)
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.connection import open_connection
from support.live import LiveServer, live_server
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

DISK_BYTES = 16 * 1024 * 1024
LARGE = b"x" * 200_000
INSERT = "INSERT INTO t (value) VALUES (?)"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("LOUD: mounting a small file system needs root; a full disk is NOT tested")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(params=["new", "without auto_vacuum"])
async def adapter(request: pytest.FixtureRequest, disk: Path) -> AsyncIterator[SqliteAdapter]:
    path = str(disk / "test.db")
    if request.param != "new":
        # As it was made before there was anything to give back.
        connection = apsw.Connection(path)
        connection.pragma("auto_vacuum", 0)
        connection.execute("CREATE TABLE old (x)")
        connection.close()
    opened = SqliteAdapter(path, options=SqliteOptions(reserve_bytes=4 * 1024 * 1024))
    await opened.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
    assert (disk / "test.db-reserve").stat().st_size == DISK_BYTES // 16
    yield opened
    await opened.close()


async def fill(adapter: SqliteAdapter) -> int:
    """Write until nothing goes in; the number of rows."""
    for number in range(1000):
        try:
            await adapter.execute(INSERT, (LARGE,))
        except DatabaseFull:
            return number
    raise AssertionError("the disk does not get full")


async def goes_in(adapter: SqliteAdapter, value: bytes = LARGE) -> bool:
    try:
        await adapter.execute(INSERT, (value,))
    except DatabaseFull:
        return False
    return True


async def in_the_end(adapter: SqliteAdapter, value: bytes = LARGE) -> None:
    for _ in range(200):
        if await goes_in(adapter, value):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it stays full")


def bytes_of(path: Path) -> int:
    return path.stat().st_size


def free_on(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


async def rows(adapter: SqliteAdapter) -> int:
    ((count,),) = await adapter.query("SELECT count(*) FROM t")
    assert isinstance(count, int)
    return count


async def test_a_full_store_can_be_emptied(adapter: SqliteAdapter, disk: Path) -> None:
    stored = await fill(adapter)
    assert stored > 20
    assert (disk / "test.db-reserve").exists(), "it is for when others fill the disk"
    for _ in range(5):
        assert not await goes_in(adapter), "what makes room is not for what filled it"
    ids = [row[0] for row in await adapter.query("SELECT id FROM t")]
    assert len(ids) == stored
    for row in ids:
        steps = [Statement("DELETE FROM t WHERE id = ?", (row,)), Statement("UPDATE t SET id = id")]
        await adapter.batch(steps[:1])
    assert await rows(adapter) == 0
    for _ in range(stored - 5):
        await in_the_end(adapter)
    assert await rows(adapter) == stored - 5
    assert adapter.problem() is None
    assert adapter.get_raw_client().pragma("integrity_check") == "ok"


async def test_it_goes_on_for_many_rounds(adapter: SqliteAdapter) -> None:
    await fill(adapter)
    for _ in range(5):
        await adapter.execute("DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT 15)")
        await in_the_end(adapter)
        await fill(adapter)
    await adapter.execute("DELETE FROM t")
    await in_the_end(adapter)


@pytest.mark.parametrize("adapter", ["new"], indirect=True)
async def test_free_pages_go_back_to_the_disk(adapter: SqliteAdapter, disk: Path) -> None:
    await fill(adapter)
    full = bytes_of(disk / "test.db")
    await adapter.execute("DELETE FROM t")
    for _ in range(200):
        await in_the_end(adapter, b"small")
        if bytes_of(disk / "test.db") < full // 4:
            break
        await asyncio.sleep(0.05)
    assert bytes_of(disk / "test.db") < full // 4
    assert (disk / "test.db-reserve").exists()


async def test_room_that_others_make(adapter: SqliteAdapter, disk: Path) -> None:
    other = disk / "other"
    other.write_bytes(bytes(6 * 1024 * 1024))
    await fill(adapter)
    (disk / "greed").write_bytes(bytes(free_on(disk)))
    await adapter.execute("DELETE FROM t WHERE id < 5")
    assert not await goes_in(adapter, LARGE * 40)
    other.unlink()
    await in_the_end(adapter, LARGE * 5)
    for _ in range(200):
        if (disk / "test.db-reserve").exists():
            break
        await asyncio.sleep(0.05)
        await goes_in(adapter, b"small")
    assert (disk / "test.db-reserve").exists(), "for the next time"


async def test_an_ack_and_a_lease_while_it_is_full(adapter: SqliteAdapter) -> None:
    await fill(adapter)
    for bounded in (True, False):
        batch = Batch([Statement("UPDATE t SET id = id + 1000 WHERE id = 1")], bounded)
        (outcome,) = await adapter.batch_each([batch, Batch([Statement(INSERT, (LARGE,))])][:1])
        assert not isinstance(outcome, DatabaseError)
    mixed = [Batch([Statement(INSERT, (LARGE,))]), Batch([Statement("DELETE FROM t WHERE id = 2")])]
    refused, done = await adapter.batch_each(mixed)
    assert isinstance(refused, DatabaseFull)
    assert not isinstance(done, DatabaseError)


async def test_a_session_can_empty_it(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    stored = 0
    with contextlib.suppress(DatabaseFull):
        while stored < 1000:
            await session.execute(INSERT, (LARGE,))
            stored += 1
    with pytest.raises(DatabaseFull):
        await session.execute(INSERT, (LARGE,))
    assert (await session.execute("DELETE FROM t")).rowcount == stored
    for _ in range(200):
        try:
            await session.execute(INSERT, (LARGE,))
        except DatabaseFull:
            await asyncio.sleep(0.05)
        else:
            break
    assert await rows(adapter) == 1
    await session.close()


async def test_a_transaction_meets_the_end(adapter: SqliteAdapter) -> None:
    async def write(transaction: Transaction) -> None:
        for _ in range(1000):
            await transaction.execute(INSERT, (LARGE,))

    with pytest.raises(DatabaseFull):
        await adapter.transaction(write)
    assert await rows(adapter) == 0
    await in_the_end(adapter)


async def test_another_adapter_learns_of_it(adapter: SqliteAdapter, disk: Path) -> None:
    """Another process must not eat up what this one has given up."""
    reserve = SqliteOptions(reserve_bytes=4 * 1024 * 1024)
    other = SqliteAdapter(str(disk / "test.db"), options=reserve)
    assert await goes_in(other, b"small")
    await fill(adapter)
    await asyncio.sleep(0.1)
    assert not await goes_in(other)
    await other.execute("DELETE FROM t WHERE id < 10")
    await adapter.execute("DELETE FROM t")
    await in_the_end(other)
    await in_the_end(adapter)
    await other.close()


async def test_without_a_reserve(disk: Path) -> None:
    adapter = SqliteAdapter(str(disk / "test.db"))
    await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
    assert sorted(os.listdir(disk)) == ["test.db", "test.db-shm", "test.db-wal"]
    await fill(adapter)
    await adapter.execute("DELETE FROM t")  # the log that is cut makes enough of room for this
    await in_the_end(adapter)
    await adapter.close()


def test_a_database_of_before_is_left_as_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "test.db")
    connection = apsw.Connection(path)
    connection.pragma("auto_vacuum", 0)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert open_connection(path, SqliteOptions(), writes=True).pragma("auto_vacuum") == 0
    new = open_connection(str(tmp_path / "new.db"), SqliteOptions(), writes=True)
    assert new.pragma("auto_vacuum") == 2


async def test_a_statement_that_is_wrong_stays_wrong(adapter: SqliteAdapter) -> None:
    await fill(adapter)
    with pytest.raises(InvalidStatement):
        await adapter.execute("DELETE FROM nothing")


@pytest.fixture
def server(disk: Path, tmp_path: Path) -> Iterator[LiveServer]:
    adapter = {"type": "sqlite", "baseDir": str(disk / "data")}
    plugins = [["@buntime/plugin-database", {"adapters": [adapter]}], "@buntime/plugin-keyval"]
    with live_server(tmp_path, {"plugins": plugins}) as running:
        yield running


def test_a_full_store_over_http(server: LiveServer) -> None:
    text = "x" * 100_000
    with httpx2.Client(base_url=server.api + "/", timeout=PATIENCE) as api:
        assert api.post("queue/enqueue", json={"value": 1}).status_code == 200
        stored = 0
        while (answer := api.put(f"keys/a/{stored}", json=text)).status_code == 200:
            stored += 1
        assert (answer.status_code, answer.json()["code"]) == (503, "KEYVAL_DB_DOWN")
        assert stored > 40
        assert httpx2.get(f"{server.url}/health/ready").status_code == 503
        message = api.get("queue/poll").json()["message"]
        settled = {"id": message["id"]}
        assert api.post("queue/ack", json=settled).status_code == 200
        for number in range(stored):
            assert api.delete(f"keys/a/{number}").status_code == 200, number
        assert api.get("keys/count", params={"prefix": "a"}).json()["count"] == 0
        written = 0
        for _ in range(400):
            written += api.put(f"keys/b/{written}", json=text).status_code == 200
            if written == stored // 2:
                break
        assert written == stored // 2
    assert 1 <= server.output.count("the disk is full") < 10, server.output
    assert httpx2.get(f"{server.url}/health/ready").status_code == 200
    assert os.path.exists(server.folder / "disk" / "data" / "_default.db")

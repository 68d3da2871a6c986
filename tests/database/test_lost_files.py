"""The files of an open database are deleted, replaced or cut: nothing is served from them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from buntime_database import (
    Batch,
    DatabaseDamaged,
    DatabaseError,
    DatabaseLost,
    Statement,
    Transaction,
)
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.condition import LOOK_SECONDS
from buntime_plugin_database.engines.sqlite.tenants import create_tenant_file
from database.support import OpenSqlite, eventually

pytestmark = pytest.mark.slow

INSERT = "INSERT INTO t VALUES (1)"
COUNT = "SELECT count(*) FROM t"

Loss = Callable[[Path], object]


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _index(path: Path) -> Path:
    return path.with_name(path.name + "-shm")


def _replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy(path, other)
    other.rename(path)


def _replace_by_another_database(path: Path) -> None:
    path.unlink()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE t (x)")
    connection.close()


def _put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _delete_all(path: Path) -> None:
    for name in (path, _log(path), _index(path)):
        name.unlink()


def _move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def _move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


LOSSES: dict[str, Loss] = {
    "deleted": lambda path: path.unlink(),
    "moved": _move,
    "replaced by a copy": _replace,
    "replaced by another database": _replace_by_another_database,
    "a folder in its place": _put_a_folder,
    "cut to nothing": lambda path: os.truncate(path, 0),
    "cut within its header": lambda path: os.truncate(path, 50),
    "its log deleted": lambda path: _log(path).unlink(),
    "its log's index deleted": lambda path: _index(path).unlink(),
    "all deleted": _delete_all,
    "its folder moved": _move_folder,
}


@pytest.fixture(params=LOSSES)
def lose(request: pytest.FixtureRequest) -> Loss:
    return LOSSES[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def opened(folder: Path) -> SqliteAdapter:
    adapter = SqliteAdapter(str(folder / "test.db"))
    await adapter.execute("CREATE TABLE t (x)")
    await adapter.execute(INSERT)
    return adapter


async def refused(adapter: SqliteAdapter, sql: str) -> bool:
    try:
        await adapter.query(sql, point=True)
    except DatabaseLost:
        return True
    return False


async def test_every_write_is_refused(folder: Path, lose: Loss) -> None:
    adapter = await opened(folder)
    await asyncio.sleep(LOOK_SECONDS)  # so that log and index are looked at again
    lose(folder / "test.db")
    for bounded in (True, False):
        (outcome,) = await adapter.batch_each([Batch([Statement(INSERT)], bounded)])
        assert isinstance(outcome, DatabaseLost)
        assert outcome.code == "DATABASE_LOST"
    with pytest.raises(DatabaseLost):
        await adapter.execute(INSERT)

    async def write(transaction: Transaction) -> None:
        await transaction.execute(INSERT)

    with pytest.raises(DatabaseLost):
        await adapter.transaction(write)
    with pytest.raises(DatabaseLost):
        await adapter.open_session()
    await adapter.close()


async def test_every_read_is_refused_soon(
    folder: Path, lose: Loss, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = await opened(folder)
    assert adapter.problem() is None
    assert adapter.is_current()
    lose(folder / "test.db")
    lost = False

    async def read() -> None:
        nonlocal lost
        while not lost:
            lost = await refused(adapter, COUNT)
            await asyncio.sleep(0.01)

    await asyncio.wait_for(read(), 10)
    with pytest.raises(DatabaseLost, match="start again"):
        await adapter.query(COUNT)
    assert not adapter.is_current()
    assert str(folder / "test.db") in str(adapter.problem())
    await adapter.close()
    told = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len(told) == 1, "one line, however often it is met"


async def test_a_transaction_under_way_is_refused(folder: Path) -> None:
    adapter = await opened(folder)

    async def write(transaction: Transaction) -> None:
        await transaction.execute(INSERT)
        (folder / "test.db").unlink()

    with pytest.raises(DatabaseLost):
        await adapter.transaction(write)
    await adapter.close()


async def test_a_session_is_refused(folder: Path, lose: Loss) -> None:
    adapter = await opened(folder)
    session = await adapter.open_session()
    await session.execute("BEGIN IMMEDIATE")
    await session.execute(INSERT)
    await asyncio.sleep(LOOK_SECONDS)
    lose(folder / "test.db")
    for statement in ("COMMIT", INSERT, COUNT):
        with pytest.raises(DatabaseLost):
            await session.execute(statement)
    with pytest.raises(DatabaseLost):
        await session.sequence(INSERT)
    await session.roll_back(RuntimeError("too late"))
    await session.close()
    await adapter.close()


async def test_it_stays_refused_when_the_file_is_back(folder: Path) -> None:
    """Whoever opens it meanwhile may have written to it."""
    adapter = await opened(folder)
    path = folder / "test.db"
    path.rename(folder / "aside")
    with pytest.raises(DatabaseLost):
        await adapter.execute(INSERT)
    (folder / "aside").rename(path)
    with pytest.raises(DatabaseLost):
        await adapter.execute(INSERT)
    await adapter.close()
    again = SqliteAdapter(str(path))
    assert await again.query(COUNT) == [(1,)], "all that was acknowledged"
    await again.close()


async def test_closing_leaves_the_log_of_another_database_alone(folder: Path) -> None:
    adapter = await opened(folder)
    path = folder / "test.db"
    _delete_all(path)
    other = await opened(folder)
    await other.execute(INSERT)
    await adapter.close()
    assert _log(path).stat().st_size > 0
    await other.execute(INSERT)
    await other.close()
    again = SqliteAdapter(str(path))
    assert await again.query(COUNT) == [(3,)]
    await again.close()


@pytest.mark.parametrize(
    "sql",
    ["SELECT length(text) FROM big WHERE id = 199", "UPDATE big SET text = 'y' WHERE id = 199"],
)
async def test_what_is_missing_of_a_shorter_file_is_not_taken_from_memory(
    folder: Path, sql: str
) -> None:
    adapter = await opened(folder)
    await adapter.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, text TEXT)")
    rows = [Statement("INSERT INTO big (text) VALUES (?)", ("x" * 3000,)) for _ in range(200)]
    await adapter.batch(rows)
    adapter.get_raw_client().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    for number in range(1, 201):
        await adapter.query("SELECT text FROM big WHERE id = ?", (number,), point=True)
    path = folder / "test.db"
    await asyncio.sleep(LOOK_SECONDS)
    assert adapter.is_current()
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)

    async def damaged() -> bool:
        try:
            if sql.startswith("SELECT"):
                await adapter.query(sql, point=True)
            else:
                await adapter.execute(sql)
        except DatabaseDamaged:
            return True
        return False

    while not await damaged():  # noqa: ASYNC110 - each try asks the database
        await asyncio.sleep(0.02)
    assert "damaged" in str(adapter.problem())
    await adapter.close()


async def test_an_ordinary_life_is_no_loss(open_sqlite: OpenSqlite) -> None:
    """Checkpoints, VACUUM and other connections that come and go change sizes, not the file."""
    adapter = open_sqlite()
    other = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    session = await adapter.open_session()
    for round_ in range(5):
        await adapter.batch([Statement("INSERT INTO t VALUES (?)", ("x" * 3000,))] * 50)
        await other.execute("DELETE FROM t")
        await session.execute("VACUUM")
        adapter.get_raw_client().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        third = open_sqlite()
        assert await third.query(COUNT) == [(0,)], round_
        await third.close()
        await asyncio.sleep(LOOK_SECONDS)
        assert adapter.is_current()
    assert adapter.problem() is None
    await session.close()


async def opening_fails(path: Path) -> str:
    with pytest.raises(DatabaseError) as raised:
        SqliteAdapter(str(path))
    assert str(raised.value).startswith(f"cannot open database {path}: ")
    return str(raised.value)


async def test_starting_without_the_file_but_with_its_log(folder: Path) -> None:
    adapter = await opened(folder)
    path = folder / "test.db"
    path.unlink()
    await adapter.close()
    before = _log(path).read_bytes()
    assert "the file is missing, but its log test.db-wal is there" in await opening_fails(path)
    assert _log(path).read_bytes() == before, "it may be all that is left"
    assert not path.exists()


@pytest.mark.parametrize("log_is_left", [True, False])
async def test_starting_with_a_file_that_was_cut_to_nothing(
    folder: Path, log_is_left: bool
) -> None:
    adapter = await opened(folder)
    path = folder / "test.db"
    if not log_is_left:
        adapter.get_raw_client().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    os.truncate(path, 0)
    await adapter.close()
    assert "the file is empty, but its log test.db-wal is there" in await opening_fails(path)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("size", [50, 4096, 8192])
async def test_starting_with_a_file_that_was_cut(folder: Path, size: int) -> None:
    adapter = await opened(folder)
    await adapter.execute("CREATE TABLE u (x)")
    await adapter.close()
    path = folder / "test.db"
    assert path.stat().st_size == 4 * 4096
    os.truncate(path, size)
    reason = await opening_fails(path)
    assert f"the file was cut{' to' if size == 50 else ': it has'} {size} bytes" in reason
    assert "Restore it from a backup" in reason


async def test_an_empty_file_without_a_log_is_a_new_database(folder: Path) -> None:
    create_tenant_file(folder / "test.db")
    adapter = await opened(folder)
    await eventually(lambda: adapter.problem() is None, "it to be well")
    await adapter.close()


@pytest.mark.parametrize("bounded", [True, False])
async def test_what_fails_in_the_middle_of_its_rows_is_over(
    open_sqlite: OpenSqlite, bounded: bool
) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x TEXT)")
    await adapter.execute("INSERT INTO t VALUES ('well'), (CAST(x'ff' AS TEXT)), ('well')")
    kept = []
    for sql in ("SELECT x FROM t", "UPDATE t SET x = x RETURNING x"):
        batch = Batch([Statement(sql)], bounded)
        (outcome,) = await adapter.batch_each([batch])
        kept.append(outcome)
    for point in (True, False):
        with pytest.raises(DatabaseDamaged) as raised:
            await adapter.query("SELECT x FROM t", point=point)
        kept.append(raised.value)
    assert all(isinstance(error, DatabaseDamaged) for error in kept)
    await adapter.execute("INSERT INTO t VALUES ('more')")
    for point in (True, False):
        assert await adapter.query("SELECT count(*) FROM t", point=point) == [(4,)]
    assert await adapter.query("PRAGMA wal_checkpoint") != []

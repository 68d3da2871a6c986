"""The writer when something goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from buntime_database import (
    Batch,
    ConstraintViolation,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    ResultSet,
    Statement,
    Transaction,
    TransactionMisuse,
)
from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.transaction import SqliteTransaction
from buntime_plugin_database.engines.sqlite.writer import Writer
from buntime_plugin_database.shared.counters import LocalCounters
from database.support import OpenSqlite

INSERT = Statement("INSERT INTO t VALUES (1)")
COUNT = "SELECT count(*) FROM t"


class Faulty(apsw.Connection):
    """Raises prepared errors, each once, instead of running the statement."""

    faults: dict[str, list[Exception]]

    def execute(self, statements: str, *args: Any, **options: Any) -> apsw.Cursor:
        faults = getattr(self, "faults", {})
        if faults.get(statements):
            raise faults[statements].pop(0)
        return super().execute(statements, *args, **options)


def faulty_writer(tmp_path: Path, faults: dict[str, list[Exception]]) -> Writer:
    connection = Faulty(str(tmp_path / "test.db"))
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE t (x)")
    connection.faults = faults
    return Writer(
        connection,
        condition=FileCondition(str(tmp_path / "test.db")),
        busy_timeout_ms=100,
        statement_timeout_ms=10_000,
        threaded=True,
        counters=LocalCounters(3),
    )


def rows(writer: Writer) -> int:
    count = writer.connection.execute(COUNT).get
    assert isinstance(count, int)
    return count


def kinds(outcomes: list[list[ResultSet] | DatabaseError]) -> list[str]:
    return ["written" if isinstance(o, list) else type(o).__name__ for o in outcomes]


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("statement", ["COMMIT", "SAVEPOINT batch", "RELEASE batch"])
async def test_a_group_that_fails_is_tried_one_by_one(
    statement: str, bounded: bool, tmp_path: Path
) -> None:
    writer = faulty_writer(tmp_path, {statement: [apsw.IOError("disk on fire")]})
    outcomes = await writer.commit([Batch([INSERT], bounded)] * 3)
    assert kinds(outcomes) == ["written"] * 3
    assert rows(writer) == 3
    await writer.close()


@pytest.mark.parametrize("bounded", [False, True])
async def test_a_commit_that_fails_again_is_told_and_undone(bounded: bool, tmp_path: Path) -> None:
    faults: list[Exception] = [apsw.IOError("on fire"), apsw.IOError("on fire"), apsw.FullError()]
    writer = faulty_writer(tmp_path, {"COMMIT": faults})
    outcomes = await writer.commit([Batch([INSERT], bounded)] * 3)
    assert kinds(outcomes) == ["DatabaseUnavailable", "DatabaseFull", "written"]
    assert isinstance(outcomes[0], DatabaseError)
    assert str(outcomes[0]) == "IOError: on fire"
    assert isinstance(outcomes[0].__cause__, apsw.IOError)
    assert rows(writer) == 1
    await writer.close()


async def test_every_caller_gets_an_error_of_its_own_when_nothing_can_begin(
    tmp_path: Path,
) -> None:
    writer = faulty_writer(tmp_path, {"BEGIN IMMEDIATE": [apsw.IOError("on fire")]})
    outcomes = await writer.commit([Batch([INSERT])] * 3)
    assert kinds(outcomes) == ["DatabaseUnavailable"] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3
    assert kinds(await writer.commit([Batch([INSERT])])) == ["written"]
    await writer.close()


async def test_a_rollback_that_fails_hides_nothing_and_is_made_up_for(tmp_path: Path) -> None:
    writer = faulty_writer(tmp_path, {"ROLLBACK": [apsw.IOError("on fire")]})

    async def work(tx: SqliteTransaction) -> None:
        await tx.execute(*INSERT)
        raise KeyError("the reason")

    with pytest.raises(KeyError, match="the reason"):
        await writer.transaction(work)
    assert writer.connection.in_transaction
    assert kinds(await writer.commit([Batch([INSERT])])) == ["written"]
    assert rows(writer) == 1
    await writer.close()


async def test_a_commit_of_a_transaction_that_fails(tmp_path: Path) -> None:
    writer = faulty_writer(tmp_path, {"COMMIT": [apsw.IOError("on fire")]})

    async def work(tx: SqliteTransaction) -> None:
        await tx.execute(*INSERT)

    with pytest.raises(DatabaseUnavailable, match="on fire"):
        await writer.transaction(work)
    assert not writer.connection.in_transaction
    await writer.transaction(work)
    assert rows(writer) == 1
    await writer.close()


async def test_a_constraint_checked_at_the_end_of_a_transaction(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    await adapter.execute("CREATE TABLE t (x INTEGER REFERENCES p DEFERRABLE INITIALLY DEFERRED)")

    async def work(tx: Transaction) -> None:
        await tx.execute(*INSERT)

    with pytest.raises(ConstraintViolation):
        await adapter.transaction(work)
    assert await adapter.query(COUNT) == [(0,)]
    await adapter.execute("INSERT INTO p VALUES (1)")
    await adapter.transaction(work)
    assert await adapter.query(COUNT) == [(1,)]


@pytest.mark.parametrize("bounded", [False, True])
async def test_a_full_database(bounded: bool, open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    pages = adapter.get_raw_client().pragma("page_count")
    adapter.get_raw_client().pragma("max_page_count", int(str(pages)) + 3)
    big = Statement("INSERT INTO t VALUES (zeroblob(1000000))")
    outcomes = await adapter.batch_each(
        [Batch([INSERT], bounded), Batch([INSERT, big], bounded), Batch([INSERT], bounded)]
    )
    assert kinds(list(outcomes)) == ["written", "DatabaseFull", "written"]
    with pytest.raises(DatabaseFull):
        await adapter.batch([big])
    assert await adapter.query(COUNT) == [(2,)]
    adapter.get_raw_client().pragma("max_page_count", 1_000_000)
    await adapter.batch([big])
    assert await adapter.query(COUNT) == [(3,)]


async def test_a_transaction_that_the_engine_ended_writes_nothing_more(
    open_sqlite: OpenSqlite,
) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x UNIQUE)")
    await adapter.execute(*INSERT)

    async def go_on(tx: Transaction) -> None:
        await tx.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(ConstraintViolation):
            await tx.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
        with pytest.raises(TransactionMisuse, match="rolled back when a statement failed"):
            await tx.execute("INSERT INTO t VALUES (3)")

    with pytest.raises(TransactionMisuse, match="rolled back when a statement failed"):
        await adapter.transaction(go_on)
    assert await adapter.query("SELECT x FROM t") == [(1,)]

"""Who gets the write lock next: the writer first, and of sessions those who did not overstay."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from buntime_database import SessionLimits, Statement, TransactionTimeout
from buntime_host.workers import Group, Workers
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.queue import LockQueue
from database.support import eventually
from support.api import api_of
from support.database import Api
from support.hrana import execute
from support.live import LiveServer, live_server

pytestmark = pytest.mark.slow

INSERT = Statement("INSERT INTO t VALUES (1)")
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
STRANGERS = 4
WRITES = 6


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    """A database file with one table, for whose lock nobody waits for long."""
    path = str(tmp_path / "t.db")
    opened = SqliteAdapter(path, options=SqliteOptions(busy_timeout_ms=3_000))
    await opened.execute("CREATE TABLE t (x)")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A store whose database is open for SQL; a transaction may take a second."""
    adapter = {"type": "sqlite", "baseDir": "data", "busyTimeout": 500}
    api = {"write": True, "statementTimeout": "1s", "transactionTimeout": "1s"}
    plugins = [
        ["@buntime/plugin-database", {"adapters": [adapter], "api": api}],
        "@buntime/plugin-keyval",
    ]
    with live_server(tmp_path_factory.mktemp("lock"), {"plugins": plugins}) as running:
        yield running


def test_transactions_that_take_turns_keep_no_write_out(server: LiveServer) -> None:
    ended = threading.Event()
    turns = itertools.count()

    def stranger() -> None:
        with Api(server) as sql:
            while not ended.is_set():
                requests = [execute("BEGIN IMMEDIATE"), execute(ENDLESS)]
                sql.post("v3/pipeline", {"requests": requests})
                next(turns)

    threads = [threading.Thread(target=stranger) for _ in range(STRANGERS)]
    for thread in threads:
        thread.start()
    try:
        with api_of(server.api) as api:
            for number in range(WRITES):
                answer = api.send("PUT", f"/keys/mine/{number}", number)
                assert answer.status_code == 200, answer.text
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert next(turns) > 1


def test_a_transaction_that_only_waits_is_undone(server: LiveServer) -> None:
    with Api(server) as sql, api_of(server.api) as api:
        results = sql.post("v3/pipeline", {"requests": [execute("BEGIN IMMEDIATE")]})
        assert api.send("PUT", "/keys/mine", 1).status_code == 200
        later = sql.post(
            "v3/pipeline", {"baton": results["baton"], "requests": [execute("SELECT 1")]}
        )
        assert later["results"][0]["error"]["code"] == "TRANSACTION_TIMEOUT"


async def test_whoever_took_too_long_comes_last(adapter: SqliteAdapter) -> None:
    quick = SessionLimits(transaction_seconds=0.2)
    late, other = await adapter.open_session(quick), await adapter.open_session()
    await late.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransactionTimeout):
        await late.execute(ENDLESS)
    await late.execute("ROLLBACK")
    third = await adapter.open_session()
    await third.execute("BEGIN IMMEDIATE")
    order: list[str] = []

    async def take(name: str) -> None:
        session = late if name == "late" else other
        await session.execute("BEGIN IMMEDIATE")
        order.append(name)
        await session.execute("COMMIT")

    first = asyncio.create_task(take("late"))
    await eventually(lambda: len(adapter.queue._places) == 1, "the first to wait")
    second = asyncio.create_task(take("other"))
    await eventually(lambda: len(adapter.queue._places) == 2, "the second to wait")
    await third.execute("COMMIT")
    await asyncio.gather(first, second)
    assert order == ["other", "late"]


async def test_the_writer_comes_before_sessions(adapter: SqliteAdapter) -> None:
    one, two = await adapter.open_session(), await adapter.open_session()
    await one.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(two.execute("BEGIN IMMEDIATE"))
    await eventually(lambda: adapter.queue._places, "the session to wait")
    writing = asyncio.create_task(adapter.batch([INSERT]))
    await eventually(lambda: adapter.queue.writer_waits, "the writer to wait")
    await one.execute("COMMIT")
    await writing
    await waiting
    await two.execute("COMMIT")


async def test_only_sessions_that_are_open_are_waited_for(adapter: SqliteAdapter) -> None:
    long = await adapter.open_session(SessionLimits(transaction_seconds=60))
    short = await adapter.open_session(SessionLimits(1, 2))
    reading = await adapter.open_session(SessionLimits(transaction_seconds=90, readonly=True))
    assert 60 < adapter.queue.patience < 90
    await long.close()
    assert 2 < adapter.queue.patience < 5
    await short.close()
    assert adapter.queue.patience == 0
    await reading.close()


async def test_a_cursor_that_nobody_reads_keeps_no_lock(adapter: SqliteAdapter) -> None:
    session = await adapter.open_session()
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)"
    cursor = await session.open_cursor(f"{numbers} INSERT INTO t SELECT i FROM n RETURNING x")
    assert await cursor.fetch(2) == [(1,), (2,)]
    await adapter.batch([INSERT])
    assert len(await cursor.fetch(2_000)) == 998
    assert (await cursor.finish()).rowcount == 1_000
    assert await adapter.query("SELECT count(*) FROM t") == [(1_001,)]


async def test_statements_of_a_sequence_count_from_when_the_lock_was_taken(
    adapter: SqliteAdapter,
) -> None:
    session = await adapter.open_session(SessionLimits(transaction_seconds=60))
    await session.sequence("BEGIN; SELECT count(*) FROM t; INSERT INTO t VALUES (2)")
    assert session.rollback_at is not None
    taken = session.rollback_at
    await session.sequence("INSERT INTO t VALUES (3); SELECT 1")
    assert session.rollback_at == taken
    await session.execute("COMMIT")


def test_writers_of_other_workers_come_first_too() -> None:
    group = Group(2)
    here, there = (
        LockQueue(Workers(number, group).numbers("database.x.asking", 2)) for number in range(2)
    )
    over = there.expect(SessionLimits(statement_seconds=3, transaction_seconds=7))
    assert here.patience > 7
    over()
    assert here.patience == 0
    with here.place(is_late=False) as place:
        assert here.is_next(place)
        there.writer_asks()
        assert not here.is_next(place)
        there.writer_is_done()
        assert here.is_next(place)
    group.close()


def test_what_a_dead_writer_left_does_not_count() -> None:
    group = Group(1)
    numbers = Workers(0, group).numbers("database.x.asking", 2)
    LockQueue(numbers).writer_asks()
    assert not LockQueue(numbers).writer_waits
    group.close()

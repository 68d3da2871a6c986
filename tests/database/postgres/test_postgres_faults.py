"""What happens when connections break, servers end, and others hold locks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from buntime_database import (
    Batch,
    DatabaseBusy,
    DatabaseUnavailable,
    Guard,
    InvalidStatement,
    OutcomeUnknown,
    Statement,
    StatementTimeout,
    Transaction,
    TransactionMisuse,
)
from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter
from buntime_plugin_database.engines.postgres.starting import prepare
from database.postgres.support import make_adapter
from support.cutting import Cutting, cutting_link
from support.postgres import Postgres, running_postgres
from support.waiting import PATIENCE, until

ADD = Statement("UPDATE t SET n = n + 1")
LOCK = "SELECT pg_advisory_lock(hashtextextended($1, 0))"


@pytest.fixture(scope="module")
def fragile() -> Iterator[Postgres]:
    """A server that tests end; each starts it again."""
    with running_postgres({"fsync": "off"}) as server:  # its machine survives
        yield server


@asynccontextmanager
async def table(url: str, **options: Any) -> AsyncIterator[PostgresAdapter]:
    """An adapter whose schema has `t` with a 0 in it."""
    adapter = make_adapter(url, **options)
    try:
        await prepare(adapter, PATIENCE)
        await adapter.execute("CREATE TABLE t (n int)")
        await adapter.execute("INSERT INTO t VALUES (0)")
        yield adapter
    finally:
        await adapter.close()


@asynccontextmanager
async def cut_table(
    server: Postgres, **options: Any
) -> AsyncIterator[tuple[Cutting, PostgresAdapter]]:
    """The same behind a link that breaks when it is told to."""
    async with cutting_link(server.port) as (cutting, port):
        url = server.url.replace(f":{server.port}/", f":{port}/")
        async with table(url, **options) as adapter:
            yield cutting, adapter
            cutting.is_away, cutting.fate = False, "passes"


async def n_of(adapter: PostgresAdapter) -> Any:
    ((n,),) = await adapter.query("SELECT n FROM t")
    return n


def more_than(found: set[str], wanted: int) -> bool:
    return len(found) > wanted


async def works(adapter: PostgresAdapter) -> bool:
    try:
        await adapter.batch([ADD])
    except DatabaseUnavailable:
        return False
    return True


async def until_it_works(adapter: PostgresAdapter) -> None:
    for _ in range(500):
        if await works(adapter):
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not work again")


async def until_told(connection: Any, sql: str, wanted: int) -> None:
    """Ask until the answer is that."""
    for _ in range(1000):
        if await connection.fetchval(sql) == wanted:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{sql} did not become {wanted}")


async def test_a_server_that_is_killed_and_comes_back(
    fragile: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    async with table(fragile.url) as adapter:
        await asyncio.gather(*(n_of(adapter) for _ in range(4)))
        fragile.kill()
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="plugin:@buntime/plugin-database"):
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    await n_of(adapter)
            assert len(caplog.messages) == 1
            assert "reads fail" in caplog.messages[0]
            with pytest.raises(DatabaseUnavailable):
                await adapter.batch([ADD])
            assert await adapter.check()
            fragile.start()
            await until_it_works(adapter)
            assert await n_of(adapter) == 1
            assert await adapter.check() is None
        assert len(caplog.messages) == 4
        assert "reads work again" in caplog.text


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_connections_of_a_server_that_was_restarted_are_made_anew(
    fragile: Postgres, how: str
) -> None:
    async with table(fragile.url) as adapter:
        await asyncio.gather(*(n_of(adapter) for _ in range(4)))
        await adapter.transaction(lambda tx: tx.execute("SELECT 1"))
        await asyncio.to_thread(getattr(fragile, how))
        await asyncio.to_thread(fragile.start)
        assert await asyncio.gather(*(n_of(adapter) for _ in range(4))) == [0] * 4
        await adapter.batch([ADD])
        await adapter.transaction(lambda tx: tx.execute(*ADD))
        assert await n_of(adapter) == 2


async def test_a_server_that_is_not_there() -> None:
    adapter = make_adapter("postgresql://someone:s3cret@127.0.0.1:1/x")
    for call in (n_of(adapter), adapter.batch([ADD]), prepare(adapter, 0.1)):
        with pytest.raises(DatabaseUnavailable, match=r"PostgreSQL at 127\.0\.0\.1:1/x") as raised:
            await call
        assert "s3cret" not in repr(raised.value)
        assert "someone" not in repr(raised.value)
    await adapter.close()


async def test_a_commit_whose_answer_is_lost_is_told(postgres: Postgres) -> None:
    async with cut_table(postgres) as (cutting, adapter):
        cutting.fate = "answer lost"
        result = await adapter.execute("UPDATE t SET n = n + 1 RETURNING n")
        assert result == [{"n": 1}]
        assert await adapter.transaction(lambda tx: tx.execute_one("SELECT 7 AS x")) == {"x": 7}
        assert cutting.cuts == 2
        assert await n_of(adapter) == 1


async def test_a_commit_that_did_not_arrive_is_sent_again(postgres: Postgres) -> None:
    async with cut_table(postgres) as (cutting, adapter):
        cutting.fate = "request lost"
        writing = asyncio.create_task(adapter.batch([ADD]))
        await until(lambda: cutting.cuts)
        cutting.fate = "passes"
        await writing
        assert await n_of(adapter) == 1


async def test_a_transaction_that_did_not_arrive_is_the_callers_to_repeat(
    postgres: Postgres,
) -> None:
    async with cut_table(postgres) as (cutting, adapter):
        cutting.fate = "request lost"
        with pytest.raises(DatabaseUnavailable, match="nothing was written"):
            await adapter.transaction(lambda tx: tx.execute(*ADD))
        assert await n_of(adapter) == 0


async def test_an_outcome_that_nobody_tells_is_unknown(postgres: Postgres) -> None:
    async with cut_table(postgres, timeout_seconds=0.3) as (cutting, adapter):
        cutting.fate, cutting.away_after_cut = "answer lost", True
        writing = asyncio.create_task(adapter.batch([ADD]))
        await until(lambda: cutting.is_away)
        waiting = asyncio.create_task(adapter.batch([ADD]))
        with pytest.raises(OutcomeUnknown, match="may have been carried out"):
            await writing
        with pytest.raises(DatabaseUnavailable):  # it was not even sent
            await waiting
        cutting.is_away, cutting.fate = False, "passes"
        assert await n_of(adapter) == 1


async def test_a_repeatable_statement_is_sent_until_there_is_an_answer(postgres: Postgres) -> None:
    async with table(postgres.url) as adapter:
        ((mine,),) = await adapter.query("SELECT pg_backend_pid()")
        sql = (
            "WITH once AS (SELECT pg_terminate_backend(pg_backend_pid()) FROM t WHERE n < ?)"
            " UPDATE t SET n = (SELECT count(*) FROM once) + 5 RETURNING n"
        )
        raising = asyncio.create_task(_raise_n(postgres, adapter))
        (outcome,) = await adapter.batch_each(
            [Batch([Statement(sql, (5,))], bounded=True, repeatable=True)]
        )
        await raising
        assert isinstance(outcome, list)
        assert outcome[0].rows == [(5,)]
        assert mine


async def _raise_n(server: Postgres, adapter: PostgresAdapter) -> None:
    """Let the statement pass at a later attempt."""
    await asyncio.sleep(0.2)
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"UPDATE {adapter.schema}.t SET n = 5")
    await connection.close()


async def test_a_connection_that_ends_before_the_commit_writes_nothing(postgres: Postgres) -> None:
    async with table(postgres.url) as adapter:
        sql = "SELECT pg_terminate_backend(pg_backend_pid()) FROM t WHERE n = 1"
        with pytest.raises(DatabaseUnavailable):
            await adapter.batch([ADD, Statement(sql)])
        assert await n_of(adapter) == 0
        outcomes = await adapter.batch_each(
            [Batch([ADD, ADD], True), Batch([Guard("(SELECT n FROM t) = 2")], True)]
        )
        assert all(isinstance(outcome, list) for outcome in outcomes)


@asynccontextmanager
async def stranger(server: Postgres, adapter: PostgresAdapter) -> AsyncIterator[Any]:
    """A connection of a program that knows nothing of our locks."""
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(f"SET search_path TO {adapter.schema}")
        yield connection
    finally:
        await connection.close()


async def test_a_deadlock_with_a_stranger_is_tried_again(postgres: Postgres) -> None:
    async with table(postgres.url) as adapter, stranger(postgres, adapter) as other:
        await adapter.execute("CREATE TABLE u (n int)")
        await adapter.execute("INSERT INTO u VALUES (0)")
        await other.execute("SET deadlock_timeout TO '1min'")
        await other.execute("BEGIN; UPDATE u SET n = 10")
        ours = asyncio.create_task(adapter.batch([ADD, Statement("UPDATE u SET n = n + 1")]))
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        await until_told(other, blocked, 1)
        await other.execute("UPDATE t SET n = 10")  # passes once ours has given way
        await other.execute("COMMIT")
        await ours
        assert await adapter.query("SELECT t.n, u.n FROM t, u") == [(11, 11)]


async def test_a_lock_that_others_keep_is_waited_for_so_long(postgres: Postgres) -> None:
    async with table(postgres.url, timeout_seconds=0.3) as adapter:
        async with stranger(postgres, adapter) as other:
            await other.execute(LOCK, f"buntime {adapter.schema}")
            for call in (adapter.batch([ADD]), adapter.transaction(lambda tx: tx.execute(*ADD))):
                with pytest.raises(DatabaseBusy) as raised:
                    await call
                assert raised.value.code == "POSTGRES_LOCK_NOT_AVAILABLE"
        assert await works(adapter)


async def test_a_statement_that_takes_too_long_is_stopped(postgres: Postgres) -> None:
    slow = "SELECT pg_sleep(20)::text"
    async with table(postgres.url, statement_seconds=0.1) as adapter:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: adapter.query(slow),
            lambda: adapter.batch([ADD, Statement(slow)]),
            lambda: adapter.transaction(lambda tx: tx.execute(slow)),
        ]
        for call in calls:
            with pytest.raises(StatementTimeout):
                await call()
        (outcome,) = await adapter.batch_each(
            [Batch([ADD, Statement("SELECT pg_sleep(0.3)::text")], patient=True)]
        )
        assert isinstance(outcome, list)
        assert await n_of(adapter) == 1


async def test_more_readers_than_connections_wait_for_so_long(postgres: Postgres) -> None:
    # Long enough for twenty reads on a busy machine.
    async with table(postgres.url, pool_size=3, timeout_seconds=2) as adapter:
        reading = asyncio.create_task(adapter.query("SELECT pg_sleep(20)::text"))
        await until(lambda: adapter.server.reads.in_use)
        with pytest.raises(DatabaseBusy, match=r"all 1 connections were in use .*poolSize"):
            await n_of(adapter)
        reading.cancel()
        await asyncio.wait([reading])
        reads = [asyncio.create_task(n_of(adapter)) for _ in range(20)]
        reads[3].cancel()
        await asyncio.wait(reads)
        assert {task.result() for task in reads if not task.cancelled()} == {0}


async def test_a_read_that_is_given_up_ends_in_the_server(postgres: Postgres) -> None:
    async with table(postgres.url, pool_size=3) as adapter:
        reading = asyncio.create_task(adapter.query("SELECT pg_sleep(19)::text"))
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(19)%'"
        async with stranger(postgres, adapter) as other:
            counted = f"{running} AND state = 'active' AND pid <> pg_backend_pid()"
            await until_told(other, counted, 1)
            reading.cancel()
            await until_told(other, counted, 0)
        assert await n_of(adapter) == 0
        assert adapter.server.reads.made == 1


async def test_notes_of_commits_are_few_and_made_anew(postgres: Postgres) -> None:
    notes = "SELECT count(*), max(number) FROM buntime_writers"
    async with table(postgres.url) as adapter:
        ((before, _),) = await adapter.query(notes)
        for _ in range(3):
            await adapter.batch([ADD])
        await adapter.transaction(lambda tx: tx.execute(*ADD))
        ((after, newest),) = await adapter.query(notes)
        assert (before, after, newest) == (1, 2, 5)
        async with stranger(postgres, adapter) as other:
            await other.execute("DROP TABLE buntime_writers")
        await adapter.batch([ADD])
        assert await adapter.query(notes) == [(1, 7)]  # the one in between was undone
        assert await n_of(adapter) == 5


async def test_after_an_error_nothing_of_a_transaction_is_written(postgres: Postgres) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute(*ADD)
        for sql in ("SELECT 1/0", "SELECT 1"):
            with pytest.raises(InvalidStatement):
                await tx.execute(sql)

    async with table(postgres.url) as adapter:
        with pytest.raises(TransactionMisuse, match="nothing of it was written"):
            await adapter.transaction(work)
        assert await n_of(adapter) == 0


async def test_a_standby_reads_and_says_that_it_only_reads(fragile: Postgres) -> None:
    standby = fragile.copy(fragile.folder.with_name("standby"))
    standby.start()
    both = f"127.0.0.1:{standby.port},127.0.0.1:{fragile.port}"
    url = fragile.url.replace(f"127.0.0.1:{fragile.port}", both)
    try:
        async with table(f"{url}?target_session_attrs=read-write") as primary:
            schema = primary.schema
            follower = make_adapter(standby.url, schema=schema)
            follows = f"SELECT count(to_regclass('{schema}.t'))"
            async with stranger(standby, follower) as other:
                await until_told(other, follows, 1)
            for call in (follower.batch([ADD]), follower.transaction(lambda tx: tx.execute(*ADD))):
                with pytest.raises(DatabaseUnavailable, match="target_session_attrs=read-write"):
                    await call
            await follower.close()
    finally:
        standby.kill()


async def test_a_server_killed_under_load_loses_nothing_and_doubles_nothing(
    fragile: Postgres,
) -> None:
    async with table(fragile.url) as one:
        await one.execute("CREATE TABLE written (id text PRIMARY KEY)")
        other = make_adapter(fragile.url, schema=one.schema)
        answered: set[str] = set()
        unknown: set[str] = set()
        killed = asyncio.Event()

        async def write(adapter: PostgresAdapter, writer: int) -> None:
            number = 0
            while not killed.is_set():
                number += 1
                name = f"{writer}-{number}"
                steps = [Statement("INSERT INTO written VALUES (?)", (name,)), ADD]
                (outcome,) = await adapter.batch_each([Batch(steps, bounded=True)])
                if isinstance(outcome, OutcomeUnknown):
                    unknown.add(name)
                elif isinstance(outcome, DatabaseUnavailable):
                    await asyncio.sleep(0.01)
                else:
                    assert isinstance(outcome, list), outcome
                    answered.add(name)

        writing = [asyncio.create_task(write((one, other)[n % 2], n)) for n in range(16)]
        for _ in range(3):
            wanted = len(answered) + 100
            await until(partial(more_than, answered, wanted))
            await asyncio.to_thread(fragile.kill)
            await asyncio.to_thread(fragile.start)
        killed.set()
        await asyncio.gather(*writing)
        await until_it_works(other)  # which adds one more
        present = {str(row[0]) for row in await one.query("SELECT id FROM written")}
        assert answered <= present
        assert present <= answered | unknown
        assert await n_of(one) - 1 == len(present)
        await other.close()

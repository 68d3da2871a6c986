"""What runs for too long in an embedded database is stopped, and nobody else pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from buntime_database import Batch, DatabaseClosed, SessionLimits, Statement, StatementTimeout
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions

pytestmark = pytest.mark.slow

ENDLESS = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)"
SLOW_WRITE = Statement(f"{ENDLESS} INSERT INTO t SELECT sum(i) FROM n")
LONG = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 3000000)"
LONG_WRITE = Statement(f"{LONG} INSERT INTO t SELECT sum(i) FROM n")

FEW_STEPS = """
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 400)
SELECT sum(length(hex(zeroblob(4000000 + i)))) FROM n"""
"""Takes seconds, and not as many steps as SQLite looks at the clock after."""


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    """A database whose statements may run for 50 ms."""
    adapter = SqliteAdapter(str(tmp_path / "t.db"), options=SqliteOptions(statement_timeout_ms=50))
    await adapter.batch([Statement("CREATE TABLE t (x)")])
    yield adapter
    await adapter.close()


async def count(adapter: SqliteAdapter) -> object:
    ((number,),) = await adapter.query("SELECT count(*) FROM t", fresh=True)
    return number


async def test_a_read_is_stopped_and_the_reader_lives_on(impatient: SqliteAdapter) -> None:
    for _ in range(5):  # more than there are readers
        with pytest.raises(StatementTimeout, match=r"statementTimeout of the adapter \(0.05 s\)"):
            await impatient.query(f"{ENDLESS} SELECT sum(i) FROM n")
    assert await count(impatient) == 0


async def test_a_write_is_stopped_and_leaves_nothing(impatient: SqliteAdapter) -> None:
    with pytest.raises(StatementTimeout):
        await impatient.batch([Statement("INSERT INTO t VALUES (1)"), SLOW_WRITE])
    assert await count(impatient) == 0
    await impatient.batch([Statement("INSERT INTO t VALUES (2)")])
    assert await count(impatient) == 1


async def test_few_steps_that_take_long_are_stopped(impatient: SqliteAdapter) -> None:
    for _ in range(3):
        with pytest.raises(StatementTimeout):
            await impatient.query(FEW_STEPS)
        with pytest.raises(StatementTimeout):
            await impatient.batch([Statement(f"INSERT INTO t {FEW_STEPS}")])
    assert await count(impatient) == 0


async def test_writes_that_are_committed_with_a_slow_one_are_made(impatient: SqliteAdapter) -> None:
    quick = Statement("INSERT INTO t VALUES (1)")
    outcomes = await impatient.batch_each([Batch([quick]), Batch([SLOW_WRITE]), Batch([quick])])
    assert [isinstance(outcome, StatementTimeout) for outcome in outcomes] == [False, True, False]
    assert await count(impatient) == 2


async def test_maintenance_may_take_its_time(impatient: SqliteAdapter) -> None:
    with pytest.raises(StatementTimeout):
        await impatient.batch([LONG_WRITE])
    (outcome,) = await impatient.batch_each([Batch([LONG_WRITE], patient=True)])
    assert isinstance(outcome, list)
    assert await count(impatient) == 1


async def test_few_steps_of_a_session_are_stopped(impatient: SqliteAdapter) -> None:
    session = await impatient.open_session(SessionLimits(statement_seconds=0.05))
    for _ in range(3):
        with pytest.raises(StatementTimeout):
            await session.execute(FEW_STEPS)
        assert (await session.execute("SELECT 1")).rows == [(1,)]
    task = asyncio.create_task(session.execute(FEW_STEPS))
    await asyncio.sleep(0)
    await session.close()
    with pytest.raises((StatementTimeout, DatabaseClosed)):
        await task


async def test_without_a_limit_nothing_is_stopped(tmp_path: Path) -> None:
    adapter = SqliteAdapter(str(tmp_path / "t.db"), options=SqliteOptions(statement_timeout_ms=0))
    try:
        async with asyncio.timeout(60):
            assert len(await adapter.query(f"{LONG} SELECT sum(i) FROM n")) == 1
    finally:
        await adapter.close()

"""Another connection holds the lock, or changes what a decision was made on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from buntime_database import Batch, DatabaseBusy, DatabaseError, ResultSet
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import encode_key
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_keyval.engine import commit as commit_module
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import World, open_world, until, values

pytestmark = pytest.mark.engines("sqlite", "odd", "rqlite", "postgres")

IMPATIENT = SqliteOptions(synchronous="off", busy_timeout_ms=60)
PATIENT = SqliteOptions(synchronous="off", busy_timeout_ms=15_000)
Meddle = Callable[[], Awaitable[Any]]


class Meddled(SqliteAdapter):
    """Lets a foreign writer in between the moment of decision and the commit."""

    meddles: list[Meddle]

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        if getattr(self, "meddles", None):
            await self.meddles.pop(0)()
        return await super().batch_each(batches)


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[LocalKv]:
    async with open_world(tmp_path / "kv.db") as opened:
        yield opened.kv


@pytest.fixture
async def meddled(foreign: LocalKv, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "kv.db", adapter_type=Meddled) as opened:
        yield opened


def meddle(world: World, *meddles: Meddle) -> None:
    assert isinstance(world.adapter, Meddled)
    world.adapter.meddles = list(meddles)


async def test_a_decision_is_made_again_on_what_is_there_now(
    meddled: World, foreign: LocalKv
) -> None:
    kv = meddled.kv
    await kv.atomic().set(("n",), 1).set(("list",), ["a"]).set(("gone",), 1).commit()

    async def change() -> None:
        await foreign.atomic().sum(("n",), 10).append(("list",), ["f"]).delete(("gone",)).commit()

    meddle(meddled, change)
    atomic = kv.atomic().sum(("n",), 100).append(("list",), ["b"]).max(("gone",), -5)
    assert (await atomic.commit()).ok
    assert await values(kv) == {("gone",): -5, ("list",): ["a", "f", "b"], ("n",): 111}


@pytest.mark.parametrize("change", ["changed", "deleted", "created", "same value again"])
async def test_weakness_02_a_check_that_held_at_first_fails(
    meddled: World, foreign: LocalKv, change: str
) -> None:
    kv = meddled.kv
    if change != "created":
        await kv.set(("k",), 1)
    entry = await kv.get(("k",))
    changes: dict[str, Meddle] = {
        "changed": lambda: foreign.set(("k",), 2),
        "created": lambda: foreign.set(("k",), 2),
        "same value again": lambda: foreign.set(("k",), 1),
        "deleted": lambda: foreign.delete(("k",)),
    }
    meddle(meddled, changes[change])
    assert not (await kv.atomic().check(entry).set(("k",), 3).set(("other",), 3).commit()).ok
    assert not (await kv.get(("other",))).exists


async def test_a_check_that_failed_because_of_a_foreign_failure_is_no_check_of_ours(
    meddled: World, foreign: LocalKv
) -> None:
    """A builds on a stale row, B on A: both decide again, in their order."""
    kv = meddled.kv
    await kv.set(("n",), 1)
    meddle(meddled, lambda: foreign.set(("n",), 100))
    a, b, c = await asyncio.gather(
        kv.atomic().sum(("n",), 1).commit(),
        kv.atomic().sum(("n",), 1).commit(),
        kv.set(("other",), 1),
    )
    assert a.ok
    assert b.ok
    assert c.ok
    assert await values(kv) == {("n",): 102, ("other",): 1}


async def test_a_foreign_type_change_is_refused(meddled: World, foreign: LocalKv) -> None:
    kv = meddled.kv
    await kv.set(("n",), 1)
    meddle(meddled, lambda: foreign.set(("n",), "text"))
    with pytest.raises(ValueError, match="sum requires a numeric value"):
        await kv.atomic().sum(("n",), 1).commit()
    assert await values(kv) == {("n",): "text"}


async def test_who_is_always_too_slow_gives_way(
    meddled: World, foreign: LocalKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_module, "MAX_ATTEMPTS", 5)
    kv = meddled.kv
    meddle(meddled, *[lambda: foreign.atomic().sum(("n",), 1).commit() for _ in range(9)])
    slow, other = await asyncio.gather(
        kv.atomic().sum(("n",), 1000).commit(), kv.set(("other",), 1), return_exceptions=True
    )
    assert isinstance(slow, DatabaseBusy)
    assert not isinstance(other, BaseException)
    # Once more than it was decided: the first group was tried as a whole, and then each of it.
    assert await values(kv) == {("n",): 6, ("other",): 1}


async def test_what_a_commit_reads_existed_at_one_moment(meddled: World, foreign: LocalKv) -> None:
    """It reads x from the database and y from a write before it in the same group."""
    kv, store = meddled.kv, meddled.store
    await kv.atomic().set(("x",), "old").set(("y",), "old").commit()
    meddle(meddled, lambda: foreign.set(("x",), "new"))
    x, y, absent = (encode_key((name,)) for name in "xyz")
    _, read = await asyncio.gather(
        kv.set(("y",), "new"), store.commit([EngineCheck(absent, None)], [], [x, y])
    )
    assert read is not None
    seen = (read.rows[x].value, read.rows[y].value)
    assert seen != ('"old"', '"new"'), "y became new only after x had"


async def test_a_transaction_over_two_processes(meddled: World, foreign: LocalKv) -> None:
    runs = 0

    async def move(tx: Any) -> None:
        nonlocal runs
        runs += 1
        a, b = await tx.get([("a",), ("b",)])
        tx.set(("a",), a.value - 1)
        tx.set(("b",), b.value + 1)

    await meddled.kv.atomic().set(("a",), 10).set(("b",), 0).commit()
    meddle(meddled, lambda: foreign.atomic().sum(("a",), 100).commit())
    result = await meddled.kv.transaction(move, max_retries=3, retry_delay=0)
    assert (result.ok, runs) == (True, 2)
    assert await values(foreign) == {("a",): 109, ("b",): 1}


async def test_a_lock_that_is_held_too_long(tmp_path: Path) -> None:
    async with open_world(tmp_path / "kv.db", options=IMPATIENT) as world:
        kv = world.kv
        await kv.set(("a",), 1)
        other = apsw.Connection(str(tmp_path / "kv.db"))
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            kv.set(("a",), 2),
            kv.atomic().sum(("a",), 1).commit(),
            kv.delete(("a",)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [DatabaseBusy] * 3
        assert await values(kv) == {("a",): 1}
        other.execute("ROLLBACK")
        other.close()
        assert (await kv.set(("a",), 2)).ok
        assert await values(kv) == {("a",): 2}


async def test_a_lock_that_is_released_in_time(tmp_path: Path) -> None:
    async with open_world(tmp_path / "kv.db", options=PATIENT) as world:
        kv = world.kv
        await kv.set(("a",), 1)
        other = apsw.Connection(str(tmp_path / "kv.db"))
        other.execute("BEGIN IMMEDIATE")
        writes = [asyncio.create_task(kv.atomic().sum(("a",), 1).commit()) for _ in range(10)]
        for _ in range(20):
            assert (await kv.get(("a",))).value == 1, "readers need no lock"
            assert await kv.count(where={"$": 1}) == 1
        assert not any(write.done() for write in writes)
        other.execute("UPDATE kv_entries SET value = '50', versionstamp = 'foreign'")
        other.execute("COMMIT")
        other.close()
        assert all(result.ok for result in await asyncio.gather(*writes))
        assert await values(kv) == {("a",): 60}


async def test_two_stores_on_one_file_lose_nothing(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path / "kv.db", options=PATIENT) as one,
        open_world(tmp_path / "kv.db", options=PATIENT) as two,
    ):
        adds = [(one, two)[n % 2].kv.atomic().sum(("n",), 1).commit() for n in range(300)]
        assert all(result.ok for result in await asyncio.gather(*adds))

        async def seen() -> bool:
            return [await values(world.kv) for world in (one, two)] == [{("n",): 300}] * 2

        await until(seen)

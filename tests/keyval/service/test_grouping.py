"""Which writes share a commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from buntime_database import Batch, DatabaseError, ResultSet
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.engine import commit
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.storage.schema import migrate

WRITERS = 8
ROUNDS = 5


async def commits_of_two_halves(path: Path) -> float:
    """The commits it takes when half of the writers start while the other half is committed."""
    adapter = SqliteAdapter(str(path))
    try:
        await migrate(adapter, 0)
        store = Store(adapter, logger=logging.getLogger("test"))
        under_way = asyncio.Event()

        async def write(number: int) -> None:
            if number % 2:
                await under_way.wait()
            for turn in range(ROUNDS):
                writing = store.set(b"\x02%d\0" % number, "[]", str(turn))
                if not number % 2 and not turn:
                    asyncio.get_running_loop().call_later(0, under_way.set)
                await writing

        before = adapter.statistics()["commits"]
        await asyncio.gather(*(write(number) for number in range(WRITERS)))
        return adapter.statistics()["commits"] - before
    finally:
        await adapter.close()


async def test_writers_that_were_just_answered_join_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "REGATHER_SHARE", 1e9)
    monkeypatch.setattr(commit, "REGATHER_SECONDS", 10.0)
    assert await commits_of_two_halves(tmp_path / "patient.db") <= ROUNDS + 2
    monkeypatch.setattr(commit, "REGATHER_SHARE", 0.0)
    assert await commits_of_two_halves(tmp_path / "hasty.db") >= ROUNDS + 2


async def test_nobody_is_waited_for_who_did_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience, groups = 100, 60
    seconds = count()
    monkeypatch.setattr(commit, "perf_counter", lambda: float(next(seconds)))
    monkeypatch.setattr(commit, "REGATHER_SHARE", 1e9)
    monkeypatch.setattr(commit, "REGATHER_SECONDS", float(patience))
    writes: list[asyncio.Future[str]] = []

    class Crowded(SqliteAdapter):
        """During each commit somebody else comes, who writes once."""

        async def batch_each(
            self, batches: Sequence[Batch]
        ) -> list[list[ResultSet] | DatabaseError]:
            outcomes = await super().batch_each(batches)
            if len(writes) < groups:
                writes.append(asyncio.ensure_future(store.set(b"\x02a\0", "[]", str(len(writes)))))
                await asyncio.sleep(0)
            return outcomes

    alone = SqliteAdapter(str(tmp_path / "kv.db"))
    await migrate(alone, 0)
    await alone.close()
    adapter = Crowded(str(tmp_path / "kv.db"))
    try:
        store = Store(adapter, logger=logging.getLogger("test"))
        await store.set(b"\x02a\0", "[]", "0")
        while len(writes) < groups or not all(write.done() for write in writes):
            await asyncio.wait(writes)
    finally:
        await adapter.close()
    waits = next(seconds) // patience
    assert 2 <= waits <= 8, f"{waits} times for {groups} groups"

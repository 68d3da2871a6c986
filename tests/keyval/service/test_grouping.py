"""Which writes share a commit."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from buntime_plugin_database.sqlite import SqliteAdapter
from buntime_plugin_keyval import commit
from buntime_plugin_keyval.storage.schema import migrate
from buntime_plugin_keyval.store import Store

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

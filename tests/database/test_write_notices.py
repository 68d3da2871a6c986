"""Word of writes to a database file, which the system gives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from buntime_plugin_database.engines.sqlite import SqliteAdapter, write_notices
from database.support import OpenSqlite, eventually

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives word of writes here"
)

INSERT = "INSERT INTO t VALUES (1)"
ELSEWHERE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])"


async def turns() -> None:
    """Time for word to come that must not come."""
    for _ in range(20):
        await asyncio.sleep(0.005)


async def test_word_comes_once_for_each_time_it_is_asked_for(open_sqlite: OpenSqlite) -> None:
    adapter, other = open_sqlite(), open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    told: list[str] = []

    def has_come(times: int) -> bool:
        return len(told) == times

    for number, writer in enumerate((other, adapter, other)):
        assert adapter.when_written(lambda: told.append("one"))
        assert adapter.when_written(lambda: told.append("two"))
        await adapter.query("SELECT * FROM t")
        await turns()
        assert len(told) == 2 * number, "a read is no write"
        await writer.execute(INSERT)
        await eventually(partial(has_come, 2 * number + 2), "word of a write")
        await writer.execute(INSERT)
        await turns()
        assert told == ["one", "two"] * (number + 1)


async def test_another_process_writes(open_sqlite: OpenSqlite) -> None:
    adapter = open_sqlite()
    await adapter.execute("CREATE TABLE t (x)")
    told: list[int | None] = []
    before = adapter.data_version()
    assert adapter.when_written(lambda: told.append(adapter.data_version()))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ELSEWHERE, adapter.path, INSERT
    )
    assert await process.wait() == 0
    await eventually(lambda: told, "word of a write in another process")
    assert adapter.data_version() != before


async def test_a_closed_database_tells_nobody(open_sqlite: OpenSqlite) -> None:
    adapter, other = open_sqlite(), open_sqlite()
    await other.execute("CREATE TABLE t (x)")
    told: list[str] = []
    assert adapter.when_written(lambda: told.append("word"))
    await adapter.close()
    await other.execute(INSERT)
    await turns()
    assert told == []
    assert not adapter.when_written(lambda: told.append("word"))
    assert not open_sqlite(":memory:").when_written(lambda: told.append("word"))


def test_an_event_loop_may_end_before_the_word_comes(tmp_path: Path) -> None:
    adapter = SqliteAdapter(str(tmp_path / "test.db"))
    told: list[str] = []

    async def ask() -> None:
        assert adapter.when_written(lambda: told.append("word"))

    async def write() -> None:
        await ask()
        await adapter.execute("CREATE TABLE t (x)")
        await eventually(lambda: told == ["word", "word"], "word in the second loop")
        await adapter.close()

    asyncio.run(ask())
    asyncio.run(write())


def no_system() -> None:
    """As where Linux is not."""


def none_left() -> write_notices._System:
    return write_notices._System(lambda _: -1, lambda *_: 1)


def not_watched() -> write_notices._System:
    system = write_notices._system()
    assert system is not None
    return write_notices._System(system.init, lambda *_: -1)


@pytest.mark.parametrize("made", [no_system, none_left, not_watched])
async def test_where_the_system_gives_no_word(
    made: Callable[[], write_notices._System | None],
    open_sqlite: OpenSqlite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = made()
    monkeypatch.setattr(write_notices, "_system", lambda: system)
    adapter = open_sqlite()
    for _ in range(2):
        assert not adapter.when_written(lambda: None)
    await adapter.close()

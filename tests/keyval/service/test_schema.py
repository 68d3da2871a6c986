"""Migrations: fresh or step by step the schema is the same, and two starters do not collide."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from buntime_database import DatabaseError
from buntime_plugin_database.sqlite import SqliteAdapter
from buntime_plugin_keyval.storage import schema
from buntime_plugin_keyval.storage.schema import Migration, SchemaTooNew, load_migrations, migrate
from keyval.service.upgrade import check_upgrade
from keyval.service.world import FAST, NOW_MS, open_world

STEP = Migration(
    len(load_migrations()) + 1,
    "later",
    ("CREATE TABLE later (x)", "ALTER TABLE kv_entries ADD COLUMN later TEXT"),
)
FILES = 25
MIGRATE = """
import asyncio, os, sys
from pathlib import Path
from buntime_plugin_database.sqlite import SqliteAdapter
from buntime_plugin_keyval.storage.schema import migrate
folder, name, files = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
async def main():
    for number in range(files):
        (folder / f"{number}.{name}").touch()
        while len(list(folder.glob(f"{number}.*.ready"))) < 2:
            pass  # both go at the same moment
        adapter = SqliteAdapter(str(folder / f"{number}.db"))
        print(await migrate(adapter, 5))
        await adapter.close()
asyncio.run(main())
"""


async def layout(adapter: SqliteAdapter) -> list[dict[str, object]]:
    rows = await adapter.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
    return [dict(row) for row in rows]


def ship(monkeypatch: pytest.MonkeyPatch, migrations: list[Migration]) -> None:
    monkeypatch.setattr(schema, "load_migrations", lambda: migrations)


def test_they_are_numbered_without_gaps() -> None:
    versions = [migration.version for migration in load_migrations()]
    assert versions == list(range(1, len(versions) + 1))
    assert all(migration.statements for migration in load_migrations())


async def test_fresh_and_step_by_step_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [*load_migrations(), STEP]
    one = SqliteAdapter(str(tmp_path / "fresh.db"), options=FAST)
    other = SqliteAdapter(str(tmp_path / "old.db"), options=FAST)
    ship(monkeypatch, steps)
    assert await migrate(one, NOW_MS) == len(steps)
    for number in range(1, len(steps) + 1):
        ship(monkeypatch, steps[:number])
        assert await migrate(other, NOW_MS) == number
        assert await migrate(other, NOW_MS) == number
    assert await layout(one) == await layout(other)
    ledger = await one.execute("SELECT version, name, applied_at FROM kv_migrations")
    assert [row["version"] for row in ledger] == list(range(1, len(steps) + 1))
    assert {row["applied_at"] for row in ledger} == {NOW_MS}
    await one.close()
    await other.close()


async def test_data_outlives_a_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path / "kv.db") as world:
        stamp = (await world.kv.set(("a",), 1)).versionstamp
    ship(monkeypatch, [*load_migrations(), STEP])
    async with open_world(tmp_path / "kv.db") as world:
        assert (await world.kv.get(("a",))).versionstamp == stamp
        assert await world.rows("SELECT later FROM kv_entries") == [(None,)]


async def test_a_database_from_the_future_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = len(load_migrations())
    with monkeypatch.context() as newer:
        ship(newer, [*load_migrations(), STEP])
        async with open_world(tmp_path / "kv.db") as world:
            await world.kv.set(("a",), 1)
    message = f"has schema version {known + 1}, this plugin knows only {known}: use a newer plugin"
    with pytest.raises(SchemaTooNew, match=message):
        async with open_world(tmp_path / "kv.db"):
            raise AssertionError("it was opened")


async def test_a_step_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = SqliteAdapter(str(tmp_path / "kv.db"), options=FAST)
    await migrate(adapter, NOW_MS)
    before = await layout(adapter)
    broken = STEP._replace(statements=(*STEP.statements, "CREATE TABLE later (x)"))
    ship(monkeypatch, [*load_migrations(), broken])
    with pytest.raises(DatabaseError):
        await migrate(adapter, NOW_MS)
    assert await layout(adapter) == before
    ship(monkeypatch, [*load_migrations()[:-1], STEP])
    assert await migrate(adapter, NOW_MS) == STEP.version
    await adapter.close()


async def test_many_in_one_process_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "kv.db")
    adapters = [SqliteAdapter(path, options=FAST) for _ in range(8)]
    versions = await asyncio.gather(*(migrate(adapter, NOW_MS) for adapter in adapters))
    assert set(versions) == {len(load_migrations())}
    for adapter in adapters:
        await adapter.close()


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Both find no file, again and again, and both come to the same schema."""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, str(tmp_path), f"{name}.ready", str(FILES)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    try:
        printed = [starter.communicate(timeout=30) for starter in starters]
    finally:
        for starter in starters:
            starter.kill()
            starter.wait()
    assert printed == [(f"{len(load_migrations())}\n" * FILES, "")] * 2


async def test_a_store_of_version_4_gets_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_upgrade(lambda: open_world(tmp_path / "kv.db"), monkeypatch)

"""Migrations: fresh or step by step the schema is the same, and two starters do not collide."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from buntime_database import Adapter, DatabaseError
from buntime_plugin_keyval.storage import schema
from buntime_plugin_keyval.storage.schema import Migration, SchemaTooNew, load_migrations, migrate
from keyval.engines import Engine
from keyval.service.upgrade import Older, check_upgrade
from keyval.service.world import NOW_MS, World
from support.waiting import PATIENCE

pytestmark = [pytest.mark.engines("sqlite", "libsql-replica"), pytest.mark.slow]

DatabaseOf = Callable[[str], Adapter]
OpenStore = Callable[[], AbstractAsyncContextManager[World]]
STEP = Migration(
    len(load_migrations()) + 1,
    "later",
    ("CREATE TABLE later (x)", "ALTER TABLE kv_entries ADD COLUMN later TEXT"),
)
ROUNDS = 10
MIGRATE = """
import asyncio, sys
from pathlib import Path
from buntime_plugin_keyval.storage.schema import migrate
def open_database(number):
    {opening}
async def main(folder, name, rounds):
    for number in range(rounds):
        (folder / f"{{number}}.{{name}}.ready").touch()
        while len(list(folder.glob(f"{{number}}.*.ready"))) < 2:
            pass  # both go at the same moment
        adapter = open_database(number)
        print(await migrate(adapter, 5))
        await adapter.close()
asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


async def layout(adapter: Adapter) -> list[dict[str, object]]:
    rows = await adapter.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
    return [dict(row) for row in rows]


def ship(monkeypatch: pytest.MonkeyPatch, migrations: list[Migration]) -> None:
    monkeypatch.setattr(schema, "load_migrations", lambda *_: migrations)


def test_they_are_numbered_without_gaps() -> None:
    versions = [migration.version for migration in load_migrations()]
    assert versions == list(range(1, len(versions) + 1))
    assert all(migration.statements for migration in load_migrations())


async def test_fresh_and_step_by_step_are_the_same(
    database_of: DatabaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [*load_migrations(), STEP]
    one = database_of("fresh")
    other = database_of("old")
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


async def test_data_outlives_a_migration(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store() as world:
        stamp = (await world.kv.set(("a",), 1)).versionstamp
    ship(monkeypatch, [*load_migrations(), STEP])
    async with open_store() as world:
        assert (await world.kv.get(("a",))).versionstamp == stamp
        assert await world.rows("SELECT later FROM kv_entries") == [(None,)]


async def test_a_database_from_the_future_is_refused(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = len(load_migrations())
    with monkeypatch.context() as newer:
        ship(newer, [*load_migrations(), STEP])
        async with open_store() as world:
            await world.kv.set(("a",), 1)
    message = f"has schema version {known + 1}, this plugin knows only {known}: use a newer plugin"
    with pytest.raises(SchemaTooNew, match=message):
        async with open_store():
            raise AssertionError("it was opened")


async def test_a_step_that_fails_leaves_nothing_behind(
    database_of: DatabaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = database_of("kv")
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


async def test_many_in_one_process_at_once(database_of: DatabaseOf) -> None:
    adapters = [database_of("kv") for _ in range(8)]
    versions = await asyncio.gather(*(migrate(adapter, NOW_MS) for adapter in adapters))
    assert set(versions) == {len(load_migrations())}
    for adapter in adapters:
        await adapter.close()


def test_two_processes_at_once(tmp_path: Path, engine: Engine) -> None:
    """Both find an empty database, again and again, and both come to the same schema."""
    code = MIGRATE.format(opening=engine.code_that_opens(tmp_path, ROUNDS))
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name, str(ROUNDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    try:
        printed = [starter.communicate(timeout=4 * PATIENCE) for starter in starters]
    finally:
        for starter in starters:
            starter.kill()
            starter.wait()
    assert printed == [(f"{len(load_migrations())}\n" * ROUNDS, "")] * 2


async def test_a_store_of_version_4_gets_times(
    open_store: OpenStore, open_older_store: Older
) -> None:
    await check_upgrade(open_store, open_older_store)

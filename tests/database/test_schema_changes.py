"""The schema changes under a statement that ran before: its names are those of its values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from buntime_database import DatabaseUnavailable, ResultSet, Session
from buntime_plugin_database.engines.sqlite import SqliteAdapter

ALL = "SELECT * FROM staff"
NOBODY = "SELECT * FROM staff WHERE name = 'nobody'"
UPDATE = "UPDATE staff SET name = 'Ada' RETURNING *"
UPDATE_NOBODY = "UPDATE staff SET name = 'x' WHERE name = 'nobody' RETURNING *"

CHANGES = {
    "a column more": ("ALTER TABLE staff ADD COLUMN town", ("Ada", 9000, 30, None)),
    "another name": ("ALTER TABLE staff RENAME COLUMN salary TO wage", ("Ada", 9000, 30)),
    "another order": (
        """DROP TABLE staff; CREATE TABLE staff (age, salary, name);
        INSERT INTO staff VALUES (30, 9000, 'Ada')""",
        (30, 9000, "Ada"),
    ),
}
NAMES = {
    "a column more": ["name", "salary", "age", "town"],
    "another name": ["name", "wage", "age"],
    "another order": ["age", "salary", "name"],
}

Changing = Callable[[str], Awaitable[object]]


class World:
    """One database, with a session whose texts are looked at."""

    def __init__(self, path: Path, adapter: SqliteAdapter, session: Session) -> None:
        self.path = path
        self.adapter = adapter
        self.session = session

    async def by_itself(self, sql: str) -> None:
        await self.session.sequence(sql)

    async def by_another_session(self, sql: str) -> None:
        other = await self.adapter.open_session()
        await other.sequence(sql)
        await other.close()

    async def by_the_adapter(self, sql: str) -> None:
        for statement in sql.split(";"):
            await self.adapter.execute(statement)

    async def by_another_process(self, sql: str) -> None:
        text = "import sys, apsw; apsw.Connection(sys.argv[1]).execute(sys.argv[2]).fetchall()"
        subprocess.run([sys.executable, "-c", text, str(self.path), sql], check=True)  # noqa: ASYNC221


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "test.db"
    adapter = SqliteAdapter(str(path))
    await adapter.execute("CREATE TABLE staff (name, salary, age)")
    await adapter.execute("INSERT INTO staff VALUES ('Ada', 9000, 30)")
    session = await adapter.open_session()
    yield World(path, adapter, session)
    await session.close()
    await adapter.close()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "who",
    [
        World.by_itself,
        World.by_another_session,
        World.by_the_adapter,
        pytest.param(World.by_another_process, marks=pytest.mark.slow),
    ],
)
async def test_columns_are_those_of_the_rows(
    world: World, who: Callable[[World, str], Awaitable[None]], change: str
) -> None:
    session, adapter = world.session, world.adapter
    texts = (ALL, NOBODY, UPDATE, UPDATE_NOBODY)
    for text in texts * 3:
        await session.execute(text)
        await session.describe(text)
        await adapter.execute(text)
    sql, row = CHANGES[change]
    await who(world, sql)
    for text in texts:
        described = await session.describe(text)
        assert [column.name for column in described.columns] == NAMES[change], text
    for text in texts:
        rows = [row] if text in (ALL, UPDATE) else []
        found = await session.execute(text)
        assert [column.name for column in found.columns] == NAMES[change], text
        assert found.rows == rows
        cursor = await session.open_cursor(text)
        assert [column.name for column in cursor.columns] == NAMES[change], text
        assert await cursor.fetch(10) == rows
        await cursor.finish()
        result = await adapter.execute_result(text)
        assert (list(result.columns), result.rows) == (NAMES[change], rows)


@pytest.mark.slow
@pytest.mark.parametrize("text", [ALL, NOBODY, UPDATE, UPDATE_NOBODY])
@pytest.mark.parametrize("change", CHANGES)
async def test_the_first_run_after_a_change_of_another_process(
    world: World, change: str, text: str
) -> None:
    """Nothing else has told the connection about the change."""
    await world.session.execute(text)
    await world.by_another_process(CHANGES[change][0])
    found = await world.session.execute(text)
    assert [column.name for column in found.columns] == NAMES[change]


def test_rows_that_do_not_fit_their_names_are_an_error_of_the_database() -> None:
    with pytest.raises(DatabaseUnavailable, match="are not a, b"):
        ResultSet(("a", "b"), [(1, 2, 3)], 0).as_dicts()

"""Tables that the cases use, in the words of each engine."""

from __future__ import annotations

from buntime_database import Adapter

_BLOB = {"sqlite": "BLOB", "postgres": "BYTEA", "mysql": "LONGBLOB"}

ITEMS = "CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(200), n BIGINT)"
INSERT = "INSERT INTO items (id, name, n) VALUES (?, ?, ?)"
COUNT = "SELECT count(*) FROM items"
IDS = "SELECT id FROM items ORDER BY id"


def values_table(adapter: Adapter) -> str:
    """A table with a column for each type of value."""
    blob = _BLOB[adapter.capabilities.dialect]
    return (
        f"CREATE TABLE vals (id BIGINT PRIMARY KEY, i BIGINT, f DOUBLE PRECISION, t TEXT, b {blob})"
    )


async def make_items(adapter: Adapter, *ids: int) -> None:
    """Create `items` with a row for each id: name `a<id>`, n = 10 * id."""
    await adapter.execute(ITEMS)
    for number in ids:
        await adapter.execute(INSERT, (number, f"a{number}", 10 * number))


async def ids_in(adapter: Adapter) -> list[int]:
    """Ids of the rows in `items`, ascending."""
    return [int(str(row[0])) for row in await adapter.query(IDS)]

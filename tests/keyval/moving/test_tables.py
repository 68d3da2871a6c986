"""Every table of a store is moved, or it is said here why it is not."""

from __future__ import annotations

from pathlib import Path

from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.storage.dialects import moving
from buntime_plugin_keyval.storage.schema import migrate
from keyval.service.world import FAST, NOW_MS

MOVED = {table.name: table.columns for table in moving.MOVED.values()}
OTHERWISE = {
    "kv_log": "set_log",
    "kv_stamps": "set_stamp",
    "kv_indexes": "built anew, by their numbers",
    "kv_docs": "with their indexes",
    "kv_totals": "counted by the entries",
    "kv_long_values": "in the rows that they are of",
}
LEFT = {
    "kv_lock_waiters": "those who wait belong to processes of the store that is left",
    "kv_queue_starts": "what was delivered in the last moments, for the rate of a queue",
    "kv_migrations": "of each database",
    "kv_move": "of each database",
    "kv_moving": "values are long or not from the beginning",
}
OF_VALUES = {"long_id", "long_size"}
NOT_CLOSED = {"kv_metrics", "kv_totals", "kv_docs", "kv_long_values"}
"""What is written only with other tables, or may be lost."""


async def test_every_table_and_column_is_moved(tmp_path: Path) -> None:
    adapter = SqliteAdapter(str(tmp_path / "kv.db"), options=FAST)
    await migrate(adapter, NOW_MS)
    tables = await adapter.query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'kv!_%' ESCAPE '!'"
    )
    assert {str(name) for (name,) in tables} == MOVED.keys() | OTHERWISE.keys() | LEFT.keys()
    for name, columns in MOVED.items():
        found = await adapter.query("SELECT name FROM pragma_table_info(?)", (name,))
        assert {str(column) for (column,) in found} - OF_VALUES == set(columns), name
    await adapter.close()


def test_every_table_that_is_moved_can_be_closed() -> None:
    closed = moving.CLOSED_TABLES.keys()
    assert (MOVED.keys() | OTHERWISE.keys()) - NOT_CLOSED <= closed

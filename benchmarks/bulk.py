"""Databases of any size, made in bulk: the product's schema, its keys, and no write path between.

Ten million commits would take most of an hour. So the product makes the schema in an empty file,
its own encoder makes every key, and SQLite is filled directly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import dataset
from buntime_keyval.wire import canonical_text, encode_key, key_to_json
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.storage.schema import migrate

PREFIX: dataset.Key = ["growth"]
CHUNK = 100_000
BYTES_AN_ENTRY = 250
"""Disk for an entry: about 175 in the file, and room for what is written while it is measured."""
LOGGED = 100_000
"""As many changes as the log keeps by default."""

_TOTALS = "kv_totals_insert"
_INSERT = "INSERT INTO kv_entries (key, key_json, value, versionstamp) VALUES (?, ?, ?, ?)"
_LOG = """
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, versionstamp, 'set', ? FROM kv_entries LIMIT ?"""
_COUNT = """
UPDATE kv_totals SET (entries, bytes) =
  (SELECT count(*), coalesce(sum(length(key) + octet_length(value)), 0) FROM kv_entries)"""

Entry: TypeAlias = tuple[dataset.Key, dict[str, Any]]
_Row = tuple[bytes, str, str, str]


def grown(size: int) -> Iterator[Entry]:
    """So many entries `["growth", 0]`, `["growth", 1]` and so on."""
    return (([*PREFIX, number], dataset.value_of(number)) for number in range(size))


def make_database(path: Path, entries: Iterable[Entry]) -> None:
    """A database with these entries, fastest in the order of their keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(_make_schema(path))
    connection = apsw.Connection(str(path))
    try:
        connection.pragma("synchronous", "off")
        # The trigger would count every row by itself; it comes back below, with the right sum.
        ((trigger,),) = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = ?", (_TOTALS,)
        )
        connection.execute(f"DROP TRIGGER {_TOTALS}")
        source = _rows(entries)
        while chunk := list(islice(source, CHUNK)):
            with connection:  # the log in front of the file stays small
                connection.executemany(_INSERT, chunk)
        with connection:
            connection.execute(_LOG, (time.time_ns() // 1_000_000, LOGGED))
            connection.execute(_COUNT)
            connection.execute(str(trigger))
        connection.pragma("wal_checkpoint(truncate)")
    finally:
        connection.close()


async def _make_schema(path: Path) -> None:
    adapter = SqliteAdapter(str(path))
    try:
        await migrate(adapter, time.time_ns() // 1_000_000)
    finally:
        await adapter.close()


def _rows(entries: Iterable[Entry]) -> Iterator[_Row]:
    stamps = Stamps()
    for parts, value in entries:
        key = tuple(parts)
        text = canonical_text(value, 0)
        yield encode_key(key), key_to_json(key), text, stamps.make(time.time_ns() // 1_000_000)

"""Stores on servers of SQLite, made as if they were new.

To drop the tables and make all of them again takes longer than most tests, above all where a
replica follows: nothing is made again where all is there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import apsw
from buntime_plugin_keyval.storage.dialects.sqlite.schema import SCHEMA
from buntime_plugin_keyval.storage.schema import LEDGER, load_migrations

OBJECTS = """
SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  AND name NOT LIKE 'libsql\\_%' ESCAPE '\\' AND name NOT LIKE 'buntime\\_%' ESCAPE '\\'"""
"""What a store consists of, and whatever else a test has made beside it."""


class NewStore(NamedTuple):
    """What the migrations make."""

    objects: frozenset[str]
    statements: tuple[str, ...]
    """Those that make the store new again, with `{identity}` where its log has its own."""


def statements_for_a_new_store(found: Iterable[str]) -> list[str]:
    """What empties the store that consists of these; nothing if it is another one, or none."""
    new = _new_store()
    if new.objects != frozenset(found):
        return []
    return [text.replace("{identity}", secrets.token_hex(8)) for text in new.statements]


@cache
def _new_store() -> NewStore:
    database = apsw.Connection(":memory:")
    database.execute(SCHEMA.ledger.create.format(ledger=LEDGER))
    for migration in load_migrations():
        for statement in migration.statements:
            database.execute(statement)
    objects = frozenset(str(name) for (name,) in database.execute(OBJECTS))
    tables = [
        str(name)
        for (name,) in database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> ? ORDER BY rowid",
            (LEDGER,),
        )
    ]
    # All are emptied before any is filled: to delete an entry changes the totals.
    emptied = [f"DELETE FROM {table}" for table in tables]
    filled = [text for table in tables for text in _inserts(database, table)]
    database.close()
    return NewStore(objects, (*emptied, *filled))


def _inserts(database: apsw.Connection, table: str) -> list[str]:
    rows = database.execute(f"SELECT * FROM {table}").fetchall()
    return [
        f"INSERT INTO {table} VALUES ({', '.join(map(apsw.format_sql_value, row))})" for row in rows
    ]

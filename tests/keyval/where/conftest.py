"""A real SQLite table of JSON documents, and the ways to ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec
import pytest
from buntime_plugin_keyval.model.where import matches, parse_where
from buntime_plugin_keyval.storage.dialects.sqlite.filters.conditions import FilteredField
from buntime_plugin_keyval.storage.dialects.sqlite.filters.printing import print_condition
from buntime_plugin_keyval.storage.filters.compile import compile_where

NOW_MS = 1_700_000_000_000


def _casefold(*args: Any) -> Any:
    (text,) = args
    return text.casefold() if isinstance(text, str) else text


def _open_rows(documents: Sequence[object]) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.create_scalar_function("casefold", _casefold, 1, deterministic=True)
    connection.execute("CREATE TABLE entries (key INTEGER PRIMARY KEY, value TEXT NOT NULL)")
    connection.executemany(
        "INSERT INTO entries VALUES (?, ?)",
        [(key, msgspec.json.encode(document).decode()) for key, document in enumerate(documents)],
    )
    return connection


def _select(connection: apsw.Connection, raw: object, *, casefold: bool = True) -> list[int]:
    where = parse_where(raw)
    sql, args, exact = print_condition(
        compile_where(where, NOW_MS), FilteredField("value", casefold)
    )
    assert sql.count("?") == len(args)
    assert exact or not casefold
    query = f"SELECT key, value FROM entries WHERE key >= ? AND {sql} ORDER BY key"
    rows: list[Any] = connection.execute(query, (0, *args)).fetchall()
    return [
        int(key)
        for key, text in rows
        if exact or matches(where, msgspec.json.decode(text), now_ms=NOW_MS)
    ]


def _decide(documents: Sequence[object], raw: object) -> list[int]:
    where = parse_where(raw)
    return [key for key, value in enumerate(documents) if matches(where, value, now_ms=NOW_MS)]


def _ask(documents: Sequence[object], raw: object) -> list[int]:
    decided = _decide(documents, raw)
    connection = _open_rows(documents)
    try:
        assert _select(connection, raw) == decided
        assert _select(connection, raw, casefold=False) == decided
    finally:
        connection.close()
    return decided


@pytest.fixture(scope="session")
def ask() -> Callable[[Sequence[object], object], list[int]]:
    """Return the positions of the matching documents, on which SQL and Python agree.

    SQL is asked twice, with and without its `casefold` function.
    """
    return _ask

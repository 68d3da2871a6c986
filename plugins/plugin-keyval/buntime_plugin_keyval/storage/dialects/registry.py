"""Finds the dialect of an adapter.

SQLite's comes with the plugin. Others are found by entry points, as engines are: the name of the
point is that of the dialect, and it loads a `Dialect`.
"""

from __future__ import annotations

from functools import cache

from buntime_database import Adapter, DatabaseError

from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE

__all__ = ["ENTRY_POINTS", "SQLITE", "UnknownDialect", "dialect_of"]

ENTRY_POINTS = "buntime.keyval.dialects"


class UnknownDialect(DatabaseError):
    """Nothing here speaks the dialect of an engine."""


def dialect_of(adapter: Adapter) -> Dialect:
    """The dialect of an adapter. Raises `UnknownDialect`."""
    name = adapter.capabilities.dialect
    return SQLITE if name == SQLITE.name else _installed(name, adapter.type)


@cache
def _installed(name: str, engine: str) -> Dialect:
    from importlib.metadata import entry_points  # large, and of no use to a store in a file

    for point in entry_points(group=ENTRY_POINTS, name=name):
        dialect = point.load()
        if isinstance(dialect, Dialect):
            return dialect
        raise UnknownDialect(f"{point.value} is not a dialect of the key-value store: {dialect!r}")
    raise UnknownDialect(
        f"the key-value store does not speak {name}, the dialect of the engine {engine}: "
        f"use another engine, or install a package with an entry point {name} in {ENTRY_POINTS}"
    )

"""A database, together with its dialect."""

from __future__ import annotations

from typing import NamedTuple

from buntime_database import Adapter

from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.reads import Getting
from buntime_plugin_keyval.storage.dialects.registry import dialect_of


class Database(NamedTuple):
    """The database that all reads and writes of a store use."""

    adapter: Adapter
    sql: Dialect
    get_short: Getting
    """Reads one key, but no long value."""


def database_of(adapter: Adapter) -> Database:
    """The database of an adapter. Raises `UnknownDialect`."""
    sql = dialect_of(adapter)
    return Database(adapter, sql, sql.getting(adapter))

"""A database together with how it is asked."""

from __future__ import annotations

from typing import NamedTuple

from buntime_database import Adapter

from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.reads import Getting
from buntime_plugin_keyval.storage.dialects.registry import dialect_of


class Database(NamedTuple):
    """What all readings and writings of a store go to."""

    adapter: Adapter
    sql: Dialect
    get_short: Getting
    """Reads one key, without a value that is long."""


def database_of(adapter: Adapter) -> Database:
    """The database of an adapter. Raises `UnknownDialect`."""
    sql = dialect_of(adapter)
    return Database(adapter, sql, sql.getting(adapter))

"""The embedded engine: SQLite through apsw, with group commit and inline point reads."""

from buntime_plugin_database.engines.sqlite.adapter import SqliteAdapter
from buntime_plugin_database.engines.sqlite.connection import SqliteOptions

__all__ = ["SqliteAdapter", "SqliteOptions"]

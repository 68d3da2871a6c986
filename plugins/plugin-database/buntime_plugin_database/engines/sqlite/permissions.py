"""Restrictions on SQL from outside, enforced by SQLite's authorizer.

SQLite makes the checks when it has parsed a statement, so no spelling gets around them.
"""

from __future__ import annotations

import apsw

from buntime_plugin_database.shared.permissions import is_of_the_host, names_the_host

_OTHER_FILES = frozenset({apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH})
_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "edit", "readfile", "writefile"})

# Assigning these would change the file for everyone, the whole process, or these very rules.
_FIXED_PRAGMAS = frozenset(
    {
        "busy_timeout",
        "data_store_directory",
        "hard_heap_limit",
        "journal_mode",
        "journal_size_limit",
        "locking_mode",
        "mmap_size",
        "page_size",
        "query_only",
        "secure_delete",
        "soft_heap_limit",
        "temp_store_directory",
        "threads",
        "trusted_schema",
        "writable_schema",
    }
)
_READING = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}
)
_SCHEMA = frozenset(
    {
        apsw.SQLITE_ALTER_TABLE,
        apsw.SQLITE_ANALYZE,
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_CREATE_VTABLE,
        apsw.SQLITE_DROP_INDEX,
        apsw.SQLITE_DROP_TABLE,
        apsw.SQLITE_DROP_TRIGGER,
        apsw.SQLITE_DROP_VIEW,
        apsw.SQLITE_DROP_VTABLE,
        apsw.SQLITE_REINDEX,
    }
)
# These define objects whose tables SQLite checks only when they are used: by other connections,
# which are not restricted. So their text is checked.
_LATER = frozenset(
    {
        apsw.SQLITE_ALTER_TABLE,
        apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_VIEW,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_CREATE_VTABLE,
    }
)
# These look things up by name; their argument is not a value to assign.
_LOOKUP_PRAGMAS = frozenset(
    {
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
# These are of the connection alone.
_OWN_PRAGMAS = frozenset(
    {
        "cache_size",
        "case_sensitive_like",
        "defer_foreign_keys",
        "foreign_keys",
        "recursive_triggers",
    }
)
_ACTING_PRAGMAS = frozenset({"incremental_vacuum", "optimize", "shrink_memory", "wal_checkpoint"})


class Permissions:
    """The authorizer of one connection."""

    def __init__(self, *, readonly: bool, schema: bool) -> None:
        """`schema` says whether tables, indexes and the like may be changed."""
        self._readonly = readonly
        self._schema = schema
        self.text = ""
        """The statements that are prepared."""
        self.vacuuming = False
        """A VACUUM begins: it attaches a nameless temporary file, which is allowed this once."""

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """SQLite's question whether an action is allowed."""
        if action in _OTHER_FILES:
            own = self.vacuuming and not self._readonly and self._schema and first == ""
            self.vacuuming = False
            return apsw.SQLITE_OK if own else apsw.SQLITE_DENY
        if is_of_the_host(first) or is_of_the_host(second):
            return apsw.SQLITE_DENY
        if action in _LATER and names_the_host(self.text):
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_PRAGMA:
            return apsw.SQLITE_OK if self._allows_pragma(first, second) else apsw.SQLITE_DENY
        if self._readonly and action not in _READING:
            return apsw.SQLITE_DENY
        if not self._schema and action in _SCHEMA:
            return apsw.SQLITE_DENY
        return apsw.SQLITE_OK

    def _allows_pragma(self, name: str | None, value: str | None) -> bool:
        name = (name or "").lower()
        if self._readonly:
            return name in _LOOKUP_PRAGMAS or (value is None and name not in _ACTING_PRAGMAS)
        if not self._schema and (value is not None or name in _ACTING_PRAGMAS):
            return name in _LOOKUP_PRAGMAS or name in _OWN_PRAGMAS
        return value is None or name not in _FIXED_PRAGMAS


def restrict(connection: apsw.Connection, *, readonly: bool, schema: bool) -> Permissions:
    """Put a connection under these rules, for its whole life."""
    permissions = Permissions(readonly=readonly, schema=schema)
    connection.authorizer = permissions
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    return permissions

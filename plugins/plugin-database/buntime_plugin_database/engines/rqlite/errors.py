"""Errors of nodes, translated into those of `buntime_database`."""

from __future__ import annotations

import re

from buntime_database import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    InvalidStatement,
    StatementTimeout,
)

from buntime_plugin_database.shared.constraints import constraint_code
from buntime_plugin_database.shared.witness import TablesMissing, is_table_missing

# Nodes send SQLite's text without its code; any other text is about wrong SQL.
_BY_TEXT: tuple[tuple[str, type[DatabaseError], str], ...] = (
    ("database or disk is full", DatabaseFull, "SQLITE_FULL"),
    ("database is locked", DatabaseBusy, "SQLITE_BUSY"),
    ("disk image is malformed", DatabaseDamaged, "SQLITE_CORRUPT"),
    ("file is not a database", DatabaseDamaged, "SQLITE_NOTADB"),
    ("disk I/O error", DatabaseUnavailable, "SQLITE_IOERR"),
    ("out of memory", DatabaseUnavailable, "SQLITE_NOMEM"),
)
_NO_LEADER = re.compile(r"\b(?:leader not found|not leader|no leader|stale read|pool get: dial)\b")


class NotReached(DatabaseUnavailable):
    """The request was not carried out: another node, or the same one later, may do it."""


class ClusterAccessRefused(DatabaseUnavailable):
    """The node refuses user and password, or does not allow the request with them."""


def error_of(message: str) -> DatabaseError:
    """The error of one statement."""
    if is_table_missing(message):
        return TablesMissing(message)
    constraint = constraint_code(message)
    error: DatabaseError
    if constraint is not None:
        error = ConstraintViolation(message)
        error.code = constraint
        return error
    for text, kind, code in _BY_TEXT:
        if text in message:
            error = kind(message)
            error.code = code
            return error
    if message == "query timeout":
        return StatementTimeout("it ran for longer than statementTimeout of the adapter")
    error = InvalidStatement(message)
    error.code = "SQLITE_ERROR"
    return error


def has_no_leader(message: str) -> bool:
    """Whether a node says that it did not pass a request on."""
    return _NO_LEADER.search(message) is not None

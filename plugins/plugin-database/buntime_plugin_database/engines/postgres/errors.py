"""Errors of the driver and of the server in the words of `buntime_database`."""

from __future__ import annotations

import re

import asyncpg
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

DRIVER_ERRORS = (
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(OSError, TimeoutError, ValueError, OverflowError),
)
"""Exceptions of the driver. The last two are for arguments and answers that it cannot carry."""

_BY_STATE: dict[str, type[DatabaseError]] = {
    "25006": DatabaseUnavailable,  # read-only: a standby
    "25P02": InvalidStatement,
    "40001": DatabaseBusy,  # serialization
    "40003": DatabaseUnavailable,
    "40P01": DatabaseBusy,  # deadlock
    "53100": DatabaseFull,
    "55P03": DatabaseBusy,  # a lock within lock_timeout
    "57014": StatementTimeout,
    "XX001": DatabaseDamaged,
    "XX002": DatabaseDamaged,
}
_BY_CLASS: dict[str, type[DatabaseError]] = {
    "08": DatabaseUnavailable,
    "0A": InvalidStatement,
    "21": InvalidStatement,
    "22": InvalidStatement,
    "23": ConstraintViolation,
    "25": InvalidStatement,
    "26": DatabaseUnavailable,
    "28": DatabaseUnavailable,
    "2B": InvalidStatement,
    "3D": DatabaseUnavailable,
    "3F": InvalidStatement,
    "42": InvalidStatement,
    "44": ConstraintViolation,
    "53": DatabaseUnavailable,
    "54": InvalidStatement,
    "55": InvalidStatement,
    "57": DatabaseUnavailable,
    "58": DatabaseUnavailable,
    "XX": DatabaseUnavailable,
}
_HINTS = {
    "25006": "it is a standby: name the primary, or add target_session_attrs=read-write to the URL",
    "26000": "behind a transaction pooler statementCacheSize must be 0",
    "08P01": "is it a pooler? Behind one statementCacheSize must be 0",
    "53300": "lower poolSize, or raise the server's max_connections",
}
AGAIN = frozenset({"40001", "40P01"})
"""Nothing was written, and the same may succeed at once."""
_ENDS = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
"""The server ends the connection with them."""


def translate(error: Exception, server: str) -> DatabaseError:
    """The error of the seam, chained. `server` is its name in the texts, which holds no secret."""
    ours = _translation(error, server)
    if ours is not error:
        ours.__cause__ = error
    return ours


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone with this error, or cannot be used any more."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _ENDS or state.startswith("08") or state == "26000"
    if isinstance(error, ValueError):  # the driver's own error for an argument is both
        return False
    kinds = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return isinstance(error, kinds)


def _translation(error: Exception, server: str) -> DatabaseError:
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, (ValueError, OverflowError)):
        return InvalidStatement(str(error))
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, server)
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable(f"{server} did not answer in time")
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return DatabaseUnavailable(f"{server} cannot be reached: {reason}")
    return DatabaseUnavailable(f"the connection to {server} broke: {error}")


def _of_server(error: asyncpg.PostgresError, server: str) -> DatabaseError:
    state = error.sqlstate or "XX000"
    kind = _BY_STATE.get(state) or _BY_CLASS.get(state[:2], DatabaseError)
    text = str(error.args[0]) if error.args else type(error).__name__
    if issubclass(kind, DatabaseUnavailable):
        text = f"{server}: {text}"
    if state in _HINTS:
        text = f"{text} ({_HINTS[state]})"
    ours = kind(text)
    ours.code = _code(error, state)
    return ours


def _code(error: asyncpg.PostgresError, state: str) -> str:
    """`POSTGRES_UNIQUE_VIOLATION`; the bare state where PostgreSQL has no name for it."""
    name = type(error).__name__.removesuffix("Error")
    if type(error).sqlstate != state:  # the driver knows its class only
        return f"POSTGRES_{state}"
    if name == "PostgresSyntax":
        return "POSTGRES_SYNTAX_ERROR"
    return "POSTGRES_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()

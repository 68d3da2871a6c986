"""Errors of the client library and of the server in the words of `buntime_database`."""

from __future__ import annotations

import re

import aiohttp
from buntime_database import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
    ResultTooLarge,
)
from libsql_client import LibsqlError

from buntime_plugin_database.shared.constraints import constraint_code

_BY_CODE: dict[str, type[DatabaseError]] = {
    "ARGS_BOTH_POSITIONAL_AND_NAMED": InvalidStatement,
    "ARGS_INVALID": InvalidStatement,
    "RESPONSE_TOO_LARGE": ResultTooLarge,
    "SQLITE_AUTH": InvalidStatement,
    "SQLITE_BUSY": DatabaseBusy,
    "SQLITE_CONSTRAINT": ConstraintViolation,
    "SQLITE_CORRUPT": DatabaseDamaged,
    "SQLITE_ERROR": InvalidStatement,
    "SQLITE_FULL": DatabaseFull,
    "SQLITE_LOCKED": DatabaseBusy,
    "SQLITE_MISMATCH": InvalidStatement,
    "SQLITE_NOTADB": DatabaseDamaged,
    "SQLITE_RANGE": InvalidStatement,
    "SQLITE_TOOBIG": InvalidStatement,
    "SQLITE_UNKNOWN": InvalidStatement,  # sqld's name of SQLITE_ERROR
    "SQL_INPUT_ERROR": InvalidStatement,
    "SQL_MANY_STATEMENTS": InvalidStatement,
    "SQL_NO_STATEMENT": InvalidStatement,
    "SQL_PARSE_ERROR": InvalidStatement,
    "TRANSACTION_BUSY": DatabaseBusy,
    "TRANSACTION_TIMEOUT": DatabaseBusy,
}
_STATUS = re.compile(r"HTTP status (\d{3})")
_MISSING = re.compile(r"[Nn]amespace .*doesn't exist")
_ACCESS_STATUSES = frozenset({401, 403})
_CONTENT_STATUSES = frozenset({400, 413, 422})
"""The server refuses the request, and has run nothing of it."""


class NamespaceMissing(DatabaseUnavailable):
    """The server has no database of that name."""


class AccessRefused(DatabaseUnavailable):
    """The server refuses the token, or does not allow the request with it."""


def translate_step(message: str, code: str | None) -> DatabaseError:
    """The error of the seam for the error of one statement."""
    code = code or "UNKNOWN"
    base = "SQLITE_CONSTRAINT" if code.startswith("SQLITE_CONSTRAINT") else code
    error = _BY_CODE.get(base, DatabaseUnavailable)(message.removeprefix("SQLite error: "))
    # The server names constraints in its text only.
    named = constraint_code(message) if code == "SQLITE_CONSTRAINT" else None
    error.code = named or code
    return error


def translate(error: Exception, server: str, *, wrote: bool) -> DatabaseError:
    """The error of the seam for a request that failed as a whole, chained to it.

    `wrote` says that the request had a commit. Unless the server certainly did nothing, such a
    request may have been carried out: that is an `OutcomeUnknown`.
    """
    ours = _translation(error, server, wrote=wrote)
    ours.__cause__ = error
    return ours


def _translation(error: Exception, server: str, *, wrote: bool) -> DatabaseError:
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, LibsqlError):
        told = _told(error, server, wrote=wrote)
        if told is not None:
            return told
        text = f"{server}: {error.explanation} ({error.code})"
    elif isinstance(error, aiohttp.ClientConnectorError):
        # Its own text names a TLS setting, also where there is no TLS.
        reason = error.os_error.strerror or str(error.os_error)
        return DatabaseUnavailable(f"{server} cannot be reached: {reason}")
    elif isinstance(error, aiohttp.WSServerHandshakeError):
        return DatabaseUnavailable(f"{server} cannot be reached: {error}")
    elif isinstance(error, TimeoutError):
        text = f"{server} did not answer in time"
    else:
        text = f"the connection to {server} broke: {type(error).__name__}: {error}"
    if wrote:
        return OutcomeUnknown(f"{text}; the write may have been carried out")
    return DatabaseUnavailable(text)


def _told(error: LibsqlError, server: str, *, wrote: bool) -> DatabaseError | None:
    """What a server says that refuses; None where it may have carried out a write."""
    status = _STATUS.search(error.explanation) if error.code == "SERVER_ERROR" else None
    if status is not None and status[1] == "404" and _MISSING.search(error.explanation):
        return NamespaceMissing(f"{server} has no such namespace")
    refused = status is not None and int(status[1]) in _ACCESS_STATUSES
    if refused or error.code.startswith("AUTH_"):
        return AccessRefused(f"{server} refuses access, check authToken: {error.explanation}")
    if status is not None and int(status[1]) in _CONTENT_STATUSES:
        return InvalidStatement(f"{server}: {error.explanation}")
    if status is not None and int(status[1]) < 500:
        return DatabaseUnavailable(f"{server}: {error.explanation}")
    known = error.code in _BY_CODE and not (wrote and error.code == "RESPONSE_TOO_LARGE")
    if known or (error.code.startswith("SQLITE_") and not wrote):
        return translate_step(error.explanation, error.code)
    return None

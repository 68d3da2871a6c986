"""Errors of the protocol, and every error as an object of the protocol.

Errors of a statement travel inside a result. Those of a whole request are `HttpError`s, which the
host answers with their status and a body that has the protocol's `message` and `code`.
"""

from __future__ import annotations

from buntime_database import DatabaseClosed, DatabaseError, DatabaseUnavailable, InvalidStatement
from buntime_host import BadRequest, HttpError, ServiceUnavailable

from buntime_plugin_database.faces.errors import http_error

SERVER_ERROR = "SERVER_ERROR"


class InvalidMessage(BadRequest):
    """The body or frame is not of the protocol."""

    code = "HRANA_PROTO_ERROR"


class InvalidBaton(BadRequest):
    """The baton is not ours, not for this database, or not the newest of its stream."""

    code = "BATON_INVALID"
    default_message = "The baton is not valid"


class StreamExpired(BadRequest):
    """The stream was closed, by its client or because it was idle."""

    code = "STREAM_EXPIRED"
    default_message = "The stream has expired because it was idle, or was closed"


class StreamBusy(BadRequest):
    """Another request of the same stream is under way."""

    code = "STREAM_BUSY"
    default_message = "Another request uses the stream at this moment"


class TooManyHranaStreams(ServiceUnavailable):
    """As many streams are open as are allowed."""

    code = "TOO_MANY_STREAMS"
    default_message = "Too many streams are open"


class TooManyHranaStreamsOfClient(HttpError):
    """One client has as many streams open as it may."""

    status = 429
    code = "TOO_MANY_STREAMS"


class RequestRefused(DatabaseError):
    """A single request cannot be served; the stream goes on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: DatabaseError) -> str:
    """The protocol's code of a database's error."""
    if error.code is not None:
        return error.code
    match error:
        case DatabaseClosed():
            return "STREAM_EXPIRED"
        case DatabaseUnavailable():
            return SERVER_ERROR
        case InvalidStatement():
            return "SQL_INPUT_ERROR"
        case _:
            return "SQLITE_ERROR"


def base_code(code: str) -> str:
    """SQLite's primary code for an extended one: `SQLITE_CONSTRAINT_UNIQUE` is a constraint."""
    return "_".join(code.split("_")[:2]) if code.startswith("SQLITE_") else code


def answer_of(error: DatabaseError) -> HttpError:
    """The answer for a request that fails as a whole, with the protocol's codes."""
    if isinstance(error, RequestRefused):
        return BadRequest(str(error), code=error.code)
    answer = http_error(error)
    answer.error_code = base_code(answer.error_code)
    return answer


def error_object(error: DatabaseError | HttpError) -> dict[str, str]:
    """The protocol's error object.

    Its code is the primary one, as clients compare it; `extended_code` is there where SQLite
    knows more.
    """
    if isinstance(error, HttpError):
        return {"message": error.message, "code": error.error_code}
    exact = code_of(error)
    code = base_code(exact)
    found = {"message": str(error), "code": code}
    return found if code == exact else {**found, "extended_code": exact}

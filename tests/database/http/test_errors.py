"""Errors of the database: their codes in Hrana, their status over HTTP."""

from __future__ import annotations

import pytest
from buntime_database import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    GuardFailed,
    InvalidStatement,
    OutcomeUnknown,
    ResultTooLarge,
    SessionsNotSupported,
    StatementTimeout,
    TransactionTimeout,
)
from buntime_plugin_database.faces.errors import http_error
from buntime_plugin_database.faces.hrana.errors import StreamExpired, code_of, error_object
from buntime_plugin_database.shared.tenants import InvalidTenant, TenantNotFound


@pytest.mark.parametrize(
    ("error", "status", "code", "hrana"),
    [
        (InvalidStatement("x"), 400, "INVALID_STATEMENT", "SQL_INPUT_ERROR"),
        (InvalidTenant("x"), 400, "INVALID_TENANT", "INVALID_TENANT"),
        (TenantNotFound("x"), 404, "TENANT_NOT_FOUND", "TENANT_NOT_FOUND"),
        (ConstraintViolation("x"), 409, "CONSTRAINT_VIOLATION", "SQLITE_ERROR"),
        (StatementTimeout("x"), 400, "STATEMENT_TIMEOUT", "STATEMENT_TIMEOUT"),
        (TransactionTimeout("x"), 400, "TRANSACTION_TIMEOUT", "TRANSACTION_TIMEOUT"),
        (ResultTooLarge("x"), 400, "RESPONSE_TOO_LARGE", "RESPONSE_TOO_LARGE"),
        (SessionsNotSupported("x"), 501, "SESSIONS_NOT_SUPPORTED", "SESSIONS_NOT_SUPPORTED"),
        (DatabaseBusy("x"), 503, "DATABASE_UNAVAILABLE", "SERVER_ERROR"),
        (DatabaseUnavailable("x"), 503, "DATABASE_UNAVAILABLE", "SERVER_ERROR"),
        (OutcomeUnknown("x"), 503, "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"),
        (DatabaseClosed("x"), 503, "DATABASE_UNAVAILABLE", "STREAM_EXPIRED"),
        (GuardFailed(0), 500, "DATABASE_ERROR", "SQLITE_ERROR"),
    ],
)
def test_every_kind_of_error(error: DatabaseError, status: int, code: str, hrana: str) -> None:
    found = http_error(error)
    assert (found.status, found.error_code) == (status, code)
    assert error_object(error) == {"message": str(error), "code": hrana}


def test_the_code_of_the_engine_wins() -> None:
    error = DatabaseBusy("database is locked")
    error.code = "SQLITE_BUSY"
    assert (http_error(error).status, http_error(error).error_code) == (503, "SQLITE_BUSY")
    assert code_of(error) == "SQLITE_BUSY"


def test_an_error_of_a_whole_request_inside_a_result() -> None:
    found = error_object(StreamExpired())
    assert found["code"] == "STREAM_EXPIRED"
    assert found["message"]

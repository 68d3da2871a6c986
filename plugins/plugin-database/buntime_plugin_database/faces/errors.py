"""Errors of the database as answers over HTTP."""

from __future__ import annotations

from buntime_database import (
    ConstraintViolation,
    DatabaseDamaged,
    DatabaseError,
    DatabaseLost,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
    SessionsNotSupported,
    StatementStopped,
)
from buntime_host import BadRequest, HttpError, NotFound, ServiceUnavailable

from buntime_plugin_database.faces.large import TooManyLargeResults, WrittenWithoutResult
from buntime_plugin_database.shared.tenants import (
    InvalidTenant,
    TenancyNotSupported,
    TenantNotFound,
)


class Conflict(HttpError):
    """The statement violates a constraint, or the thing exists already."""

    status = 409
    code = "CONFLICT"
    default_message = "Conflict"


class NotSupported(HttpError):
    """The engine cannot do this."""

    status = 501
    code = "NOT_SUPPORTED"
    default_message = "Not supported"


def http_error(error: DatabaseError) -> HttpError:
    """The answer for an error of the database; the engine's own code is kept where it has one."""
    message = str(error)
    match error:
        case TenantNotFound():
            return NotFound(message, code="TENANT_NOT_FOUND")
        case InvalidTenant():
            return BadRequest(message, code="INVALID_TENANT")
        case TenancyNotSupported():
            return NotSupported(message, code="TENANCY_NOT_SUPPORTED")
        case ConstraintViolation():
            return Conflict(message, code=error.code or "CONSTRAINT_VIOLATION")
        case InvalidStatement() | StatementStopped():
            return BadRequest(message, code=error.code or "INVALID_STATEMENT")
        case SessionsNotSupported():
            return NotSupported(message, code=error.code)
        case DatabaseLost() | DatabaseDamaged():
            return ServiceUnavailable(message, code=type(error).code)
        case TooManyLargeResults():
            return ServiceUnavailable(message, code=error.code, headers={"Retry-After": "1"})
        case DatabaseUnavailable():
            return ServiceUnavailable(message, code=error.code or "DATABASE_UNAVAILABLE")
        case OutcomeUnknown() | WrittenWithoutResult():
            return ServiceUnavailable(message, code=error.code)
        case _:
            return HttpError(message, code=error.code or "DATABASE_ERROR")

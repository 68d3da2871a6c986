"""apsw's exceptions in the words of `buntime_database`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw
from buntime_database import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseDamaged,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    InvalidStatement,
)

_BY_TYPE: tuple[tuple[tuple[type[Exception], ...], type[DatabaseError]], ...] = (
    ((apsw.BusyError, apsw.LockedError), DatabaseBusy),
    ((apsw.FullError,), DatabaseFull),
    ((apsw.CorruptError, apsw.NotADBError), DatabaseDamaged),
    ((apsw.ConstraintError,), ConstraintViolation),
    ((apsw.ConnectionClosedError,), DatabaseClosed),
    (
        (
            apsw.SQLError,
            apsw.BindingsError,
            apsw.MismatchError,
            apsw.RangeError,
            apsw.TooBigError,
            apsw.AuthError,
        ),
        InvalidStatement,
    ),
)


def translate(error: Exception) -> DatabaseError:
    """The error of the seam for an error of the driver, chained to it.

    Unknown errors of SQLite mean that the engine is down. Other exceptions, such as `TypeError` or
    `OverflowError`, come from arguments that SQL cannot hold; a text that cannot be decoded comes
    from the file.
    """
    if isinstance(error, DatabaseError):
        return error
    ours = _translation(error)
    ours.__cause__ = error
    ours.code = _result_code(error) or ours.code
    return ours


def _result_code(error: Exception) -> str | None:
    """SQLite's own name for the error, as exact as it has one."""
    extended: int | None = getattr(error, "extendedresult", None)
    if extended is None:
        return None
    name = apsw.mapping_extended_result_codes.get(extended)
    name = name or apsw.mapping_result_codes.get(extended & 0xFF)
    return None if name is None else str(name)


def _translation(error: Exception) -> DatabaseError:
    for types, ours in _BY_TYPE:
        if isinstance(error, types):
            return ours(str(error))
    if isinstance(error, UnicodeDecodeError):
        return DatabaseDamaged(f"a text in the database is not UTF-8: {error.reason}")
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, (apsw.Error, OSError, MemoryError)):
        return DatabaseUnavailable(text)
    return InvalidStatement(text)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the body's exceptions, translated and chained."""
    try:
        yield
    except DatabaseError:
        raise
    except Exception as error:
        raise translate(error) from error

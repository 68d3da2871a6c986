"""The mapping from exceptions to error bodies, for whole answers and parts of one."""

from __future__ import annotations

from collections.abc import Mapping

import buntime_database
import msgspec
from buntime_keyval.wire import InvalidInput

from buntime_plugin_keyval.model import errors

_MALFORMED = "malformed JSON"
"""What engines report for stored text that is no JSON; texts from clients are checked before."""
_TOO_BIG = "string or blob too big"
"""What SQLite reports for a row larger than a server allows, whose limit may be below that here."""


def told_error(error: Exception) -> InvalidInput | errors.KeyValError | None:
    """The error to report to a client; None for an unexpected one."""
    if isinstance(error, (InvalidInput, errors.KeyValError)):
        return error
    if isinstance(error, buntime_database.DatabaseUnavailable):
        return errors.database_down(error)
    if isinstance(error, buntime_database.OutcomeUnknown):
        return errors.outcome_unknown(error)
    if isinstance(error, buntime_database.StatementTimeout):
        return errors.RequestTooLong(str(error))
    if isinstance(error, buntime_database.InvalidStatement):
        if _MALFORMED in str(error):
            return errors.StoreDamaged("a stored value is missing or is not JSON")
        if _TOO_BIG in str(error):
            return errors.TooLargeForDatabase(str(error))
    return None


def error_json(
    message: str,
    code: str | None = None,
    status: int | None = None,
    more: Mapping[str, str | None] | None = None,
) -> str:
    """The body of an error, as the contract has it, to the letter for errors without a code.

    `status` is given for an error that is part of an answer; `more` are further members.
    """
    body: dict[str, str | int | None] = {"error": _printable(message)}
    if code is not None:
        body["code"] = _printable(code)
    if status is not None:
        body["status"] = status
    body |= more or {}
    return msgspec.json.encode(body).decode()


def _printable(text: str) -> str:
    """A message without characters that cannot be encoded, such as lone surrogates in quotes."""
    return text.encode("utf-8", "replace").decode()

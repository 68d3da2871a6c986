"""What is said of a message, a record or a task that failed, and is kept with it."""

from __future__ import annotations

from buntime_keyval.wire.describe import Describe, describe
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_ERROR_LENGTH


def checked_error(what: str, value: object, shown: Describe = describe) -> str:
    """What somebody says went wrong, in at most so many characters. Raises `InvalidInput`."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be a string, received {shown(value)}")
    if len(value) > MAX_ERROR_LENGTH:
        raise InvalidInput(f"{what} too long: {len(value)} characters (max {MAX_ERROR_LENGTH})")
    return value


def error_text(error: BaseException) -> str:
    """What is kept of an exception: its name and its words, cut where there are too many."""
    said = str(error)
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    # What is no text, half of a character, would be refused, and the failure be lost.
    return text[:MAX_ERROR_LENGTH].encode(errors="replace").decode()

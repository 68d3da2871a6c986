"""Names that callers give: of locks and of those who hold them, of queues; and priorities."""

from __future__ import annotations

import re
from typing import TypeGuard

from buntime_keyval.wire.describe import Describe, describe
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MOST_PRIORITY

MOST_NAME = 256
"""Characters of a name."""

_OF_NAMES = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*").fullmatch


def checked_name(what: str, value: object, shown: Describe = describe) -> str:
    """A name of 1 to 256 characters without control characters. Raises `InvalidInput`."""
    if value and _is_name(value):
        return value
    raise InvalidInput(
        f"{what} must be a text of 1 to {MOST_NAME} characters without control characters,"
        f" received {shown(value)}"
    )


def checked_queue(what: str, value: object) -> str:
    """The name of a queue; empty for the one without a name. Raises `InvalidInput`."""
    if _is_name(value):
        return value
    raise InvalidInput(
        f"{what} must be a text of up to {MOST_NAME} characters without control characters, empty"
        f" for the queue without a name, received {describe(value)}"
    )


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= MOST_NAME and _OF_NAMES(value) is not None


def checked_priority(what: str, value: object, shown: Describe = describe) -> int:
    """A whole number from -10 to 10. Raises `InvalidInput`."""
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and -MOST_PRIORITY <= value <= MOST_PRIORITY
        and value == int(value)
    ):
        return int(value)
    raise InvalidInput(
        f"{what} must be a whole number from {-MOST_PRIORITY} to {MOST_PRIORITY},"
        f" received {shown(value)}"
    )

"""Names that callers give: of locks and of those who hold them."""

from __future__ import annotations

from buntime_keyval.wire.describe import Describe, describe
from buntime_keyval.wire.errors import InvalidInput

MOST_NAME = 256
"""Characters of a name."""


def checked_name(what: str, value: object, shown: Describe = describe) -> str:
    """A name of 1 to 256 characters without control characters. Raises `InvalidInput`."""
    if (
        isinstance(value, str)
        and 0 < len(value) <= MOST_NAME
        and not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in value)
        and not any(0xD800 <= ord(char) < 0xE000 for char in value)
    ):
        return value
    raise InvalidInput(
        f"{what} must be a text of 1 to {MOST_NAME} characters without control characters,"
        f" received {shown(value)}"
    )

"""Types of entries: short texts that their writers choose, by which entries are found again."""

from __future__ import annotations

import re

from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.errors import InvalidInput

MAX_TYPE_LENGTH = 256
"""Characters of a type."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def checked_type(raw: object, name: str = "type") -> str | None:
    """The type of an entry, an option of that name; None for an absent one.

    Raises `InvalidInput` for anything but 1 to 256 characters without control characters.
    """
    if raw is None:
        return None
    if not isinstance(raw, str) or not raw or len(raw) > MAX_TYPE_LENGTH:
        raise InvalidInput(
            f"{name} must be a text of 1 to {MAX_TYPE_LENGTH} characters, received {describe(raw)}"
        )
    if _CONTROL.search(raw):
        raise InvalidInput(f"{name} must not hold control characters, received {describe(raw)}")
    return raw

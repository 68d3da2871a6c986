"""Placeholders in values: an object that becomes the versionstamp of the commit.

In a canonical text it can only look like this: within a text of a value, its quotes were escaped.
So it is found and replaced without decoding anything.
"""

from __future__ import annotations

from typing import Any, Final

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_VALUE_BYTES

_MEMBER: Final = '"$uuidv7":true'
_PLACEHOLDER: Final = "{" + _MEMBER + "}"
_SOON_READ = 64 * 1024
"""Characters that are searched in no time."""


def placeholder_value() -> dict[str, Any]:
    """What a placeholder is in a value, as JSON: `{"$uuidv7": true}`."""
    return {"$uuidv7": True}


def may_hold_stamp(text: str) -> bool:
    """Whether a canonical text may have placeholders; says so of long ones that have a `$`."""
    return "$" in text and (len(text) > _SOON_READ or _MEMBER in text)


def stamped_text(text: str, versionstamp: str) -> str:
    """The canonical text with the versionstamp in the place of placeholders.

    Raises `InvalidInput` for a placeholder with other members, which would be lost, and if the
    text gets too long.
    """
    stamped = text.replace(_PLACEHOLDER, f'"{versionstamp}"')
    if _MEMBER in stamped:
        raise InvalidInput(
            "An object with $uuidv7 stands for the versionstamp of its commit and may have nothing"
            " beside it"
        )
    if len(stamped) > MAX_VALUE_BYTES and len(stamped) > len(text):
        raise InvalidInput(f"Value too large: {len(stamped)} bytes (max {MAX_VALUE_BYTES})")
    return stamped

"""Placeholders in values: an object that becomes the versionstamp of the commit.

In a canonical text it can only look like this: within a text of a value, its quotes were escaped.
So it is found and replaced without decoding anything. An object with such a member that stands for
nothing is refused wherever something is written: it was meant to stand for something.
"""

from __future__ import annotations

import re
from typing import Any, Final

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_VALUE_BYTES

_MEMBER: Final = '"$uuidv7":'
_PLACEHOLDER: Final = "{" + _MEMBER + "true}"
# In front of a quote that is a part of a name there is a backslash.
_PLACE: Final = re.compile(r"[{,]" + re.escape(_MEMBER))
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

    Raises `InvalidInput` for a placeholder with other members, which would be lost, for one that is
    not `true`, and if the text gets too long.
    """
    stamped = text.replace(_PLACEHOLDER, f'"{versionstamp}"')
    if _has_member(stamped):
        raise InvalidInput(
            "An object with $uuidv7 stands for the versionstamp of its commit: it has to be"
            ' {"$uuidv7": true}, and may have nothing beside it'
        )
    if len(stamped) > MAX_VALUE_BYTES and len(stamped) > len(text):
        raise InvalidInput(f"Value too large: {len(stamped)} bytes (max {MAX_VALUE_BYTES})")
    return stamped


def without_stamps(text: str) -> str:
    """The canonical text of what has no versionstamp to hold: metadata, messages, tasks.

    Raises `InvalidInput` for placeholders.
    """
    if _has_member(text):
        raise InvalidInput(
            "$uuidv7 stands for a versionstamp in keys and values of entries only, not in metadata,"
            " messages or tasks"
        )
    return text


def _has_member(text: str) -> bool:
    return _MEMBER in text and _PLACE.search(text) is not None

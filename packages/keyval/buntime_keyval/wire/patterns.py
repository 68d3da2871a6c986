"""Patterns of keys: `["users", ANY, "name"]` means the names of all users.

A pattern has a part for each part of the keys that it means, and no key has more or fewer. `ANY`
stands for one part, whatever it is and whichever type it has; in JSON it is `{"$any": true}`, in a
key path a segment that is `*`, so that a text of one asterisk is `%2A` there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import Key, KeyPart, check_key, encode_key, key_to_json
from buntime_keyval.wire.paths import parse_key_path
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.values import decode_json


class AnyPart:
    """Stands in a pattern for one part of a key, whatever that is."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = AnyPart()

Pattern = tuple[KeyPart | AnyPart, ...]
PatternLike = Sequence[KeyPart | UUID | datetime | AnyPart]
"""A pattern as callers write it: a list or tuple of parts, as those of a key, and of `ANY`."""

_ANY_MEMBER = "$any"
_ANY_SEGMENT = "*"
_SOMETHING = False
"""A part that is valid everywhere."""


def check_pattern(raw: object) -> Pattern:
    """The pattern that a decoded JSON array stands for. Raises `InvalidInput`, as for a key."""
    return _checked(raw, check_key)


def checked_pattern(raw: object) -> Pattern:
    """The pattern that a Python caller wrote. Raises `InvalidInput`, as for a key."""
    return _checked(raw, checked_key)


def parse_pattern_text(text: str) -> Pattern:
    """The pattern of a query parameter: a JSON array if it parses as one, else a key path.

    Raises `InvalidInput`.
    """
    if text.startswith("["):
        try:
            raw = decode_json(text.encode())
        except (InvalidInput, UnicodeEncodeError):
            pass  # a path that begins so
        else:
            return check_pattern(raw)
    key = parse_key_path(text)
    segments = [segment for segment in text.split("/") if segment]
    return tuple(
        ANY if segment == _ANY_SEGMENT else part
        for segment, part in zip(segments, key, strict=True)
    )


def pattern_to_json(pattern: Pattern) -> str:
    """The JSON text of a checked pattern."""
    parts = [
        f'{{"{_ANY_MEMBER}":true}}' if isinstance(part, AnyPart) else key_to_json((part,))[1:-1]
        for part in pattern
    ]
    return f"[{','.join(parts)}]"


def encode_pattern(pattern: Pattern) -> tuple[bytes, ...]:
    """What stands before, between and behind the `ANY`s of a checked pattern, each encoded.

    Raises `InvalidInput` as `encode_key`.
    """
    pieces: list[list[KeyPart]] = [[]]
    for part in pattern:
        if isinstance(part, AnyPart):
            pieces.append([])
        else:
            pieces[-1].append(part)
    return tuple(map(encode_key, pieces))


def _checked(raw: Any, check: Callable[[object], Key]) -> Pattern:
    if not isinstance(raw, (list, tuple)):
        return check(raw)
    for index, part in enumerate(raw):
        if isinstance(part, dict) and not _is_any(part):
            raise InvalidInput(
                f"Invalid pattern part at index {index}: expected a part of a key or"
                f' {{"{_ANY_MEMBER}": true}}, received {describe(part)}'
            )
    key = check([_SOMETHING if _is_any(part) else part for part in raw])
    return tuple(ANY if _is_any(one) else part for one, part in zip(raw, key, strict=True))


def _is_any(part: object) -> bool:
    return part is ANY or (
        isinstance(part, dict) and len(part) == 1 and part.get(_ANY_MEMBER) is True
    )

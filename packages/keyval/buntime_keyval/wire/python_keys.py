"""Keys that Python code writes, as opposed to those that a JSON body brings.

In JSON a number is a double whatever its digits say. A Python integer means itself, so one that
no double holds is refused here and not rounded.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from buntime_keyval.wire.binary import foreign_bytes
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import UUIDV7, Key, check_key, check_keys
from buntime_keyval.wire.limits import MAX_KEY_PART_LENGTH, MAX_KEY_PARTS, MAX_SAFE_INTEGER
from buntime_keyval.wire.numbers import TYPE_MEMBER, BigInt

_TYPES = "str, int, float, bool, bytes, UUID, datetime"
_PARTS = (int, float, bytes, bytearray, memoryview, UUID, datetime)
"""Beside texts."""
_SURELY_SHORT = MAX_KEY_PART_LENGTH
"""Characters of a text of ASCII that is not too long."""


def checked_key(raw: object, *, placeholders: bool = False) -> Key:
    """A valid key. Raises `InvalidInput`, also for an integer that no number part holds."""
    if isinstance(raw, (list, tuple)) and 0 < len(raw) <= MAX_KEY_PARTS:
        for part in raw:
            kind = type(part)
            if kind is str:
                if len(part) > _SURELY_SHORT or not part.isascii():
                    break
            elif kind is not int or not -MAX_SAFE_INTEGER <= part <= MAX_SAFE_INTEGER:
                break
        else:
            return tuple(raw)
    _check_parts(raw)
    return check_key(raw, placeholders=placeholders)


def checked_keys(raw: object) -> list[Key]:
    """1 to 1000 valid keys. Raises `InvalidInput`."""
    if not isinstance(raw, (list, tuple)):
        raise InvalidInput(f"Keys must be a list of keys, received {raw!r:.100}")
    for key in raw:
        _check_parts(key)
    return check_keys(raw)


def checked_prefix(raw: object) -> Key:
    """A valid key, or the empty prefix of all keys."""
    return () if isinstance(raw, (list, tuple)) and not raw else checked_key(raw)


def _check_parts(raw: object) -> None:
    """Refuse texts that are none, and integers that a number part, a double, would change."""
    if not isinstance(raw, (list, tuple)):
        hint = (
            f": a key of one part is [{raw!r}]" if isinstance(raw, str) and len(raw) < 100 else ""
        )
        raise InvalidInput(
            f"Key must be a list or tuple of parts ({_TYPES}), received {raw!r:.100}{hint}"
        )
    for index, part in enumerate(raw):
        if isinstance(part, str):
            if not part.isascii():
                _refuse_surrogates(part)
        elif isinstance(part, int) and not isinstance(part, BigInt) and is_rounded(part):
            raise InvalidInput(
                f"Key part {part} is beyond ±(2^53 - 1) and would be rounded: use BigInt({part})"
            )
        elif not (isinstance(part, _PARTS) or part is UUIDV7 or _is_json_form(part)):
            raise InvalidInput(
                f"Invalid key part at index {index}: expected one of {_TYPES}, received"
                f" {part!r:.50}"
            )


def _is_json_form(part: object) -> bool:
    """Whether it may stand for a part in JSON; `check_key` says whether it does."""
    return isinstance(part, dict) and (
        TYPE_MEMBER in part or "$uuidv7" in part or foreign_bytes(part) is not None
    )


def is_rounded(number: int) -> bool:
    """Whether a number part, which is a double, would be another number than this one."""
    if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
        return False
    try:
        return int(float(number)) != number
    except OverflowError:
        return True


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("Key part holds a lone surrogate, which is not text") from None


def checked_beginning(raw: object) -> Key:
    """A key whose last part is the beginning of a text. Raises `InvalidInput`."""
    key = checked_key(raw)
    if not isinstance(key[-1], str):
        raise InvalidInput(
            "starts_with must end with a text, with which a part of keys begins, received"
            f" {key[-1]!r:.50}"
        )
    return key

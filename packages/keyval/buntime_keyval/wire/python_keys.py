"""Keys that Python code writes, as opposed to those that a JSON body brings.

In JSON a number is a double whatever its digits say. A Python integer means itself, so one that
no double holds is refused here and not rounded.
"""

from __future__ import annotations

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import Key, check_key, check_keys
from buntime_keyval.wire.limits import MAX_SAFE_INTEGER
from buntime_keyval.wire.numbers import BigInt


def checked_key(raw: object, *, placeholders: bool = False) -> Key:
    """A valid key. Raises `InvalidInput`, also for an integer that no number part holds."""
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
        raise InvalidInput(
            "Key must be a list or tuple of parts (str, int, float, bool, bytes), received"
            f" {raw!r:.100}"
        )
    for part in raw:
        if isinstance(part, str):
            if not part.isascii():
                _refuse_surrogates(part)
        elif (
            isinstance(part, int)
            and not isinstance(part, BigInt)
            and not -MAX_SAFE_INTEGER <= part <= MAX_SAFE_INTEGER
            and not _is_double(part)
        ):
            raise InvalidInput(
                f"Key part {part} is beyond ±(2^53 - 1) and would be rounded: use BigInt({part})"
            )


def _is_double(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("Key part holds a lone surrogate, which is no text") from None

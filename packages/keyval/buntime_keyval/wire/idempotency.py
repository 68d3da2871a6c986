"""Keys that make a repeated write the same write."""

from __future__ import annotations

import re

from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.errors import InvalidInput

MAX_IDEMPOTENCY_KEY = 255
_is_key = re.compile(rf"[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}").fullmatch


def checked_idempotency_key(key: object) -> str:
    """The key. Raises `InvalidInput`."""
    if isinstance(key, str) and _is_key(key):
        return key
    raise InvalidInput(
        f"An idempotency key has 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters, "
        f"received {describe(key)}"
    )

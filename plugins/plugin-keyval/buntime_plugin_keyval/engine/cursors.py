"""The cursor of a page: the key that the page before ended with, as clients get it."""

from __future__ import annotations

import base64
import binascii

from buntime_keyval.wire import InvalidInput, decode_key

from buntime_plugin_keyval.storage.ranges import KeyRange


def make_cursor(key: bytes) -> str:
    """The cursor of the page behind a key."""
    return base64.b64encode(key).decode("ascii")


def decode_cursor(cursor: str) -> bytes:
    """Decode a cursor. Raises `InvalidInput`.

    Accepts URLs' variants of base64: its URL-safe alphabet, missing padding, blanks for `+`.
    """
    text = cursor.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("Invalid cursor") from None


def continue_at(keys: KeyRange, cursor: str | None, *, reverse: bool) -> KeyRange:
    """The part of a range that the cursor leaves to read. Raises `InvalidInput`."""
    if not cursor:
        return keys
    key = decode_cursor(cursor)
    if key.startswith(b"\x00["):
        raise InvalidInput("The cursor is one of a snapshot: ask with snapshot=true")
    try:
        decode_key(key)
    except ValueError:
        raise InvalidInput("Invalid cursor") from None
    return keys.before(key) if reverse else keys.after(key)

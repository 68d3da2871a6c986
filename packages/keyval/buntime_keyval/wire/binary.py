"""The JSON forms of bytes."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.numbers import TYPE_MEMBER

BYTES_TYPE = "uint8array"

BYTES_BEFORE = f'{{"{TYPE_MEMBER}":"{BYTES_TYPE}","value":"'
BYTES_BEHIND = '"}'
"""What stands around base64 in the canonical text of bytes."""


def tag_bytes(value: bytes) -> dict[str, Any]:
    """The JSON form of bytes."""
    return {TYPE_MEMBER: BYTES_TYPE, "value": base64.b64encode(value).decode("ascii")}


def untag_bytes(value: dict[str, Any]) -> bytes:
    """The bytes of their JSON form. Raises `InvalidInput` if the base64 text is broken."""
    text = value.get("value")
    try:
        return base64.b64decode(text, validate=True)  # type: ignore[arg-type] # TypeError is caught
    except (TypeError, ValueError, binascii.Error):
        raise InvalidInput("uint8array value must be a base64 string") from None


def foreign_bytes(value: dict[str, Any]) -> bytes | None:
    """Bytes in one of the forms that JavaScript's JSON gives them, or None.

    Those are `{"0": 1, "1": 2}` of a Uint8Array and `{"type": "Buffer", "data": [1, 2]}`.
    """
    if value.get("type") == "Buffer" and isinstance(value.get("data"), list):
        items = value["data"]
    elif value and all(name == str(index) for index, name in enumerate(value)):
        items = list(value.values())
    else:
        return None
    if all(type(item) is int and 0 <= item <= 255 for item in items):
        return bytes(items)
    return None

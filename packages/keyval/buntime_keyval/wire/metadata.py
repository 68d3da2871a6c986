"""Metadata: any JSON that an entry has beside its value, small, and canonical as values are."""

from __future__ import annotations

from typing import Any

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_METADATA_BYTES
from buntime_keyval.wire.stamps import without_stamps
from buntime_keyval.wire.values import canonical_part, decode_json, encode_value


def parse_metadata(text: str | None, now_ms: int) -> str | None:
    """The canonical text of the metadata in a query parameter; None if it is absent or `null`.

    Raises `InvalidInput` for what is no JSON, and as `canonical_metadata` does.
    """
    if text is None:
        return None
    try:
        raw = decode_json(text.encode())
    except (InvalidInput, UnicodeEncodeError):
        raise InvalidInput(f"metadata must be JSON, received {text:.50}") from None
    return canonical_metadata(raw, now_ms)


def canonical_metadata(raw: Any, now_ms: int) -> str | None:
    """The canonical text of decoded metadata, with `$now` resolved; None for null.

    Raises `InvalidInput` for broken tagged values, for placeholders of versionstamps, and for more
    than `MAX_METADATA_BYTES`.
    """
    return None if raw is None else _checked(canonical_part(raw, now_ms))


def encode_metadata(value: Any, now_ms: int | None) -> str | None:
    """The same of Python metadata; `now_ms` None leaves `$now` for the server."""
    return None if value is None else _checked(encode_value(value, now_ms))


def _checked(text: str) -> str:
    size = len(text.encode())
    if size > MAX_METADATA_BYTES:
        raise InvalidInput(f"metadata too large: {size} bytes (max {MAX_METADATA_BYTES})")
    return without_stamps(text)

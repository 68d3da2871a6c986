"""What statements say of rows of `kv_entries`: whether one is live, and it as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from buntime_keyval.wire.shapes import Shape

LIVE = "(expires_at IS NULL OR expires_at > ?)"
IN_RANGE = "key >= ? AND key < ?"

# The server knows it without reading a value that is beside its row.
VALUE_SIZE = "octet_length(value)"

_KEY = """'{"key":', key_json"""
_VALUE = """, ',"value":', value"""
_VERSIONSTAMP = """, ',"versionstamp":"', versionstamp, '"'"""
_DETAILS = (
    """, ',"metadata":', coalesce(metadata, 'null')"""
    """, ',"createdAt":', coalesce(created_at, 0), ',"updatedAt":', coalesce(updated_at, 0)"""
    """, ',"expiresAt":', coalesce(expires_at::text, 'null')"""
    """, ',"revision":', revision, ',"type":', coalesce(to_json(type)::text, 'null')"""
)
ENTRY_MEMBERS = f"{_KEY}{_VALUE}{_VERSIONSTAMP}"
ENTRY_JSON: Mapping[Shape, str] = {
    Shape(True, False): f"concat({ENTRY_MEMBERS}, '}}')",
    Shape(True, True): f"concat({ENTRY_MEMBERS}{_DETAILS}, '}}')",
    Shape(False, False): f"concat({_KEY}{_VERSIONSTAMP}, '}}')",
    Shape(False, True): f"concat({_KEY}{_VERSIONSTAMP}{_DETAILS}, '}}')",
}

# About the bytes of it, for where they are counted before values are read.
_KEY_SIZE = "octet_length(key_json)::bigint + 80"
_DETAILS_SIZE = " + coalesce(octet_length(metadata), 0) + coalesce(octet_length(type), 0) + 160"
ENTRY_SIZE: Mapping[Shape, str] = {
    Shape(True, False): f"{_KEY_SIZE} + {VALUE_SIZE}",
    Shape(True, True): f"{_KEY_SIZE} + {VALUE_SIZE}{_DETAILS_SIZE}",
    Shape(False, False): _KEY_SIZE,
    Shape(False, True): f"{_KEY_SIZE}{_DETAILS_SIZE}",
}


def entry_of(key: str) -> str:
    """The entry of a key, to be joined with what has the keys.

    The fence has the server look each key up in the index, whatever it believes of the table. Of
    one that was empty when it last looked, and was filled since, it would read all for every key.
    """
    return f"LATERAL (SELECT * FROM kv_entries WHERE kv_entries.key = {key} OFFSET 0) AS kv_entries"


def value_up_to(most: int) -> str:
    """The value, or NULL where it has more bytes than that."""
    return f"CASE WHEN {VALUE_SIZE} <= {most} THEN value END"


def as_bytes(text: str) -> str:
    """A text in bytes of UTF-8."""
    return f"convert_to({text}, 'UTF8')"

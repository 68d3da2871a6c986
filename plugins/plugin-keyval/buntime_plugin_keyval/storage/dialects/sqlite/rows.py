"""What statements say of rows of `kv_entries`: whether one is live, and it as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, VALUE_SIZE

LIVE = "(expires_at IS NULL OR expires_at > ?)"
IN_RANGE = "key >= ? AND key < ?"

# When a row was written that has no times, since it is older than their columns: a versionstamp
# is a UUIDv7, which begins with 48 bits of milliseconds. SQLite reads hexadecimal digits as JSON5
# only. NULL for a versionstamp of another kind, which only other programs can have written.
_STAMPED_AT = (
    "json_extract('0x' || nullif(hex(unhex("
    "substr(versionstamp, 1, 8) || substr(versionstamp, 10, 4))), ''), '$')"
)
CREATED_AT = f"coalesce(created_at, {_STAMPED_AT}, 0)"
UPDATED_AT = f"coalesce(updated_at, {_STAMPED_AT}, 0)"

# What an entry as a JSON object is put together from: all but its end. By one call, since each `||`
# makes one more copy of what is before it, and keeps that until the row is complete.
_KEY = """'{"key":', key_json"""
_VALUE = f""", ',"value":', {VALUE}"""
_VERSIONSTAMP = """, ',"versionstamp":"', versionstamp, '"'"""
_DETAILS = (
    """, ',"metadata":', coalesce(metadata, 'null')"""
    f""", ',"createdAt":', {CREATED_AT}, ',"updatedAt":', {UPDATED_AT}"""
    """, ',"expiresAt":', coalesce(expires_at, 'null')"""
    """, ',"revision":', revision, ',"type":', iif(type IS NULL, 'null', json_quote(type))"""
)
ENTRY_MEMBERS = f"{_KEY}{_VALUE}{_VERSIONSTAMP}"
ENTRY_JSON: Mapping[Shape, str] = {
    Shape(True, False): f"concat({ENTRY_MEMBERS}, '}}')",
    Shape(True, True): f"concat({ENTRY_MEMBERS}{_DETAILS}, '}}')",
    Shape(False, False): f"concat({_KEY}{_VERSIONSTAMP}, '}}')",
    Shape(False, True): f"concat({_KEY}{_VERSIONSTAMP}{_DETAILS}, '}}')",
}

# About the bytes of it, for where they are counted before values are read.
_KEY_SIZE = "octet_length(key_json) + 80"
_VALUE_SIZE = f" + {VALUE_SIZE}"
_DETAILS_SIZE = " + coalesce(octet_length(metadata), 0) + coalesce(octet_length(type), 0) + 160"
ENTRY_SIZE: Mapping[Shape, str] = {
    Shape(True, False): f"{_KEY_SIZE}{_VALUE_SIZE}",
    Shape(True, True): f"{_KEY_SIZE}{_VALUE_SIZE}{_DETAILS_SIZE}",
    Shape(False, False): _KEY_SIZE,
    Shape(False, True): f"{_KEY_SIZE}{_DETAILS_SIZE}",
}

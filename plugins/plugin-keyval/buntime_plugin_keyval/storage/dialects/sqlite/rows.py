"""SQL about rows of `kv_entries`: whether one is live, and its JSON."""

from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, VALUE_SIZE
from buntime_plugin_keyval.storage.dialects.templates import entry_texts

# When a row was written that has no times, since it is older than their columns: a versionstamp
# is a UUIDv7, which begins with 48 bits of milliseconds. SQLite reads hexadecimal digits as JSON5
# only. NULL for a versionstamp of another kind, which only other programs can have written.
_STAMPED_AT = (
    "json_extract('0x' || nullif(hex(unhex("
    "substr(versionstamp, 1, 8) || substr(versionstamp, 10, 4))), ''), '$')"
)
CREATED_AT = f"coalesce(created_at, {_STAMPED_AT}, 0)"
UPDATED_AT = f"coalesce(updated_at, {_STAMPED_AT}, 0)"

# By one call of `concat`, since each `||` makes one more copy of what is before it, and keeps that
# until the row is complete.
ENTRIES = entry_texts(
    value=f""", ',"value":', {VALUE}""",
    details=(
        """, ',"metadata":', coalesce(metadata, 'null')"""
        f""", ',"createdAt":', {CREATED_AT}, ',"updatedAt":', {UPDATED_AT}"""
        """, ',"expiresAt":', coalesce(expires_at, 'null')"""
        """, ',"revision":', revision, ',"type":', iif(type IS NULL, 'null', json_quote(type))"""
    ),
    key_size="octet_length(key_json) + 80",
    value_size=VALUE_SIZE,
)

"""SQL about rows of `kv_entries`: whether one is live, and its JSON."""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.templates import entry_texts

# The server knows it without reading a value that is beside its row.
VALUE_SIZE = "octet_length(value)"

ENTRIES = entry_texts(
    value=""", ',"value":', value""",
    details=(
        """, ',"metadata":', coalesce(metadata, 'null')"""
        """, ',"createdAt":', coalesce(created_at, 0), ',"updatedAt":', coalesce(updated_at, 0)"""
        """, ',"expiresAt":', coalesce(expires_at::text, 'null')"""
        """, ',"revision":', revision, ',"type":', coalesce(to_json(type)::text, 'null')"""
    ),
    key_size="octet_length(key_json)::bigint + 80",
    value_size=VALUE_SIZE,
)


def entry_of(key: str) -> str:
    """The entry of a key, to be joined with the source of the keys.

    The fence makes the server look each key up in the index, whatever its statistics say. For a
    table that was empty at the last analysis, and was filled since, it would read all for every
    key.
    """
    return f"LATERAL (SELECT * FROM kv_entries WHERE kv_entries.key = {key} OFFSET 0) AS kv_entries"


def value_up_to(most: int) -> str:
    """The value, or NULL where it has more bytes than that."""
    return f"CASE WHEN {VALUE_SIZE} <= {most} THEN value END"


def as_bytes(text: str) -> str:
    """A text in bytes of UTF-8."""
    return f"convert_to({text}, 'UTF8')"

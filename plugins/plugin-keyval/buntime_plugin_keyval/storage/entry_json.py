"""Entries as JSON text, joined from texts that are JSON already."""

from __future__ import annotations

from buntime_keyval.wire.shapes import PLAIN, Shape

_NO_DETAILS = (
    ',"metadata":null,"createdAt":null,"updatedAt":null,"expiresAt":null,"revision":null'
    ',"type":null'
)


def entry_json(key: str, value: str, versionstamp: str) -> str:
    """The JSON of an existing entry; `key` and `value` are JSON texts."""
    return f'{{"key":{key},"value":{value},"versionstamp":"{versionstamp}"}}'


def entry_pieces(key: str, value: bytes, versionstamp: str) -> tuple[bytes, bytes, bytes]:
    """The same in pieces, for a value too long to be copied."""
    return f'{{"key":{key},"value":'.encode(), value, f',"versionstamp":"{versionstamp}"}}'.encode()


def missing_json(key: str, shape: Shape = PLAIN) -> str:
    """The JSON of a key that does not exist."""
    value = ',"value":null' if shape.values else ""
    details = _NO_DETAILS if shape.details else ""
    return f'{{"key":{key}{value},"versionstamp":null{details}}}'

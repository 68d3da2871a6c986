"""Entries as JSON text, spliced from texts that are JSON already."""

from __future__ import annotations


def entry_json(key: str, value: str, versionstamp: str) -> str:
    """An existing entry; `key` and `value` are JSON texts."""
    return f'{{"key":{key},"value":{value},"versionstamp":"{versionstamp}"}}'


def missing_json(key: str) -> str:
    """The entry of a key that does not exist."""
    return f'{{"key":{key},"value":null,"versionstamp":null}}'

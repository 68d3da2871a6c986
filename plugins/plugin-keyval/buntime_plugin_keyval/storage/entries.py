"""Entries of keys that were asked for, those that do not exist too; entries of their JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from buntime_keyval import KvDetails, KvEntry, KvMissing
from buntime_keyval.wire import Key, check_key, decode_value, key_to_json
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.dialects.reads import MISSING
from buntime_plugin_keyval.storage.entry_json import entry_json, missing_json
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.within import Text

_MISSING = re.compile(f"{MISSING}([0-9]+){MISSING}")


def entries_json(
    keys: Sequence[Key], encoded: Sequence[bytes], rows: Mapping[bytes, Row]
) -> list[str]:
    """One entry for each key, in the order of the keys."""
    entries = []
    for key, code in zip(keys, encoded, strict=True):
        row = rows.get(code)
        if row is None:
            entries.append(missing_json(key_to_json(key)))
        else:
            entries.append(entry_json(key_to_json(key), row.value, row.versionstamp))
    return entries


def shaped_json(
    keys: Sequence[Key], encoded: Sequence[bytes], found: Mapping[bytes, str], shape: Shape
) -> list[str]:
    """The same for entries that were read as JSON."""
    return [
        found.get(code) or missing_json(key_to_json(key), shape)
        for key, code in zip(keys, encoded, strict=True)
    ]


def found_json(
    keys: Sequence[Key], encoded: Sequence[bytes], found: Mapping[bytes, Text], shape: Shape
) -> list[Text]:
    """The same for entries that were read for an answer."""
    return [
        found.get(code) or missing_json(key_to_json(key), shape)
        for key, code in zip(keys, encoded, strict=True)
    ]


def joined_json(text: str, keys: Sequence[Key], shape: Shape) -> str:
    """The same of a text of `ReadSql.get_joined` in which none is too long."""
    if MISSING not in text:
        return text
    return _MISSING.sub(lambda found: missing_json(key_to_json(keys[int(found[1])]), shape), text)


class _Entry(msgspec.Struct, rename="camel"):
    key: Any
    versionstamp: str | None
    value: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    created_at: int | None = None
    updated_at: int | None = None
    expires_at: int | None = None
    revision: int | None = None
    type: str | None = None


_decode_entries = msgspec.json.Decoder(list[_Entry]).decode


def read_entries(entries: Text) -> list[KvEntry[Any]]:
    """Python's entries of the inside of a JSON array, in whatever shape."""
    return [
        _read(entry)
        for entry in _decode_entries(
            f"[{entries}]" if isinstance(entries, str) else b"[%b]" % entries
        )
    ]


def _read(entry: _Entry) -> KvEntry[Any]:
    if entry.versionstamp is None:
        return KvMissing(check_key(entry.key), None, None)
    details = None
    if entry.created_at is not None and entry.updated_at is not None:
        details = KvDetails(
            _value(entry.metadata),
            entry.created_at,
            entry.updated_at,
            entry.expires_at,
            entry.revision or 1,
            entry.type,
        )
    return KvEntry(check_key(entry.key), _value(entry.value), entry.versionstamp, details)


def _value(raw: msgspec.Raw) -> Any:
    return decode_value(bytes(raw).decode())

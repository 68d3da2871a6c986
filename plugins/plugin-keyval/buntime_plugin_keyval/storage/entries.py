"""Entries of requested keys, including missing ones, as JSON and as Python values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from buntime_keyval import KvDetails, KvEntry, KvMissing
from buntime_keyval.wire import Key, check_key, key_to_json, untag
from buntime_keyval.wire.numbers import TYPE_MEMBER
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.dialects.reads import MISSING
from buntime_plugin_keyval.storage.entry_json import entry_json, missing_json
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.within import Text

T = TypeVar("T", bound=Text)

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


def found_json(
    keys: Sequence[Key], encoded: Sequence[bytes], found: Mapping[bytes, T], shape: Shape
) -> list[T | str]:
    """The same for entries that are JSON already."""
    return [
        found.get(code) or missing_json(key_to_json(key), shape)
        for key, code in zip(keys, encoded, strict=True)
    ]


def joined_json(text: str, keys: Sequence[Key], shape: Shape) -> str:
    """The same from the text of `ReadSql.get_joined`, if no entry is too long."""
    if MISSING not in text:
        return text
    return _MISSING.sub(lambda found: missing_json(key_to_json(keys[int(found[1])]), shape), text)


class _Entry(msgspec.Struct, rename="camel"):
    key: tuple[Any, ...]
    versionstamp: str | None
    value: Any = None
    metadata: Any = None
    created_at: int | None = None
    updated_at: int | None = None
    expires_at: int | None = None
    revision: int | None = None
    type: str | None = None


_decode_entries = msgspec.json.Decoder(list[_Entry]).decode
_TAG = f'"{TYPE_MEMBER}":'


def read_entries(entries: Text) -> list[KvEntry[Any]]:
    """Python entries from the inside of a JSON array, in any shape."""
    if isinstance(entries, str):
        has_tags = _TAG in entries
        found = _decode_entries(f"[{entries}]")
    else:
        has_tags = _TAG.encode() in entries
        found = _decode_entries(b"[%b]" % entries)
    # All values are decoded in one call: a call for each would cost more than the decoding.
    if has_tags:
        for entry in found:
            entry.key = check_key(entry.key)
            entry.value, entry.metadata = untag(entry.value), untag(entry.metadata)
    return [_read(entry) for entry in found]


def _read(entry: _Entry) -> KvEntry[Any]:
    if entry.versionstamp is None:
        return KvMissing(entry.key, None, None)
    details = None
    if entry.created_at is not None and entry.updated_at is not None:
        details = KvDetails(
            entry.metadata,
            entry.created_at,
            entry.updated_at,
            entry.expires_at,
            entry.revision or 1,
            entry.type,
        )
    return KvEntry(entry.key, entry.value, entry.versionstamp, details)

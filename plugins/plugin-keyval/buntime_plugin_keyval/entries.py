"""Entries of keys that were asked for, those that do not exist too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buntime_keyval.wire import Key, key_to_json

from buntime_plugin_keyval.storage.entry_json import entry_json, missing_json
from buntime_plugin_keyval.storage.reads import Row


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

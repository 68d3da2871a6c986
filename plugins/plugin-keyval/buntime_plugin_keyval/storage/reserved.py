"""The keys of the store's own entries."""

from __future__ import annotations

from buntime_keyval.wire import encode_key

from buntime_plugin_keyval.storage.ranges import KeyRange, subtree

RESERVED_KEY = ("$buntime",)
RESERVED: KeyRange = subtree(encode_key(RESERVED_KEY))
"""Principals with grants can only use keys in here as administrators."""


def is_reserved(key: bytes) -> bool:
    """Whether a key is one of the store's own."""
    return RESERVED.start <= key < RESERVED.end

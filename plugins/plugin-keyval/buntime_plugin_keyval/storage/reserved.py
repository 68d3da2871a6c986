"""Where the store keeps what is its own, among the entries of everybody."""

from __future__ import annotations

from buntime_keyval.wire import encode_key

from buntime_plugin_keyval.storage.ranges import KeyRange, subtree

RESERVED_KEY = ("$buntime",)
RESERVED: KeyRange = subtree(encode_key(RESERVED_KEY))
"""Of those whose grants say what they may do, administrators alone reach in there by its keys."""


def is_reserved(key: bytes) -> bool:
    """Whether a key is one of the store itself."""
    return RESERVED.start <= key < RESERVED.end

"""JSON Merge Patches (RFC 7396) of canonical texts.

An object of the patch is merged into that of the value, member by member; null removes a member,
and anything else takes its place. What the patch does not name is not decoded: it stays as it is,
with numbers of any size. Bigints and bytes are values, though they are written as objects.
"""

from __future__ import annotations

from typing import Any

import msgspec
from buntime_keyval.wire.binary import BYTES_TYPE
from buntime_keyval.wire.numbers import BIGINT_TYPE, TYPE_MEMBER
from buntime_keyval.wire.values import canonical_json, checked_text

SPLICED_LEVELS = 8
"""Levels that are spliced: each reads all that is below it once more. What is deeper is decoded."""

_Members = dict[str, msgspec.Raw]

_decode_members = msgspec.json.Decoder(_Members).decode
_decode = msgspec.json.decode
_encode = msgspec.json.encode
_NULL = b"null"
_TAGS = frozenset({BIGINT_TYPE, BYTES_TYPE})
_TAG_TEXTS = frozenset(_encode(tag) for tag in _TAGS)


def merge_patch(text: str | None, patch: str) -> str:
    """What a patch makes of a value; both are canonical texts, and None stands for no value.

    Raises `InvalidInput` if that is too long.
    """
    return checked_text(_merged((text or "{}").encode(), patch.encode(), 0))


def _merged(text: bytes, patch: bytes, level: int) -> bytes:
    changes = _members(patch)
    if changes is None:
        return patch
    if level == SPLICED_LEVELS:
        return canonical_json(_merged_object(_decode(text), _decode(patch)), 0)
    members = _members(text) or {}
    for name, change in changes.items():
        raw = bytes(change)
        if raw == _NULL:
            members.pop(name, None)
        elif raw.startswith(b"{"):
            below = members.get(name)
            members[name] = msgspec.Raw(_merged(bytes(below or b"{}"), raw, level + 1))
        else:
            members[name] = change
    return _encode(members)


def _members(text: bytes) -> _Members | None:
    """The members of an object; None for any other value."""
    if not text.startswith(b"{"):
        return None
    members = _decode_members(text)
    tag = members.get(TYPE_MEMBER)
    return None if tag is not None and bytes(tag) in _TAG_TEXTS else members


def _merged_object(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or _is_tagged(patch):
        return patch
    merged: dict[str, Any] = {}
    if isinstance(value, dict) and not _is_tagged(value):
        merged = value
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged_object(merged.get(name), change)
    return merged


def _is_tagged(value: dict[str, Any]) -> bool:
    tag = value.get(TYPE_MEMBER)
    return isinstance(tag, str) and tag in _TAGS

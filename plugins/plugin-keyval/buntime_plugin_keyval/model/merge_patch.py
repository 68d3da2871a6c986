"""JSON Merge Patches (RFC 7396) of canonical texts.

An object of the patch is merged into that of the value, member by member; null removes a member,
and anything else replaces it. Members that the patch does not name are not decoded and stay as they
are, with numbers of any size. Bigints and bytes are values, though they are written as objects.
"""

from __future__ import annotations

from typing import Any

import msgspec
from buntime_keyval.wire.binary import BYTES_TYPE
from buntime_keyval.wire.numbers import BIGINT_TYPE, TYPE_MEMBER
from buntime_keyval.wire.values import canonical_json, checked_text

SPLICED_LEVELS = 8
"""Levels that are spliced, each of which reads all below it once more. Deeper ones are decoded."""

_Members = dict[str, Any]

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.decode
_NULL = b"null"
_NOTHING = msgspec.Raw(b"{}")
_TAGS = frozenset({BIGINT_TYPE, BYTES_TYPE})
_TAG_TEXTS = frozenset(msgspec.json.encode(tag) for tag in _TAGS)


class _Decoded:
    """A value at the level from which everything is decoded."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _written(decoded: Any) -> msgspec.Raw:
    return msgspec.Raw(canonical_json(decoded.value, 0))


_encode = msgspec.json.Encoder(enc_hook=_written).encode


class Merging:
    """A value to which patches are applied one after the other.

    Objects that they name are taken apart once and joined at the end, so that many patches of a
    value with many members cost little more than one.
    """

    __slots__ = ("_value",)

    def __init__(self, text: str | None) -> None:
        """`text` is canonical JSON; None stands for no value."""
        self._value: Any = _NOTHING if text is None else msgspec.Raw(text.encode())
        """Raw JSON, or members, each of which is raw or taken apart itself."""

    def patch(self, patch: str) -> None:
        """Apply a patch, which is canonical JSON."""
        self._value = _merged(self._value, msgspec.Raw(patch.encode()), 0)

    def text(self) -> str:
        """The resulting value. Raises `InvalidInput` if it is too long."""
        return checked_text(_encode(self._value))


def _merged(value: Any, patch: msgspec.Raw, level: int) -> Any:
    changes = _members(patch)
    if changes is None:
        return patch
    if level == SPLICED_LEVELS:
        current = value.value if isinstance(value, _Decoded) else _decode(value)
        return _Decoded(_merged_object(current, _decode(patch)))
    members = value if isinstance(value, dict) else _members(value) or {}
    for name, change in changes.items():
        raw = bytes(change)
        if raw == _NULL:
            members.pop(name, None)
        elif raw.startswith(b"{"):
            members[name] = _merged(members.get(name, _NOTHING), change, level + 1)
        else:
            members[name] = change
    return members


def _members(raw: msgspec.Raw) -> _Members | None:
    """The members of an object; None for any other value."""
    if not bytes(raw).startswith(b"{"):
        return None
    members = _decode_members(raw)
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

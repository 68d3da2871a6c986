"""Keys, values and entries between Python and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec

from buntime_keyval._results import KvDetails, KvEntry, KvMissing, SearchHit, made_entry
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    KeyLike,
    KeyPart,
    Pattern,
    Placeholder,
    check_key,
    encode_value,
    key_to_json,
    pattern_to_json,
    untag,
)
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, MessageOptions
from buntime_keyval.wire.shapes import PLAIN, Shape

_TAG = b'"__type"'


class _WireEntry(msgspec.Struct):
    key: tuple[Any, ...]
    value: Any
    versionstamp: str | None


class _WireShaped(msgspec.Struct, rename="camel"):
    """An entry that may have no value, and may have details."""

    key: tuple[Any, ...]
    versionstamp: str | None
    value: Any = None
    metadata: Any = None
    created_at: int | None = None
    updated_at: int | None = None
    expires_at: int | None = None
    revision: int | None = None
    type: str | None = None


_decode_shaped = msgspec.json.Decoder(_WireShaped).decode
_decode_all_shaped = msgspec.json.Decoder(list[_WireShaped]).decode


class _WireHit(_WireEntry):
    highlight: dict[str, str] | None = None
    snippet: dict[str, str] | None = None
    score: float | None = None


_decode_entry = msgspec.json.Decoder(_WireEntry).decode
_decode_entries = msgspec.json.Decoder(list[_WireEntry]).decode
_decode_hits = msgspec.json.Decoder(list[_WireHit]).decode
_decode_any = msgspec.json.Decoder().decode


def is_many(key: Any) -> TypeGuard[Sequence[KeyLike]]:
    """Whether this is a list of keys and not a key."""
    return isinstance(key, (list, tuple)) and (not key or isinstance(key[0], (list, tuple)))


def raw_key(key: Sequence[KeyPart | Placeholder]) -> msgspec.Raw:
    """A checked key as part of a body."""
    return msgspec.Raw(encoded(key_to_json(key)))


def raw_keys(keys: Sequence[Key]) -> msgspec.Raw:
    """Checked keys as part of a body."""
    return msgspec.Raw(encoded(f"[{','.join([key_to_json(key) for key in keys])}]"))


def raw_pattern(pattern: Pattern) -> msgspec.Raw:
    """A checked pattern as part of a body."""
    return msgspec.Raw(encoded(pattern_to_json(pattern)))


def raw_value(value: Any) -> msgspec.Raw:
    """A value as part of a body."""
    return msgspec.Raw(value_json(value))


def value_json(value: Any, *, placeholders: bool = False) -> bytes:
    """A Python value as JSON, `$now` left for the server, and `UUIDV7` if `placeholders` are
    allowed. Raises `InvalidInput`."""
    return encode_value(value, None, placeholders=placeholders).encode()


def option_members(options: EntryOptions) -> dict[str, msgspec.Raw]:
    """The given options of a write, as members of a mutation, without the type of the entry.

    In a mutation `type` is its kind: see `typed_members`.
    """
    texts = {
        "expiresIn": options.expires_in,
        "expiresAt": options.expires_at,
        "metadata": options.metadata,
    }
    return {
        name: msgspec.Raw(str(text).encode()) for name, text in texts.items() if text is not None
    }


def typed_members(options: EntryOptions, name: str = "entryType") -> dict[str, msgspec.Raw]:
    """The same with the type of the entry, as the member `type`."""
    members = option_members(options)
    if options.type is not None:
        members[name] = msgspec.Raw(msgspec.json.encode(options.type))
    return members


def created_members(options: EntryOptions) -> dict[str, msgspec.Raw]:
    """The options for a missing key, as a member of a mutation."""
    if options is NO_OPTIONS:
        return {}
    return {"onCreate": msgspec.Raw(msgspec.json.encode(typed_members(options)))}


def message_members(options: MessageOptions) -> dict[str, Any]:
    """The options of a message that are given, as members of a body."""
    members: dict[str, Any] = {}
    if options.delay_ms:
        members["delay"] = options.delay_ms
    if options.pauses_ms is not None:
        members["backoffSchedule"] = options.pauses_ms
    if options.keys_if_undelivered:
        members["keysIfUndelivered"] = raw_keys(options.keys_if_undelivered)
    if options.queue:
        members["queue"] = options.queue
    if options.priority:
        members["priority"] = options.priority
    if options.id is not None:
        members["id"] = options.id
    return members


def encoded(text: str) -> bytes:
    """UTF-8. Raises `InvalidInput` for lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("Key part holds a lone surrogate, which is not text") from None


def read_value(content: bytes) -> Any:
    """The Python value of a JSON text."""
    value = _decode_any(content)
    return untag(value) if _TAG in content else value


def read_entry(content: bytes, shape: Shape = PLAIN) -> KvEntry[Any]:
    """An entry of its JSON."""
    if shape != PLAIN:
        return _shaped(_decode_shaped(content))
    raw = _decode_entry(content)
    if _TAG in content:
        return made_entry(check_key(raw.key), untag(raw.value), raw.versionstamp)
    return made_entry(raw.key, raw.value, raw.versionstamp)


def read_entries(content: bytes, shape: Shape = PLAIN) -> list[KvEntry[Any]]:
    """Entries of a JSON array."""
    if shape != PLAIN:
        return [_shaped(raw) for raw in _decode_all_shaped(content)]
    raw = _decode_entries(content)
    if _TAG in content:
        return [made_entry(check_key(it.key), untag(it.value), it.versionstamp) for it in raw]
    return [made_entry(it.key, it.value, it.versionstamp) for it in raw]


def _shaped(raw: _WireShaped) -> KvEntry[Any]:
    details = None
    if raw.created_at is not None and raw.updated_at is not None:
        metadata = untag(raw.metadata)
        details = KvDetails(
            metadata, raw.created_at, raw.updated_at, raw.expires_at, raw.revision or 1, raw.type
        )
    if raw.versionstamp is None:
        return KvMissing(check_key(raw.key), None, None)
    return KvEntry(check_key(raw.key), untag(raw.value), raw.versionstamp, details)


def read_hits(content: bytes) -> list[SearchHit[Any]]:
    """The hits of a search, from a JSON array."""
    tagged = _TAG in content
    return [
        SearchHit(
            check_key(raw.key) if tagged else raw.key,
            untag(raw.value) if tagged else raw.value,
            raw.versionstamp,
            highlight=raw.highlight,
            snippet=raw.snippet,
            score=raw.score,
        )
        for raw in _decode_hits(content)
    ]

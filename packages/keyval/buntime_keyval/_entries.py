"""Keys, values and entries between Python and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec

from buntime_keyval._results import KvEntry
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    KeyLike,
    KeyPart,
    Placeholder,
    check_key,
    encode_value,
    key_to_json,
    untag,
)

_TAG = b'"__type"'


class _WireEntry(msgspec.Struct):
    key: tuple[Any, ...]
    value: Any
    versionstamp: str | None


_decode_entry = msgspec.json.Decoder(_WireEntry).decode
_decode_entries = msgspec.json.Decoder(list[_WireEntry]).decode
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


def raw_value(value: Any) -> msgspec.Raw:
    """A value as part of a body."""
    return msgspec.Raw(value_json(value))


def value_json(value: Any) -> bytes:
    """A Python value as JSON, `$now` left for the server. Raises `InvalidInput`."""
    return encode_value(value, None).encode()


def encoded(text: str) -> bytes:
    """UTF-8. Raises `InvalidInput` for lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("Key part holds a lone surrogate, which is no text") from None


def read_value(content: bytes) -> Any:
    """The Python value of a JSON text."""
    value = _decode_any(content)
    return untag(value) if _TAG in content else value


def read_entry(content: bytes) -> KvEntry[Any]:
    """An entry of its JSON."""
    raw = _decode_entry(content)
    if _TAG in content:
        return KvEntry(check_key(raw.key), untag(raw.value), raw.versionstamp)
    return KvEntry(raw.key, raw.value, raw.versionstamp)


def read_entries(content: bytes) -> list[KvEntry[Any]]:
    """Entries of a JSON array."""
    raw = _decode_entries(content)
    if _TAG in content:
        return [KvEntry(check_key(it.key), untag(it.value), it.versionstamp) for it in raw]
    return [KvEntry(it.key, it.value, it.versionstamp) for it in raw]

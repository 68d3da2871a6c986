"""Typed stores without I/O: keys below a prefix, and values of one type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from buntime_keyval._calls.atomic import StoredKey
from buntime_keyval._calls.keys import Entry
from buntime_keyval._errors import InvalidValue
from buntime_keyval._results import KvEntry
from buntime_keyval.wire import (
    Duration,
    InvalidInput,
    Key,
    KeyLike,
    KeyPart,
    encode_key,
    key_to_json,
)
from buntime_keyval.wire.commits import EntryOptions
from buntime_keyval.wire.python_keys import checked_key, checked_prefix
from buntime_keyval.wire.python_options import entry_options

T = TypeVar("T")

StoreKey = KeyLike | KeyPart | UUID | datetime
"""A key relative to its store; a single part may stand for itself."""

Progress = Callable[[int], object]
"""Told how many entries were deleted so far."""

DELETE_BATCH = 500
"""Entries that one request of `delete_all` deletes."""

_BYTES_LIKE = (bytes, bytearray, memoryview)


class Scope(Generic[T]):
    """The prefix and the type of a store."""

    def __init__(
        self,
        prefix: KeyLike,
        type: type[T] | None,
        expires_in: Duration | None,
        metadata: Any = None,
    ) -> None:
        entry_options(expires_in, None, metadata)  # refuses what no entry could be written with
        self.prefix = checked_prefix(prefix)
        self.type = type
        self.expires_in = expires_in
        self.metadata = metadata
        if type is not None:
            try:
                msgspec.convert(None, type | None)
            except (TypeError, NameError, msgspec.MsgspecError) as error:
                raise InvalidInput(f"{type!r} cannot be the type of a store: {error}") from None

    def below(self, prefix: StoreKey, type: Any) -> Scope[Any]:
        """The scope of a store inside this one."""
        inner = self.absolute(prefix)
        kind = self.type if type is None else type
        return Scope(inner, kind, self.expires_in, self.metadata)

    def absolute(self, key: StoreKey) -> Key:
        """The key in the whole of the database."""
        return checked_key((*self.prefix, *_parts(key)))

    def stored_key(self, key: StoreKey) -> Key:
        """The same, with the rules of this store."""
        stored = StoredKey(self.absolute(key))
        stored.rules = self
        return stored

    def options(
        self, expires_in: Duration | None, expires_at: float | datetime | None, metadata: Any
    ) -> EntryOptions:
        """The checked options of a write, with those of the store where none are given."""
        if expires_in is None and expires_at is None:
            expires_in = self.expires_in
        return entry_options(
            expires_in, expires_at, self.metadata if metadata is None else metadata
        )

    def absolute_prefix(self, prefix: StoreKey) -> Key:
        """The same for a prefix, which may be empty."""
        return checked_prefix((*self.prefix, *_parts(prefix)))

    def check(self, value: T) -> Any:
        """A value that may be stored, as data. Raises `InvalidValue`."""
        if self.type is None:
            return value
        try:
            plain = msgspec.to_builtins(
                value, builtin_types=_BYTES_LIKE, str_keys=True, enc_hook=_integer
            )
            self._convert(plain)
        except (TypeError, msgspec.ValidationError) as error:
            raise InvalidValue(f"The value is no {self._name()}: {error}") from error
        return plain

    def typed(self, entry: Entry, *, validate: bool = True) -> KvEntry[T]:
        """An entry with a relative key and a validated value. Raises `InvalidValue`.

        Without `validate` the entry is one that has no value.
        """
        if entry.versionstamp is None or not validate:
            return KvEntry(self.relative(entry.key), None, entry.versionstamp, entry.details)
        try:
            value = self._convert(entry.value)
        except msgspec.ValidationError as error:
            raise InvalidValue(
                f"The value at {key_to_json(entry.key)} is no {self._name()}: {error}"
            ) from error
        return KvEntry(self.relative(entry.key), value, entry.versionstamp, entry.details)

    def relative(self, key: Key) -> Key:
        """The key without the prefix of the store."""
        size = len(self.prefix)
        if encode_key(key[:size]) != encode_key(self.prefix):
            raise InvalidInput(f"{key_to_json(key)} is not in this store")
        return key[size:]

    def _convert(self, value: Any) -> T:
        if self.type is None:
            return value  # type: ignore[no-any-return] # no type, no check
        return msgspec.convert(value, self.type)

    def _name(self) -> str:
        return getattr(self.type, "__name__", repr(self.type))


def _parts(key: StoreKey) -> Sequence[Any]:
    if isinstance(key, (list, tuple)):
        return key
    return (key,)


def _integer(value: object) -> Any:
    if isinstance(value, int):  # BigInt, which msgspec does not know
        return int(value)
    raise TypeError(f"objects of type {type(value).__name__} are not supported")


def make_scope(
    prefix: KeyLike, type: type[T] | None, expires_in: Duration | None, metadata: Any
) -> Scope[T]:
    """The scope of a store. Raises `InvalidInput` for a type that cannot be validated."""
    return Scope(prefix, type, expires_in, metadata)

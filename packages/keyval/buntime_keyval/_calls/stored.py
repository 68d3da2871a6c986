"""Keys that know the typed store that they are in. No I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from buntime_keyval.wire import Duration, Key, KeyLike, KeyPart
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions
from buntime_keyval.wire.shapes import MutationType

StoreKey = KeyLike | KeyPart | UUID | datetime
"""A key relative to its store; a single part may stand for itself."""

T = TypeVar("T")


class Rules(Protocol):
    """The requirements of a typed store on its entries."""

    expires_in: Duration | None
    metadata: Any
    defaults: EntryOptions
    """The checked options of entries that are created without others."""

    def check(self, value: Any) -> Any:
        """A value that may be stored, as data. Raises `InvalidValue`."""

    def merged(self, kind: MutationType, operand: Any) -> Any:
        """A merge patch as data. Raises `InvalidValue`."""


class StoredKey(tuple[KeyPart, ...]):
    """A key that knows the rules of the typed store that it is in, wherever it is written."""

    rules: Rules


class RelativeKey(tuple[KeyPart, ...]):
    """The key of an entry that a typed store gave, which knows where it is outside the store."""

    absolute: Key


class StoreOf(Generic[T]):
    """A typed store as that in which something is written: `AsyncStore` and `Store` are some."""

    _scope: Rules

    def key(self, key: StoreKey) -> Key:
        """The absolute key, with the rules of the store."""
        raise NotImplementedError


class StoredValue(NamedTuple):
    """The options of a set, completed by those of its store."""

    value: Any
    expires_in: Duration | None
    metadata: Any


class Merged(NamedTuple):
    """The merge patch, and the options for a missing key."""

    operand: Any
    on_create: EntryOptions


def written_at(
    key: StoredKey,
    value: Any,
    expires_in: Duration | None,
    expires_at: float | datetime | None,
    metadata: Any,
) -> StoredValue:
    """The value and options that `set` stores in a typed store. Raises `InvalidValue`."""
    rules = key.rules
    if expires_in is None and expires_at is None:
        expires_in = rules.expires_in
    return StoredValue(
        rules.check(value), expires_in, rules.metadata if metadata is None else metadata
    )


def merged_at(key: object, kind: MutationType, operand: Any) -> Merged:
    """The operand and options of a mutation, of a key that may be in a typed store. Raises
    `InvalidValue`.

    An existing entry keeps its own options, so those of the store are for a missing key.
    """
    if not isinstance(key, StoredKey):
        return Merged(operand, NO_OPTIONS)
    return Merged(key.rules.merged(kind, operand), key.rules.defaults)

"""Checks and mutations, collected for one commit. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from buntime_keyval._calls.keys import read_commit
from buntime_keyval._core import Call
from buntime_keyval._entries import message_members, option_members, raw_key, value_json
from buntime_keyval._results import CommitResult, KvEntry
from buntime_keyval.wire import (
    BigInt,
    Duration,
    InvalidInput,
    KeyLike,
    KeyPart,
    Placeholder,
    encode_value,
)
from buntime_keyval.wire.commits import (
    NO_OPTIONS,
    Check,
    Contents,
    EntryOptions,
    Mutation,
    NewMessage,
)
from buntime_keyval.wire.numbers import TooManyDigits, is_long, operand_of_text
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import entry_options, message_options
from buntime_keyval.wire.shapes import MutationType

MutationKey = Sequence[KeyPart | UUID | datetime | Placeholder]
"""A key that may hold `kv.uuidv7()`."""

B = TypeVar("B", bound="AtomicBuilder")


class Rules(Protocol):
    """What a typed store asks of the entries in it."""

    def options(
        self, expires_in: Duration | None, expires_at: float | datetime | None, metadata: Any
    ) -> EntryOptions:
        """The checked options of a write, with those of the store where none are given."""

    def check(self, value: Any) -> Any:
        """A value that may be stored, as data. Raises `InvalidValue`."""


class StoredKey(tuple[KeyPart, ...]):
    """A key that knows the rules of the typed store that it is in, wherever it is written."""

    rules: Rules


class AtomicBuilder:
    """Checks and mutations, collected in order and committed together.

    Each method checks its input at once, raises `InvalidInput`, and returns the builder.
    """

    def __init__(self) -> None:
        self._contents = Contents([], [])

    @property
    def size(self) -> int:
        """Mutations collected so far."""
        return len(self._contents.mutations)

    def check(self: B, *entries: KvEntry[Any] | tuple[KeyLike, str | None]) -> B:
        """Require that each key still has its versionstamp; None requires that it is missing.

        Takes entries as `get` returned them, or pairs of key and versionstamp.
        """
        for entry in entries:
            if isinstance(entry, KvEntry):
                key, versionstamp = entry.key, entry.versionstamp
            else:
                key, versionstamp = checked_key(entry[0]), entry[1]
            if versionstamp is not None and not isinstance(versionstamp, str):
                raise InvalidInput(f"versionstamp must be a string or None, got {versionstamp!r}")
            self._contents.checks.append(Check(key, versionstamp))
        return self

    def set(
        self: B,
        key: MutationKey,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Store a value; options as in `Kv.set`."""
        options = _options(key, expires_in, expires_at, metadata)
        if isinstance(key, StoredKey):
            value = key.rules.check(value)
        return self._add("set", key, encode_value(value, None), options)

    def delete(self: B, key: MutationKey) -> B:
        """Delete exactly this key, not what extends it."""
        return self._add("delete", key, None, NO_OPTIONS)

    def sum(
        self: B,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Add an integer of any size to a number; a missing key counts as zero.

        Here and below, what is there keeps its life and its metadata unless new ones are given.
        """
        options = _options(key, expires_in, expires_at, metadata)
        return self._add("sum", key, _integer("sum", value), options)

    def max(
        self: B,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Keep the larger of the number that is there and this one."""
        options = _options(key, expires_in, expires_at, metadata)
        return self._add("max", key, _integer("max", value), options)

    def min(
        self: B,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Keep the smaller of the number that is there and this one."""
        options = _options(key, expires_in, expires_at, metadata)
        return self._add("min", key, _integer("min", value), options)

    def append(
        self: B,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Add items behind those of a list; a missing key counts as an empty list."""
        options = _options(key, expires_in, expires_at, metadata)
        return self._add("append", key, _array("append", items), options)

    def prepend(
        self: B,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Add items, in their order, in front of those of a list."""
        options = _options(key, expires_in, expires_at, metadata)
        return self._add("prepend", key, _array("prepend", items), options)

    def enqueue(
        self: B,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
    ) -> B:
        """Send a message if, and only if, the commit succeeds; options as in `Kv.enqueue`."""
        options = message_options(delay, backoff_schedule, keys_if_undelivered)
        self._contents.mutations.append(NewMessage(encode_value(value, None), options))
        return self

    def _add(
        self: B,
        type: MutationType,
        key: MutationKey,
        operand: int | str | None,
        options: EntryOptions,
    ) -> B:
        checked = checked_key(key, placeholders=True)
        self._contents.mutations.append(Mutation(type, checked, operand, options))
        return self


def contents_of(builder: AtomicBuilder) -> Contents:
    """What was collected, for whoever commits it."""
    return builder._contents


def commit(builder: AtomicBuilder) -> Call[CommitResult]:
    """The commit of what was collected."""
    checks, mutations = contents_of(builder)
    body = {
        "checks": [{"key": raw_key(key), "versionstamp": stamp} for key, stamp in checks],
        "mutations": [_members(mutation) for mutation in mutations],
    }
    return Call("POST", "/atomic", read_commit, msgspec.json.encode(body))


def _members(mutation: Mutation | NewMessage) -> dict[str, Any]:
    if isinstance(mutation, NewMessage):
        value = msgspec.Raw(mutation.value.encode())
        return {"type": "enqueue", "value": value, **message_members(mutation.options)}
    members: dict[str, Any] = {"type": mutation.type, "key": raw_key(mutation.key)}
    if isinstance(mutation.operand, str):
        members["value"] = msgspec.Raw(mutation.operand.encode())
    elif mutation.operand is not None:  # as bigint, which is exact whatever its size
        members["value"] = msgspec.Raw(value_json(BigInt(mutation.operand)))
    return members | option_members(mutation.options)


def _options(
    key: MutationKey,
    expires_in: Duration | None,
    expires_at: float | datetime | None,
    metadata: Any,
) -> EntryOptions:
    if isinstance(key, StoredKey):
        return key.rules.options(expires_in, expires_at, metadata)
    return entry_options(expires_in, expires_at, metadata)


def _integer(kind: str, value: object) -> int:
    if isinstance(value, str):
        return operand_of_text(kind, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(
            f"{kind} takes an integer, as an int or its text, received {value!r:.100}"
        )
    if is_long(value):
        raise TooManyDigits
    return int(value)


def _array(kind: str, items: object) -> str:
    if not isinstance(items, (list, tuple)):
        raise InvalidInput(f"{kind} takes a list or tuple of items, received {items!r:.100}")
    return encode_value(items, None)

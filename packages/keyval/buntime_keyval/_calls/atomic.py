"""Checks and mutations, collected for one commit. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from buntime_keyval._calls.keys import read_commit
from buntime_keyval._calls.queue import message_options
from buntime_keyval._core import Call
from buntime_keyval._entries import raw_key, raw_value, write_options
from buntime_keyval._results import CommitResult, KvEntry
from buntime_keyval.wire import (
    BigInt,
    InvalidInput,
    KeyLike,
    KeyPart,
    Placeholder,
)
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.python_keys import checked_key

MutationKey = Sequence[KeyPart | UUID | datetime | Placeholder]
"""A key that may hold `kv.uuidv7()`."""

B = TypeVar("B", bound="AtomicBuilder")


class AtomicBuilder:
    """Checks and mutations, collected in order and committed together.

    Each method checks its input at once, raises `InvalidInput`, and returns the builder.
    """

    def __init__(self) -> None:
        self._checks: list[dict[str, Any]] = []
        self._mutations: list[dict[str, Any]] = []

    @property
    def size(self) -> int:
        """Mutations collected so far."""
        return len(self._mutations)

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
            self._checks.append({"key": raw_key(key), "versionstamp": versionstamp})
        return self

    def set(
        self: B,
        key: MutationKey,
        value: Any,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Store a value; options as in `Kv.set`."""
        options = write_options(expires_in, expires_at, metadata)
        return self._add("set", key, raw_value(value), options)

    def delete(self: B, key: MutationKey) -> B:
        """Delete exactly this key, not what extends it."""
        self._mutations.append(
            {"type": "delete", "key": raw_key(checked_key(key, placeholders=True))}
        )
        return self

    def sum(
        self: B,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Add an integer of any size to a number; a missing key counts as zero.

        Here and below, what is there keeps its life and its metadata unless new ones are given.
        """
        options = write_options(expires_in, expires_at, metadata)
        return self._add("sum", key, _integer("sum", value), options)

    def max(
        self: B,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Keep the larger of the number that is there and this one."""
        options = write_options(expires_in, expires_at, metadata)
        return self._add("max", key, _integer("max", value), options)

    def min(
        self: B,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Keep the smaller of the number that is there and this one."""
        options = write_options(expires_in, expires_at, metadata)
        return self._add("min", key, _integer("min", value), options)

    def append(
        self: B,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Add items behind those of a list; a missing key counts as an empty list."""
        options = write_options(expires_in, expires_at, metadata)
        return self._add("append", key, _array("append", items), options)

    def prepend(
        self: B,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> B:
        """Add items, in their order, in front of those of a list."""
        options = write_options(expires_in, expires_at, metadata)
        return self._add("prepend", key, _array("prepend", items), options)

    def enqueue(
        self: B,
        value: Any,
        *,
        delay: float | str | None = None,
        backoff_schedule: Sequence[float | str] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
    ) -> B:
        """Send a message if, and only if, the commit succeeds; options as in `Kv.enqueue`."""
        options = message_options(delay, backoff_schedule, keys_if_undelivered)
        self._mutations.append({"type": "enqueue", "value": raw_value(value), **options})
        return self

    def call(self) -> Call[CommitResult]:
        """The commit of what was collected."""
        body = msgspec.json.encode({"checks": self._checks, "mutations": self._mutations})
        return Call("POST", "/atomic", read_commit, body)

    def _add(
        self: B, type: str, key: MutationKey, value: Any, options: Mapping[str, msgspec.Raw]
    ) -> B:
        target = raw_key(checked_key(key, placeholders=True))
        self._mutations.append({"type": type, "key": target, "value": value, **options})
        return self


def _integer(kind: str, value: object) -> msgspec.Raw:
    """An operand; as bigint on the wire, which is exact whatever its size."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidInput(f"{kind} value must be an integer or its text, got {describe(value)}")
    return raw_value(BigInt(value) if isinstance(value, int) else value)


def _array(kind: str, items: object) -> msgspec.Raw:
    if not isinstance(items, (list, tuple)):
        raise InvalidInput(f"{kind} value must be an array")
    return raw_value(items)

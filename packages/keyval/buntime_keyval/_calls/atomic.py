"""Checks and mutations, collected for one commit. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, Never, TypeVar, overload
from uuid import UUID

import msgspec

from buntime_keyval._calls.consumers import consumer_name, consumer_token
from buntime_keyval._calls.keys import read_commit, read_results
from buntime_keyval._calls.locks import checked_token, lock_name
from buntime_keyval._calls.stored import (
    RelativeKey,
    StoredKey,
    StoreKey,
    StoreOf,
    merged_at,
    written_at,
)
from buntime_keyval._calls.stream import position
from buntime_keyval._calls.tasks import new_task, task_members
from buntime_keyval._core import Call
from buntime_keyval._entries import (
    created_members,
    message_members,
    raw_key,
    typed_members,
    value_json,
)
from buntime_keyval._results import CommitResult, KvEntry, TaskInfo
from buntime_keyval.wire import (
    BigInt,
    Duration,
    InvalidInput,
    Key,
    KeyLike,
    KeyPart,
    Placeholder,
    encode_value,
)
from buntime_keyval.wire.commits import (
    LISTS,
    NO_OPTIONS,
    Check,
    ConsumerCommit,
    Contents,
    EntryOptions,
    LockCheck,
    Mutation,
    NewMessage,
)
from buntime_keyval.wire.numbers import TooManyDigits, is_long, operand_of_text
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import entry_options, message_options, refuse_unknown
from buntime_keyval.wire.shapes import MutationType
from buntime_keyval.wire.stamps import without_stamps
from buntime_keyval.wire.tasks import NewTask

MutationKey = Sequence[KeyPart | UUID | datetime | Placeholder]
"""A key that may hold `kv.uuidv7()`."""

B = TypeVar("B", bound="AtomicBuilder[Any]")
K = TypeVar("K")
T = TypeVar("T")

NOT_GIVEN: Any = object()
"""The value of a `set` without a store, which has a place less."""


class AtomicBuilder(Generic[K]):
    """Checks and mutations, collected in order and committed together.

    Each method checks its input at once, raises `InvalidInput`, and returns the builder. `K` is the
    type of its keys.
    """

    def __init__(self) -> None:
        self._contents = Contents([], [])

    @property
    def size(self) -> int:
        """Mutations collected so far."""
        return len(self._contents.mutations)

    def _place(self, key: Any) -> Any:
        """The absolute key of one that the caller says."""
        return key

    def _place_of(self, entry: KvEntry[Any]) -> Key:
        """The absolute key of an entry, also of one that a typed store gave."""
        key = entry.key
        return key.absolute if isinstance(key, RelativeKey) else checked_key(self._place(key))

    def _collect(self) -> Contents:
        """The collected checks and mutations, to add to."""
        return self._contents

    def check(self: B, *entries: KvEntry[Any] | tuple[KeyLike, str | None]) -> B:
        """Require that each key still has its versionstamp; None requires that it is missing.

        Takes entries as `get` returned them, of typed stores too, or pairs of key and versionstamp.
        """
        for entry in entries:
            if isinstance(entry, KvEntry):
                key, versionstamp = self._place_of(entry), entry.versionstamp
            elif isinstance(entry, tuple | list) and len(entry) == 2:
                key, versionstamp = checked_key(self._place(entry[0])), entry[1]
            else:
                raise InvalidInput(
                    "check takes entries, or pairs of a key and its versionstamp, such as"
                    f" (['a'], None), received {entry!r:.100}"
                )
            if versionstamp is not None and not isinstance(versionstamp, str):
                raise InvalidInput(f"versionstamp must be a string or None, got {versionstamp!r}")
            self._collect().checks.append(Check(key, versionstamp))
        return self

    def check_lock(self: B, name: str, token: str) -> B:
        """Require that a lock is held under this token: `lock.name`, `lock.token`."""
        self._collect().checks.append(LockCheck(lock_name(name), checked_token(token)))
        return self

    @overload
    def set(
        self: B,
        key: K,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B: ...
    @overload
    def set(
        self: B,
        store: StoreOf[T],
        key: StoreKey,
        value: T,
        /,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B: ...
    def set(
        self: B,
        key: Any,
        value: Any,
        stored: Any = NOT_GIVEN,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        **unknown: Never,
    ) -> B:
        """Store a value at a key, or in a typed store: `set(store, key, value)`.

        Options as in `Kv.set`; those of the store replace missing ones.
        """
        if unknown:
            refuse_unknown("set", unknown)
        placed, value = target_of(key, value, stored)
        if placed is None:
            placed = self._place(key)
        if isinstance(placed, StoredKey):
            value, expires_in, metadata = written_at(
                placed, value, expires_in, expires_at, metadata
            )
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._add("set", placed, encode_value(value, None, placeholders=True), options)

    def delete(self: B, key: K) -> B:
        """Delete exactly this key, not what extends it."""
        return self._add("delete", self._place(key), None, NO_OPTIONS)

    def sum(
        self: B,
        key: K,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B:
        """Add an integer of any size to a number; a missing key counts as zero.

        Here and below, an existing entry keeps its life, its metadata and its type unless new ones
        are given.
        """
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._merge("sum", key, value, options)

    def max(
        self: B,
        key: K,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B:
        """Keep the larger of the number that is there and this one."""
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._merge("max", key, value, options)

    def min(
        self: B,
        key: K,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B:
        """Keep the smaller of the number that is there and this one."""
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._merge("min", key, value, options)

    def append(
        self: B,
        key: K,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B:
        """Add items behind those of a list; a missing key counts as an empty list."""
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._merge("append", key, items, options)

    def prepend(
        self: B,
        key: K,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B:
        """Add items, in their order, in front of those of a list."""
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._merge("prepend", key, items, options)

    def patch(
        self: B,
        key: K,
        patch: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> B:
        """Merge a JSON Merge Patch into a value; a missing key counts as `{}`.

        Members that are None are removed, dicts are merged, and anything else is replaced.
        """
        options = entry_options(expires_in, expires_at, metadata, type=type)
        return self._merge("patch", key, patch, options)

    def touch(
        self: B,
        key: K,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
    ) -> B:
        """Give an existing entry another life, and leave the rest of it; a missing key stays
        missing.
        """
        if expires_in is None and expires_at is None:
            raise InvalidInput("touch takes a life: expires_in or expires_at; see also persist")
        options = entry_options(expires_in, expires_at, None)
        return self._add("touch", self._place(key), None, options)

    def persist(self: B, key: K) -> B:
        """Let an existing entry live for ever; a missing key stays missing."""
        return self._add("persist", self._place(key), None, NO_OPTIONS)

    def enqueue(
        self: B,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
        queue: str = "",
        priority: int = 0,
        id: str | None = None,
    ) -> B:
        """Send a message if, and only if, the commit succeeds; options as in `Kv.enqueue`."""
        options = message_options(delay, backoff_schedule, keys_if_undelivered, queue, priority, id)
        self._collect().mutations.append(
            NewMessage(without_stamps(encode_value(value, None)), options)
        )
        return self

    def commit_consumer(self: B, name: str, token: str, up_to: int) -> B:
        """Let a consumer of the stream be done up to a record if the commit succeeds, and let it
        fail if the consumer is not held under this token: `consumer.name`, `consumer.token`."""
        done = ConsumerCommit(consumer_name(name), consumer_token(token), position("up_to", up_to))
        self._collect().mutations.append(done)
        return self

    def task(
        self: B,
        name: str,
        payload: Any = None,
        *,
        id: str | None = None,
        delay: Duration | None = None,
        scheduled_for: float | datetime | None = None,
        max_retries: int = 3,
        backoff_schedule: Sequence[Duration] | None = None,
        timeout: Duration = "5m",
        priority: int = 0,
        unique: str | None = None,
        sequence: str | None = None,
        keep_result: Duration = "1d",
        parent: str | None = None,
        after: Sequence[TaskInfo | str] = (),
    ) -> B:
        """Make a task if, and only if, the commit succeeds; options as in `kv.tasks.send`."""
        new = new_task(
            name,
            payload,
            id=id,
            delay=delay,
            scheduled_for=scheduled_for,
            max_retries=max_retries,
            backoff_schedule=backoff_schedule,
            timeout=timeout,
            priority=priority,
            unique=unique,
            sequence=sequence,
            keep_result=keep_result,
            parent=parent,
            after=after,
        )
        self._collect().mutations.append(new)
        return self

    def _merge(self: B, kind: MutationType, key: K, given: Any, options: EntryOptions) -> B:
        """Add a mutation that keeps the options of an existing entry; a missing key gets those of
        its store.
        """
        placed = self._place(key)
        given, on_create = merged_at(placed, kind, given)
        return self._add(kind, placed, _operand(kind, given), options, on_create)

    def _add(
        self: B,
        type: MutationType,
        key: MutationKey,
        operand: int | str | None,
        options: EntryOptions,
        on_create: EntryOptions = NO_OPTIONS,
    ) -> B:
        checked = checked_key(key, placeholders=True)
        mutation = Mutation(type, checked, operand, options, on_create=on_create)
        self._collect().mutations.append(mutation)
        return self


def target_of(first: Any, second: Any, third: Any) -> tuple[Key | None, Any]:
    """The absolute key, if a store says it, and the value of what `set` was given.

    Either a key and a value, or a store, a key and a value. Raises `InvalidInput`.
    """
    if isinstance(first, StoreOf):
        if third is NOT_GIVEN:
            raise InvalidInput("set takes a store, a key and a value: the value is missing")
        return first.key(second), third
    if third is not NOT_GIVEN:
        raise InvalidInput(f"set takes a store before a key and a value, received {first!r:.50}")
    return None, second


def contents_of(builder: AtomicBuilder[Any]) -> Contents:
    """The collected commit, for the code that commits it."""
    return builder._contents


def commit(builder: AtomicBuilder[Any], *, results: bool) -> Call[CommitResult]:
    """The call that commits the collection, with results of the mutations if `results`."""
    checks, mutations = contents_of(builder)
    body: dict[str, Any] = {
        "checks": [_check_members(check) for check in checks],
        "mutations": [_members(mutation) for mutation in mutations],
    }
    if not results:
        return Call("POST", "/atomic", read_commit, msgspec.json.encode(body))
    return Call("POST", "/atomic", read_results, msgspec.json.encode(body | {"results": True}))


def _check_members(check: Check | LockCheck) -> dict[str, Any]:
    if isinstance(check, LockCheck):
        return {"lock": check.name, "token": check.token}
    return {"key": raw_key(check.key), "versionstamp": check.versionstamp}


def _members(mutation: Mutation | NewMessage | ConsumerCommit | NewTask) -> dict[str, Any]:
    if isinstance(mutation, ConsumerCommit):
        name, token, up_to = mutation
        return {"type": "consumer", "name": name, "token": token, "upTo": up_to}
    if isinstance(mutation, NewTask):
        return {"type": "task", **task_members(mutation)}
    if isinstance(mutation, NewMessage):
        value = msgspec.Raw(mutation.value.encode())
        return {"type": "enqueue", "value": value, **message_members(mutation.options)}
    members: dict[str, Any] = {"type": mutation.type, "key": raw_key(mutation.key)}
    if isinstance(mutation.operand, str):
        members["value"] = msgspec.Raw(mutation.operand.encode())
    elif mutation.operand is not None:  # as bigint, which is exact whatever its size
        members["value"] = msgspec.Raw(value_json(BigInt(mutation.operand)))
    return members | typed_members(mutation.options) | created_members(mutation.on_create)


def _operand(kind: MutationType, given: Any) -> int | str:
    if kind == "patch":
        return encode_value(given, None, placeholders=True)
    return _array(kind, given) if kind in LISTS else _integer(kind, given)


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
    return encode_value(items, None, placeholders=True)

"""The store as the source of transactions and atomic commits of Python callers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buntime_keyval import CommitResult, Key, KvEntry, KvMissing
from buntime_keyval.engine import EngineCheck
from buntime_keyval.shared import AtomicBuilder, contents_of
from buntime_keyval.wire import (
    UUIDV7,
    canonical_value,
    decode_value,
    encode_key,
    encode_keys,
    parse_metadata,
)
from buntime_keyval.wire.canonical import WHOLE, canonical_steps
from buntime_keyval.wire.commits import (
    Check,
    ConsumerCommit,
    Contents,
    EntryOptions,
    LockCheck,
    Mutation,
    NewMessage,
    resolve_key,
)
from buntime_keyval.wire.tasks import NewTask
from msgspec.structs import replace

from buntime_plugin_keyval.engine.additions import Addition, Requirement
from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.engine.writes import placeholder_range, told_keys
from buntime_plugin_keyval.faces.local.part import NOW_TEXT
from buntime_plugin_keyval.features.consumers.consumers import ConsumerDesk, Holder
from buntime_plugin_keyval.features.locks.part import LockPart
from buntime_plugin_keyval.features.queue.part import QueuePart
from buntime_plugin_keyval.features.tasks.part import TaskPart
from buntime_plugin_keyval.requests.permissions import Permits
from buntime_plugin_keyval.storage.reads import Row


class LocalSource:
    """Implements `AsyncSource` for this process."""

    def __init__(
        self,
        store: Store,
        queue: QueuePart,
        locks: LockPart,
        consumers: ConsumerDesk,
        tasks: TaskPart,
        permits: Permits,
    ) -> None:
        self._store = store
        self._permits = permits
        self._queue = queue
        self._locks = locks
        self._consumers = consumers
        self._tasks = tasks

    async def read(self, keys: Sequence[Key]) -> list[KvEntry[Any]]:
        """The entries of checked keys, in order, read from the primary."""
        encoded = encode_keys(keys)
        self._permits.read(*encoded)
        rows = await self._store.get_many(encoded, fresh=True)
        return [entry_of(key, rows.get(code)) for key, code in zip(keys, encoded, strict=True)]

    async def commit(
        self,
        atomic: AtomicBuilder[Any],
        idempotency_key: str | None = None,
        *,
        results: bool = False,
    ) -> CommitResult:
        """Apply all mutations if all checks hold; with `results` return theirs."""
        contents = contents_of(atomic)
        once = None
        if idempotency_key is not None:
            said = (contents.checks, _said(contents), *(("results",) if results else ()))
            once = once_of(idempotency_key, "atomic", *said)
        checks = [self._condition(check) for check in contents.checks]
        now_ms = self._store.clock.wall()
        changes = [await self._settled(change, now_ms) for change in contents.mutations]
        self._permits.read(*[check.key for check in checks if isinstance(check, EngineCheck)])
        for check in checks:
            if isinstance(check, Requirement):
                self._permits.need(check.scope, check.resource)
        for change in changes:
            self._permit(change)
        if results:
            self._permits.read(*told_keys(changes))
        committed = await self._store.commit(checks, changes, once=once, has_results=results)
        if committed is None:
            return CommitResult(ok=False)
        made = [None if text is None else decode_value(text) for text in committed.results]
        return CommitResult(True, committed.versionstamp, tuple(made))

    def _condition(self, check: Check | LockCheck) -> EngineCheck | Requirement:
        if isinstance(check, LockCheck):
            return self._locks.condition(check.name, check.token)
        return EngineCheck(encode_key(check.key), check.versionstamp)

    def _permit(self, change: Mutation | Addition) -> None:
        if isinstance(change, Addition):
            self._permits.need(change.scope, change.resource)
            self._permits.write(*change.writes)
        elif change.encoded is not None:
            self._permits.write(change.encoded)
        else:
            self._permits.write_range(placeholder_range(change))

    async def _settled(
        self, change: Mutation | NewMessage | ConsumerCommit | NewTask, now_ms: int
    ) -> Mutation | Addition:
        """The same with the time in the place of `$now`, and its key encoded."""
        if isinstance(change, ConsumerCommit):
            return self._consumers.commitment(Holder(change.name, change.token), change.up_to)
        if isinstance(change, NewMessage):
            return self._queue.message(await self._text(change.value, now_ms), change.options)
        if isinstance(change, NewTask):
            text = await self._text(change.payload, now_ms)
            return self._tasks.task(change._replace(payload=text))
        key, operand, options = change.key, change.operand, change.options
        encoded = encode_key(resolve_key(key, ""))  # refuses lone surrogates
        if isinstance(operand, str):
            operand = await self._text(operand, now_ms)
        options, created = (
            settled_options(it, now_ms) for it in (change.options, change.on_create)
        )
        place = None if UUIDV7 in key else encoded
        return Mutation(change.type, key, operand, options, place, created)

    async def _text(self, text: str, now_ms: int) -> str:
        if NOW_TEXT not in text:
            return text  # it is canonical already
        body = text.encode()
        if len(body) <= WHOLE:
            return canonical_value(body, now_ms)
        return str(await self._store.turns.run(canonical_steps(body, now_ms)))


def _said(contents: Contents) -> list[object]:
    """The contents of a commit, to compare repetitions; long integers as texts that are cheap."""
    return [
        replace(it, operand=f"{it.operand:x}")
        if isinstance(it, Mutation) and isinstance(it.operand, int)
        else it
        for it in contents.mutations
    ]


def settled_options(options: EntryOptions, now_ms: int) -> EntryOptions:
    """The same with the time in the place of `$now`."""
    if options.metadata is not None and NOW_TEXT in options.metadata:
        return options._replace(metadata=parse_metadata(options.metadata, now_ms))
    return options


def entry_of(key: Key, row: Row | None) -> KvEntry[Any]:
    """The entry of a key, whose value is None if it does not exist."""
    if row is None:
        return KvMissing(key, None, None)
    return KvEntry(key, decode_value(row.value), row.versionstamp)

"""The store for other plugins: the methods of `AsyncKv`, without a network in between."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, TypeVar, overload

from buntime_database import (
    Adapter,
    DatabaseUnavailable,
    OutcomeUnknown,
    ReadDemand,
    demanding,
)
from buntime_keyval import (
    CommitResult,
    DeleteResult,
    EnqueueResult,
    InvalidInput,
    Key,
    KvEntry,
    KvPage,
    Now,
    QueueMessage,
    QueueStats,
    SearchHit,
    SearchIndex,
    SearchPage,
    TransactionResult,
    VacuumResult,
    Where,
)
from buntime_keyval.shared import (
    AsyncAtomic,
    AsyncAttempt,
    AsyncQueueListener,
    AsyncStore,
    AsyncTransaction,
    AsyncWatch,
    Buffer,
    ErrorHandler,
    Handler,
    Marks,
    Mode,
    Overflow,
    Pauses,
    Tokenizer,
    attempts_async,
    check_sharing,
    checked_concurrency,
    checked_limit,
    identify,
    is_many,
    is_polling,
    make_scope,
    make_target,
    milliseconds,
    refuse_everything,
    run_async,
    warn_of_search,
)
from buntime_keyval.wire import (
    NOW_MEMBER,
    UUIDV7,
    Duration,
    KeyLike,
    KeyOrKeys,
    Placeholder,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
    key_to_json,
    parse_duration,
)
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys
from buntime_keyval.wire.python_options import Consistency, is_strong
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.engine.store import continue_at, listing_range, make_cursor
from buntime_plugin_keyval.faces.local import search as searching
from buntime_plugin_keyval.faces.local.metrics import KvMetrics
from buntime_plugin_keyval.faces.local.queue import (
    LocalDeadLetters,
    LocalMessages,
    lease_ms,
    message_of,
)
from buntime_plugin_keyval.faces.local.transactions import LocalSource, entry_of
from buntime_plugin_keyval.faces.local.triggers import Trigger, TriggerHandler, Triggers
from buntime_plugin_keyval.faces.local.watch import local_feed
from buntime_plugin_keyval.features.expiry.sweeper import vacuum
from buntime_plugin_keyval.features.search.indexes import parse_options
from buntime_plugin_keyval.features.search.search_sql import (
    EVERYTHING,
    make_search_cursor,
    parse_search_cursor,
)
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.model.changes import Change
from buntime_plugin_keyval.model.messages import make_options
from buntime_plugin_keyval.model.options import make_options as entry_options
from buntime_plugin_keyval.model.where import InvalidWhere, parse_where
from buntime_plugin_keyval.model.where import Where as Filter
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.entries import read_entries, shaped_json
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants

T = TypeVar("T")
Entries = list[KvEntry[Any]]
Changes = list[Change]
Indexes = list[SearchIndex]
_NOW_TEXT = f'"{NOW_MEMBER}"'


class Kv:
    """What `ctx.get_plugin("@buntime/plugin-keyval")` returns.

    Methods, parameters and results are those of `buntime_keyval.AsyncKv`, so that code moves
    between a plugin and a client. Every method checks its input and raises `InvalidInput`; a
    database that cannot serve raises `buntime_database.DatabaseUnavailable`, with nothing written,
    and one that was lost while it wrote `OutcomeUnknown`, as a client does.
    """

    def __init__(self, service: KeyValService) -> None:
        self._service = service
        self._store = service.store
        self._source = LocalSource(service.store)
        self._triggers = Triggers(service.store)
        self._running: set[AsyncWatch | AsyncQueueListener] = set()
        self.dlq = LocalDeadLetters(service.queue)
        """Messages that were given up."""
        self.metrics = KvMetrics(service)
        """What was measured: call it for JSON, or for Prometheus' text format."""

    @overload
    async def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    async def get(
        self, key: Sequence[KeyLike], *, consistency: Consistency = "eventual"
    ) -> Entries: ...
    async def get(
        self, key: Any, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """One entry, or, for a list of keys, one for each in their order; `[]` for no keys.

        A key that does not exist gives an entry with value and versionstamp None. `consistency`
        matters where servers have replicas: a `strong` read sees what other hosts have written.
        """
        if consistency != "eventual":
            with _reading(consistency):
                found_so: KvEntry[Any] | Entries = await self.get(key)
                return found_so
        if is_many(key):
            return await self._get_many(key)
        checked = checked_key(key)
        found = await self._store.get(encode_key(checked))
        if found is None:
            return KvEntry(checked, None, None)
        value, versionstamp = found
        return KvEntry(checked, decode_value(value), versionstamp)

    @overload
    async def get_with_metadata(  # type: ignore[overload-overlap] # as above
        self, key: KeyLike, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    async def get_with_metadata(
        self, key: Sequence[KeyLike], *, consistency: Consistency = "eventual"
    ) -> Entries: ...
    async def get_with_metadata(
        self, key: Any, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """The same, with the `details` of what exists: its metadata and its times."""
        with _reading(consistency):
            if is_many(key):
                return await self._get_with_details(checked_keys(key)) if key else []
            (entry,) = await self._get_with_details([checked_key(key)])
            return entry

    async def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool:
        """Whether a key exists, whatever its value, which is not read."""
        with _reading(consistency):
            return await self._store.size(encode_key(checked_key(key))) is not None

    async def set(
        self,
        key: KeyLike,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        idempotency_key: str | None = None,
    ) -> CommitResult:
        """Store a value, in the place of the one that is there with its life and its metadata.

        `expires_in` is milliseconds or a duration text and wins over `expires_at`, epoch
        milliseconds or an aware datetime; without them it stays for ever. `metadata` is anything
        that a value may be, up to 16 KiB of JSON. With an `idempotency_key` that was used before,
        nothing but the result of then is told.
        """
        checked = checked_key(key)
        now_ms = self._store.clock.wall()
        once = None
        if idempotency_key is None:
            text = encode_value(value, now_ms)
        else:
            text, said = _text_and_saying(value, now_ms)
            once = once_of(idempotency_key, "set", checked, said, expires_in, expires_at, metadata)
        versionstamp = await self._store.set(
            encode_key(checked),
            key_to_json(checked),
            text,
            entry_options(expires_in, expires_at, metadata, now_ms),
            once,
        )
        return CommitResult(ok=True, versionstamp=versionstamp)

    async def delete(
        self,
        key: KeyOrKeys,
        *,
        exact: bool = False,
        where: Where | None = None,
        everything: bool = False,
        idempotency_key: str | None = None,
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`; or several keys.

        `where` restricts that to entries whose value matches. The empty prefix, which is the
        whole store, has to be confirmed with `everything=True`. An `idempotency_key`, which is as
        in `set`, is not for everything.
        """
        condition = _filter(where)
        if not key:
            refuse_everything(everything=everything, idempotency_key=idempotency_key)
            count = await self._store.delete_ranges([descendants(b"")], where=condition)
        else:
            keys = checked_keys(key) if is_many(key) else [checked_key(key)]
            encoded = [encode_key(item) for item in keys]
            once = once_of(idempotency_key, "delete", encoded, exact, condition)
            count = await self._store.delete(encoded, exact=exact, where=condition, once=once)
        return DeleteResult(count)

    async def list(
        self,
        prefix: KeyLike = (),
        *,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        limit: int | None = None,
        reverse: bool = False,
        where: Where | None = None,
        page_size: int = MAX_LIMIT,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> AsyncIterator[KvEntry[Any]]:
        """The entries below a prefix in key order, `start` inclusive, `end` exclusive.

        Without `limit` all of them, read `page_size` (at most 1000) at a time, each page as it is
        when it is read, or with `snapshot` all as they are at the first one; that raises
        `SnapshotGone` where it cannot be had any more. With `details` they have their metadata
        and times, without `values` None for a value. `consistency` is as in `get`; a snapshot is
        always of the newest state.
        """
        is_strong(consistency)
        shape = Shape(values, details)
        keys = listing_range(_encode_prefix(prefix), _encode_bound(start), _encode_bound(end))
        condition = _filter(where)
        left = None if limit is None else checked_limit(limit)
        page = min(checked_limit(page_size), MAX_LIMIT)
        cursor: str | None = None
        while snapshot and (left is None or left > 0):
            size = page if left is None else min(left, page)
            found = await self._service.snapshots.page(
                keys, limit=size, cursor=cursor, reverse=reverse, where=condition, shape=shape
            )
            for entry in read_entries(found.entries):
                yield entry
            cursor = found.cursor
            if cursor is None:
                return
            left = None if left is None else left - size
        while left is None or left > 0:
            size = page if left is None else min(left, page)
            with _reading(consistency):  # not around a yield: it is for this task alone
                entries = await self._read(keys, size, reverse, condition, shape)
            for entry in entries:
                yield entry
            if len(entries) < size:
                return
            last = encode_key(entries[-1].key)
            keys = keys.before(last) if reverse else keys.after(last)
            left = None if left is None else left - size

    async def count(
        self,
        prefix: KeyLike = (),
        *,
        where: Where | None = None,
        consistency: Consistency = "eventual",
    ) -> int:
        """Number of entries below a prefix; `consistency` is as in `get`."""
        keys = descendants(_encode_prefix(prefix))
        with _reading(consistency):
            return await self._store.count(keys, where=_filter(where))

    async def paginate(
        self,
        prefix: KeyLike = (),
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> KvPage[Any]:
        """One page (at most 1000) of the entries below a prefix; `cursor` is of the page before.

        `details`, `values` and `consistency` are as in `list`. With `snapshot`, of every page, all
        of them are as they were at the first one, or raise `SnapshotGone`.
        """
        is_strong(consistency)
        size = min(checked_limit(limit), MAX_LIMIT)
        if snapshot:
            found = await self._service.snapshots.page(
                descendants(_encode_prefix(prefix)),
                limit=size,
                cursor=cursor,
                reverse=reverse,
                where=_filter(where),
                shape=Shape(values, details),
            )
            more = found.cursor is not None
            return KvPage(read_entries(found.entries), found.cursor, more)
        keys = continue_at(descendants(_encode_prefix(prefix)), cursor, reverse=reverse)
        shape = Shape(values, details)
        with _reading(consistency):
            entries = await self._read(keys, size + 1, reverse, _filter(where), shape)
        has_more = len(entries) > size
        del entries[size:]
        last = make_cursor(encode_key(entries[-1].key)) if has_more else None
        return KvPage(entries, last, has_more)

    async def vacuum(self, *, limit: int | None = None) -> VacuumResult:
        """Remove what has expired now, all of it or at most `limit` entries.

        That happens by itself too; it is for who wants the room, or the events, at once.
        """
        most = sys.maxsize if limit is None else checked_limit(limit)
        return VacuumResult(*await vacuum(self._store, most))

    def now(self) -> Now:
        """The time when a write is committed, for values; for filters the time of the reading."""
        return Now()

    def uuidv7(self) -> Placeholder:
        """A key part for atomic mutations that becomes the versionstamp of their commit."""
        return UUIDV7

    def atomic(self) -> AsyncAtomic:
        """A builder of checks and mutations that are committed together."""
        return AsyncAtomic(self._source)

    async def transaction(
        self,
        fn: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        max_retries: int = 0,
        retry_delay: Duration = 10,
    ) -> TransactionResult[T]:
        """Run `fn` and commit what it wrote if nothing that it read has changed.

        After a conflict `fn` runs again, up to `max_retries` times, each time after `retry_delay`
        times two to the number of tries, and up to `retry_delay` more. An exception of `fn` ends
        the transaction: nothing is written, nothing is tried again, and the result holds it. (A
        client lets it propagate, as `begin` and `attempts` do here, too.)
        """
        pauses = Pauses(max_retries, retry_delay)
        try:
            return await run_async(self._source, fn, pauses)
        except (DatabaseUnavailable, OutcomeUnknown):
            raise
        except Exception as error:  # noqa: BLE001 - the contract: it becomes the result
            return TransactionResult(ok=False, error="error", message=str(error), exception=error)

    def begin(self) -> AsyncTransaction:
        """A transaction, as `async with kv.begin() as tx`; may end in a `TransactionConflict`."""
        return AsyncTransaction(self._source)

    def attempts(
        self, *, max_retries: int = 3, retry_delay: Duration = 10
    ) -> AsyncIterator[AsyncAttempt]:
        """Transactions until one is committed, for `async for tx in ...: async with tx: ...`.

        The last one raises `TransactionConflict`.
        """
        return attempts_async(self._source, Pauses(max_retries, retry_delay))

    @overload
    def store(
        self,
        prefix: KeyLike,
        type: type[T],
        *,
        expires_in: Duration | None = None,
        metadata: Any = None,
    ) -> AsyncStore[T]: ...
    @overload
    def store(
        self, prefix: KeyLike, *, expires_in: Duration | None = None, metadata: Any = None
    ) -> AsyncStore[Any]: ...
    def store(
        self,
        prefix: KeyLike,
        type: type[T] | None = None,
        *,
        expires_in: Duration | None = None,
        metadata: Any = None,
    ) -> AsyncStore[Any]:
        """The entries below a prefix as a store of its own, with values of one type.

        The type may be a msgspec struct, a dataclass, a TypedDict or anything else that msgspec
        validates. `expires_in` and `metadata` are for what is set without them.
        """
        return AsyncStore(self, make_scope(prefix, type, expires_in, metadata))

    async def create_index(
        self,
        prefix: KeyLike,
        *,
        fields: Sequence[str],
        tokenize: Tokenizer = "unicode61",
        idempotency_key: str | None = None,
    ) -> None:
        """Index fields of the values at a prefix and below it, for `search`; replaces an older one.

        Fields are paths such as `title`, `author.name` or `tags[0]`. `tokenize` is `unicode61`,
        `porter`, `ascii`, `trigram` or `cjk`. Returns when everything that is stored is indexed;
        from then on every write keeps the index, in its own commit. An index that is there as
        described is left alone.
        """
        options = parse_options(fields, tokenize)
        once = once_of(idempotency_key, "create_index", checked_key(prefix), options)
        await self._service.search.create_index(checked_key(prefix), options, once)

    async def list_indexes(self) -> Indexes:
        """All indexes in the order of their prefixes, those that are being built too."""
        return await self._service.search.list_indexes()

    async def remove_index(self, prefix: KeyLike, *, idempotency_key: str | None = None) -> None:
        """Remove an index, if it is there; the entries stay."""
        once = once_of(idempotency_key, "remove_index", checked_key(prefix))
        await self._service.search.remove_index(checked_key(prefix), once)

    async def search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        limit: int | None = None,
        where: Where | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        consistency: Consistency = "eventual",
    ) -> AsyncIterator[SearchHit[Any]]:
        """The entries that match a query, the most relevant first; all, or the first `limit`.

        `prefix` is exactly that of an index; raises `IndexNotFound`, a `NotFound`, without one.
        `weights` say how much a hit in a field counts, 1 unless given. `highlight` (True, or the
        two texts around a hit) asks for the fields with their hits marked, `snippet` (True, or a
        number of words up to 64) for extracts around the hits; `{"escape": "html"}` makes both
        HTML. `fuzzy` looks for similar words where nothing is found; `consistency` is as in
        `get`. What the index cannot look for is said by a `SearchWarning`.
        """
        options = searching.make_options(
            query,
            limit=EVERYTHING if limit is None else checked_limit(limit),
            where=_filter(where),
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        with _reading(consistency):
            page = await self._service.search.search(checked_key(prefix), query, options)
        warn_of_search(page.warnings)
        for hit in searching.hits_of(page.entries):
            yield hit

    async def paginate_search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        where: Where | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        consistency: Consistency = "eventual",
    ) -> SearchPage[Any]:
        """One page (at most 1000) of what `search` finds; `cursor` is of the page before."""
        options = searching.make_options(
            query,
            limit=min(checked_limit(limit), MAX_LIMIT),
            offset=parse_search_cursor(cursor),
            where=_filter(where),
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        with _reading(consistency):
            page = await self._service.search.search(checked_key(prefix), query, options)
        behind = make_search_cursor(options) if page.has_more else None
        hits = searching.hits_of(page.entries)
        return SearchPage(hits, behind, page.has_more, page.warnings, page.searched_for)

    async def enqueue(
        self,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
        idempotency_key: str | None = None,
    ) -> EnqueueResult:
        """Send a message.

        `delay` holds it back. `backoff_schedule` are the pauses before further deliveries, and so
        also their number (1 s, 5 s, 10 s unless given). When the last has failed, the message is a
        dead letter and its value is stored at each of `keys_if_undelivered`.
        """
        options = make_options(delay, backoff_schedule, keys_if_undelivered)
        text, said = _text_and_saying(value, self._store.clock.wall())
        once = once_of(idempotency_key, "enqueue", said, options)
        return EnqueueResult(True, await self._service.queue.enqueue(text, options, once))

    async def dequeue(self) -> QueueMessage[Any] | None:
        """Take one message, or None; settle it with `ack_message` or `nack_message`."""
        message = await self._service.queue.take()
        return None if message is None else message_of(message)

    async def ack_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Remove a processed message, given as such or by its id.

        Raises `StaleLease` if the message, or `lease`, is of a delivery that is not the last one,
        and if `strict`, `NotFound` for an id that the queue does not have.
        """
        message_id, known_lease = identify(message, lease)
        once = once_of(idempotency_key, "ack", message_id, known_lease)
        await self._service.queue.ack(message_id, known_lease, once, strict=strict)

    async def nack_message(
        self,
        message: QueueMessage[Any] | str,
        error: str | None = None,
        *,
        delay: Duration | None = None,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Give a message back; after the last attempt it becomes a dead letter with `error`.

        `delay` replaces the pause of the message's schedule. Raises what `ack_message` does.
        """
        message_id, known_lease = identify(message, lease)
        pause = None if delay is None else milliseconds("delay", delay)
        once = once_of(idempotency_key, "nack", message_id, known_lease, error, pause)
        await self._service.queue.nack(
            message_id,
            error=error,
            delay_ms=pause,
            lease=known_lease,
            once=once,
            strict=strict,
        )

    async def release_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Give a message back as if it had not been delivered: no attempt is lost.

        Needs the lease, be it of the message. Raises `StaleLease` as `ack_message`.
        """
        message_id, known_lease = identify(message, lease)
        if not known_lease:
            raise InvalidInput("lease must be a non-empty string")
        once = once_of(idempotency_key, "release", message_id, known_lease)
        await self._service.queue.release(message_id, known_lease, once)

    async def extend_message(
        self,
        message: QueueMessage[Any] | str,
        duration: Duration | None = None,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Keep a message for `duration` from now, or for `queue.lockDuration`.

        Raises `StaleLease` when it is too late: it was delivered again, or settled. If `strict`,
        an id alone that the queue does not have is `NotFound`.
        """
        message_id, known_lease = identify(message, lease)
        once = once_of(idempotency_key, "extend", message_id, known_lease, duration)
        await self._service.queue.extend(
            message_id, known_lease, lease_ms(duration), once, strict=strict
        )

    def listen_queue(
        self,
        handler: Handler | None = None,
        *,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        auto_ack: bool = True,
        concurrency: int = 1,
        on_error: ErrorHandler | None = None,
    ) -> AsyncQueueListener:
        """Consume the queue, with a handler or by iterating, until the listener is stopped.

        Up to `concurrency` messages are processed at a time. Delivery is at least once: a message
        whose handler takes longer than `queue.lockDuration` comes again. `on_error` hears of
        failures of handlers; without it they are logged. There is no network to wait for, so
        `mode` and `poll_interval` change nothing.
        """
        _check_mode(mode, poll_interval)
        if auto_ack and handler is None and concurrency != 1:
            raise InvalidInput("Iterating with concurrency needs auto_ack=False")
        messages = LocalMessages(
            self._service.queue,
            self._service.dispatcher,
            concurrency=checked_concurrency(concurrency),
        )
        listener = AsyncQueueListener(
            messages,
            handler=handler,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )
        self._remember(listener)
        return listener

    async def queue_stats(self) -> QueueStats:
        """How many messages there are in which state."""
        return await self._service.queue.stats()

    def watch(
        self,
        key: KeyOrKeys,
        callback: Callable[[Entries], Any] | None = None,
        *,
        exact: bool = False,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        emit_initial: bool = True,
        limit: int | None = None,
        buffer_size: int | None = None,
        overflow_strategy: Overflow = "drop-oldest",
        shared: bool = False,
        on_error: ErrorHandler | None = None,
    ) -> AsyncWatch:
        """Follow the changes of keys and of all that extend them, or only of the keys if `exact`.

        Batches of entries go to `callback`, or to who iterates over the watch; the first one tells
        what is there (of a prefix `limit` entries, 100 by default) unless `emit_initial` is False.
        Of several changes of one key in short order only the last may be told.

        Without `buffer_size` nothing is read before the last batch was taken. With it, up to so
        many changed keys wait, each with its latest entry; `overflow_strategy` says which of them
        goes when there are more. `on_error` hears of failures of the database, which are retried;
        without it they are logged. There is no network, so `mode`, `poll_interval` and `shared`
        change nothing.
        """
        polling = _check_mode(mode, poll_interval)
        if shared:
            check_sharing(polling=polling)
        wanted = make_target(key, exact=exact, limit=limit)
        make = WatchTarget.of_keys if exact else WatchTarget.of_prefixes
        watch = AsyncWatch(
            local_feed(
                self._store,
                self._service.watches,
                make(wanted.keys),
                initial=emit_initial,
                limit=MAX_LIMIT if exact else wanted.limit,
                on_error=on_error,
            ),
            Buffer(buffer_size, overflow_strategy),
            callback=callback,
            on_error=on_error,
        )
        self._remember(watch)
        return watch

    def add_trigger(
        self,
        *,
        prefix: KeyLike = (),
        events: Sequence[str] = ("set", "delete"),
        handler: TriggerHandler,
    ) -> Callable[[], None]:
        """Call `handler` for every changed key that is or extends `prefix`; returns the way out.

        Called after the commit and before its writer goes on, once for each key, in the order of
        registration. What a handler raises is logged and changes nothing. Expiry is no event.
        """
        return self._triggers.add(Trigger(_encode_prefix(prefix), tuple(events), handler))

    async def changes(
        self, *, after: int = 0, prefix: KeyLike = (), limit: int = MAX_LIMIT
    ) -> Changes:
        """The change log behind `after`, oldest first: of all keys, or of a prefix with its own.

        The log is trimmed by age and number, so the first `seq` may lie well behind `after`.
        """
        encoded = _encode_prefix(prefix)
        keys = KeyRange(encoded, encoded + b"\xff") if encoded else None
        return await self._store.changes(after, limit=checked_limit(limit), keys=keys)

    def get_adapter(self) -> Adapter:
        """The adapter of the database that holds the store."""
        return self._store.adapter

    def get_logger(self) -> logging.Logger:
        """The logger of the plugin."""
        return self._store.logger

    async def close(self) -> None:
        """End watches and listeners, let running handlers and every accepted write finish.

        For the plugin, which owns it. The adapter stays open. Idempotent.
        """
        while self._running:
            await self._running.pop().stop()
        await self._store.close()

    def _remember(self, running: AsyncWatch | AsyncQueueListener) -> None:
        self._running = {other for other in self._running if not other.closed}
        self._running.add(running)

    async def _read(
        self,
        keys: KeyRange,
        limit: int,
        reverse: bool,
        where: Filter | None,
        shape: Shape,
    ) -> Entries:
        if shape == PLAIN:
            rows = await self._store.list_rows(keys, limit=limit, reverse=reverse, where=where)
            return [_entry(row) for row in rows]
        entries = await self._store.list_json(
            keys, limit=limit, reverse=reverse, where=where, shape=shape
        )
        return read_entries(entries)

    async def _get_with_details(self, keys: Sequence[Key]) -> Entries:
        encoded = [encode_key(key) for key in keys]
        shape = Shape(details=True)
        found = await self._store.get_many_json(encoded, shape)
        return read_entries(",".join(shaped_json(keys, encoded, found, shape)))

    async def _get_many(self, raw: Sequence[KeyLike]) -> Entries:
        if not raw:
            return []
        keys = checked_keys(raw)
        encoded = [encode_key(key) for key in keys]
        rows = await self._store.get_many(encoded)
        return [entry_of(key, rows.get(code)) for key, code in zip(keys, encoded, strict=True)]


def _entry(row: tuple[bytes, str, str]) -> KvEntry[Any]:
    key, value, versionstamp = row
    return KvEntry(decode_key(key), decode_value(value), versionstamp)


def _encode_prefix(prefix: KeyLike) -> bytes:
    return encode_key(checked_key(prefix)) if prefix else b""


def _encode_bound(bound: KeyLike | None) -> bytes | None:
    return encode_key(checked_key(bound)) if bound else None


def _filter(where: Where | None) -> Filter | None:
    if where is None:
        return None
    try:
        return parse_where(where)
    except InvalidWhere as error:
        raise InvalidInput(str(error)) from None


def _reading(consistency: Consistency) -> AbstractContextManager[None]:
    """What a read is to go on in. Raises `InvalidInput`."""
    return demanding(ReadDemand(strong=True)) if is_strong(consistency) else nullcontext()


def _text_and_saying(value: Any, now_ms: int) -> tuple[str, str]:
    """The text of a value to store, and what its caller says however often: `$now` stays there."""
    said = encode_value(value, None)
    return encode_value(value, now_ms) if _NOW_TEXT in said else said, said


def _check_mode(mode: Mode, poll_interval: Duration) -> bool:
    """Whether it is polling, which changes nothing here."""
    parse_duration(poll_interval)
    return is_polling(mode)

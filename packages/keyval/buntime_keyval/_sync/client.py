# Made by scripts/unasync from _async/client.py: change that one.
"""The client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Never, TypeVar, overload

from buntime_keyval._calls import keys as calls
from buntime_keyval._calls import queue as queue_calls
from buntime_keyval._calls import search as search_calls
from buntime_keyval._calls.queue import identify
from buntime_keyval._calls.search import Marks, Tokenizer
from buntime_keyval._core import consistent
from buntime_keyval._entries import is_many
from buntime_keyval._errors import TooLarge
from buntime_keyval._exchange import Observer
from buntime_keyval._http import Settings
from buntime_keyval._messages import checked_concurrency
from buntime_keyval._network import VERIFIED, Tls
from buntime_keyval._now import Now
from buntime_keyval._pages import Pager
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._results import (
    CommitResult,
    DeleteResult,
    EnqueueResult,
    KvEntry,
    KvPage,
    QueueMessage,
    QueueStats,
    SearchHit,
    SearchIndex,
    SearchPage,
    TransactionResult,
    VacuumResult,
)
from buntime_keyval._retries import Retries, seconds
from buntime_keyval._selecting import selected, selecting
from buntime_keyval._sharing import BUFFER_SIZE, check_sharing
from buntime_keyval._sync import transactions
from buntime_keyval._sync.atomic import Atomic
from buntime_keyval._sync.consumers import MAX_ATTEMPTS, Consumer, Consumers
from buntime_keyval._sync.dead_letters import DeadLetters
from buntime_keyval._sync.entries import sweep
from buntime_keyval._sync.feeds import ApiMessages, watch_feed
from buntime_keyval._sync.flights import Flights
from buntime_keyval._sync.graph import Graph
from buntime_keyval._sync.listen import Handler, QueueListener
from buntime_keyval._sync.locks import Lock, Locks
from buntime_keyval._sync.queues import MessageQueue, Queues
from buntime_keyval._sync.records import Records
from buntime_keyval._sync.runner import Runner
from buntime_keyval._sync.schedules import Schedules
from buntime_keyval._sync.session import Session
from buntime_keyval._sync.sharing import Sharing
from buntime_keyval._sync.shortcuts import Shortcuts
from buntime_keyval._sync.stores import Store
from buntime_keyval._sync.stream import ChangeStream
from buntime_keyval._sync.tasks import Tasks
from buntime_keyval._sync.transactions import Attempt, Transaction
from buntime_keyval._sync.transport import transport_of
from buntime_keyval._sync.watch import Watch
from buntime_keyval._tokens import TokenSource
from buntime_keyval._transaction import Pauses
from buntime_keyval._typed import OnInvalid, make_scope
from buntime_keyval._vacuum import Vacuum
from buntime_keyval._watching import (
    Buffer,
    Mode,
    Overflow,
    PollPlan,
    WatchPlan,
    is_polling,
    make_target,
)
from buntime_keyval._where import Where
from buntime_keyval.embedded import Embedded
from buntime_keyval.wire import (
    UUIDV7,
    Duration,
    InvalidInput,
    KeyLike,
    KeyOrKeys,
    PatternLike,
    Placeholder,
)
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.names import checked_queue
from buntime_keyval.wire.python_options import Consistency, refuse_unknown
from buntime_keyval.wire.requirements import requirement
from buntime_keyval.wire.shapes import Shape

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
Entries = list[KvEntry[Any]]
Indexes = list[SearchIndex]


class Kv(Shortcuts[KeyLike, Any]):
    """A client of one KeyVal API, for blocking code; threads may share it.

    Use it as `with Kv(url) as kv`, or call `close` at the end. Every method checks its
    input before anything is sent and raises `InvalidInput`; what else it raises is a `KvError`.
    Durations are milliseconds or texts such as `"500ms"`, `"30s"`, `"1h"`, `"7d"`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        token: str | TokenSource | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = "10s",
        connect_timeout: Duration | None = "5s",
        idle_timeout: Duration | None = "95s",
        deadline: Duration | None = None,
        retries: Retries | int = 4,
        max_connections: int | None = 100,
        tls: Tls = VERIFIED,
        proxy: str | None = None,
        unix_socket: str | None = None,
        on_exchange: Observer | None = None,
        coalesce: bool = False,
        transport: httpx2.BaseTransport | Embedded | None = None,
    ) -> None:
        """`base_url` is absolute, such as `http://127.0.0.1:8000/keyval/api`.

        Without one, the variable `BUNTIME_URL` names it, and `BUNTIME_TOKEN` the token. `token` is
        sent as bearer token; a function gives it before the first request, and is asked once more
        for a request that is answered 401. `headers` go with every request. `timeout` bounds each
        pause of an answer, `connect_timeout` making or getting a connection, `idle_timeout` the
        silence of an event stream (the server breaks it every 30 s), and `deadline` a call with all
        its attempts and the pauses between them; None means no bound, and numbers are milliseconds:
        5 seconds are `"5s"`, and `5`, which may be meant so, is refused. `retries` is how often a
        request is sent again where that is safe. `max_connections` are for calls; each event stream
        has one of its own besides.

        `tls` says how the server and the client prove who they are, `proxy` the way to the server,
        by default as the environment has it, and `unix_socket` is a path that it listens on.
        With `coalesce`, gets of single keys that begin at once travel in one request, and so do
        sets, with the results and errors that each would have alone.
        `on_exchange` is told of every request. `transport` replaces the network: in tests, or by a
        store in this process, as `open_kv_sync` does it.
        """
        settings = Settings(
            base_url,
            headers=headers,
            token=token,
            timeout=timeout,
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            deadline=deadline,
            retries=retries,
            max_connections=max_connections,
            tls=tls,
            proxy=proxy,
            unix_socket=unix_socket,
            on_exchange=on_exchange,
            loses_answers=not isinstance(transport, Embedded),
        )
        self._session = Session(
            settings, lambda: transport_of(settings, transport), coalesce=coalesce
        )
        self._sharing = Sharing(self._session)
        self._flights = Flights()
        self._running: set[Watch | QueueListener | Runner] = set()
        self.dlq = DeadLetters(self._session)
        """Messages that were given up."""
        self.tasks = Tasks(self._session)
        """Named work with a result; see `runner`."""
        self.locks = Locks(self._session)
        """Locks by name, for who holds them in ways of his own; see `lock`."""
        self.consumers = Consumers(self._session)
        """Consumers of the stream as such; see `consumer`."""
        self.schedules = Schedules(self._session)
        """Tasks that are started at times."""
        self.stream = ChangeStream(self._session)
        """All changes, in the order of their commits."""
        self.queues = Queues(self._session)
        """Queues as such: what is in them and what they are told."""

    @classmethod
    def from_env(cls, **options: Any) -> Kv:
        """A client of the server that `BUNTIME_URL` and `BUNTIME_TOKEN` name.

        `options` are the other ones. Raises `InvalidInput` if the first is not set.
        """
        return cls(None, **options)

    def close(self) -> None:
        """Stop all watches and listeners and close all connections. Idempotent."""
        while self._running:
            self._running.pop().stop()
        self._session.close()

    def __enter__(self) -> Kv:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    def get(
        self, key: Sequence[KeyLike], *, default: Any = None, consistency: Consistency = "eventual"
    ) -> Entries: ...
    def get(
        self, key: Any, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """One entry, or, for a list of keys, one for each in their order; `[]` for no keys.

        A key that does not exist gives an entry whose value is `default` and whose versionstamp is
        None. `consistency` matters where servers have replicas: a `strong` read sees all that
        anybody has written, an `eventual` one at least what this client has written and read.
        """
        if is_many(key):
            if not key:
                return []
            entries = self._session.send(consistent(calls.get_many(key), consistency))
            return entries if default is None else [it.or_default(default) for it in entries]
        entry = self._session.send(consistent(calls.get(key), consistency))
        return entry if default is None else entry.or_default(default)

    @overload
    def get_with_metadata(  # type: ignore[overload-overlap] # as above
        self, key: KeyLike, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    def get_with_metadata(
        self, key: Sequence[KeyLike], *, consistency: Consistency = "eventual"
    ) -> Entries: ...
    def get_with_metadata(
        self, key: Any, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """The same, with the `details` of what exists: its metadata and its times."""
        shape = Shape(details=True)
        if is_many(key):
            if not key:
                return []
            return self._session.send(consistent(calls.get_many(key, shape), consistency))
        return self._session.send(consistent(calls.get(key, shape), consistency))

    def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool:
        """Whether a key exists, whatever its value, which is not sent."""
        return self._session.send(consistent(calls.has(key), consistency))

    def set(
        self,
        key: KeyLike,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
        **unknown: Never,
    ) -> CommitResult:
        """Store a value, in the place of the one that is there with its life and its metadata.

        `expires_in` is a duration and wins over `expires_at`, epoch milliseconds or an aware
        datetime; without them it stays for ever. `metadata` is anything that a value may be, up to
        16 KiB of JSON, and `type` a text that says what kind of entry it is. With an
        `idempotency_key` that was used before, nothing but the result of then is told.

        Raises `PreconditionFailed` if the key is there and is to be created only, if its
        versionstamp is not `if_match`, or its revision not `if_revision` (0: missing).
        """
        if unknown:
            refuse_unknown("set", unknown)
        required = requirement(if_match, if_revision, create_only=create_only)
        call = calls.set_value(key, value, expires_in, expires_at, metadata, type, required)
        return self._session.send(call, idempotency_key)

    def patch(
        self,
        key: KeyLike,
        patch: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> CommitResult:
        """Merge a JSON Merge Patch (RFC 7396) into a value; a missing key counts as `{}`.

        Dicts are merged, members that are None are removed, and anything else is replaced. Life,
        metadata and type stay unless others are given; options and conditions as in `set`.
        """
        required = requirement(if_match, if_revision, create_only=create_only)
        call = calls.patch_value(key, patch, expires_in, expires_at, metadata, type, required)
        return self._session.send(call, idempotency_key)

    def delete(
        self,
        key: KeyOrKeys = (),
        *,
        exact: bool = False,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        everything: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`; or several keys.

        Without a key, `prefixes` say what to delete, as several keys do, or `starts_with`, or a
        `pattern`, or a `type`, or `start`, inclusive, with `end`, exclusive; these may also narrow
        what is below a key. Of that, in key order, the first `offset` entries stay, and of the
        rest at most `limit` (up to 1000) are deleted. `where` restricts that to entries whose value
        matches. The empty prefix, which is the whole store, has to be confirmed by
        `everything=True`, and is deleted
        in batches. An `idempotency_key`, which is as in `set`, is for one commit, and so not for
        everything. `if_match` and `if_revision` are as in `set`, for the entry of one key.
        """
        required = requirement(if_match, if_revision)
        bounds = selecting(
            key,
            prefixes,
            starts_with,
            start,
            end,
            limit,
            offset,
            exact=exact,
            type=type,
            pattern=pattern,
        )
        if bounds is not None:
            calls.refuse_required(required)
            call = calls.delete_selected(bounds, limit=limit, where=where)
            return self._session.send(call, idempotency_key)
        if key:
            call = calls.delete(key, exact=exact, where=where, required=required)
            return self._session.send(call, idempotency_key)
        calls.refuse_required(required)
        calls.refuse_everything(everything=everything, idempotency_key=idempotency_key)
        return sweep(self, (), where=where)

    def list(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        page_size: int = MAX_LIMIT,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> Iterator[KvEntry[Any]]:
        """The entries below a prefix in key order, `start` inclusive, `end` exclusive.

        In the place of the prefix there may be several `prefixes`, or `starts_with`, a key whose
        last part is the beginning of a text: `["user"]` is the beginning of `["users", 1]`; or a
        `pattern` with `ANY` for parts that may be any, which means keys of as many parts:
        `["users", ANY, "name"]`. With a `type` only entries of that. The first `offset` entries are
        passed over, each of which costs what reading its key costs.

        Without `limit` all of them, fetched `page_size` (at most 1000) at a time, each page as it
        is when it is fetched, or with `snapshot` all as they are at the first one; that raises
        `SnapshotGone` where it cannot be had any more. With `details` they have their metadata
        and times, without `values` None for a value, which is not sent. `consistency` is as in
        `get`; a snapshot is always of the newest state.
        """
        pager = Pager(
            selected(prefix, prefixes, starts_with, start, end, offset, type, pattern),
            limit=limit,
            reverse=reverse,
            where=where,
            page_size=page_size,
            shape=Shape(values, details),
            snapshot=snapshot,
        )
        while (call := pager.next_call()) is not None:
            try:
                page = self._session.send(consistent(call, consistency))
            except TooLarge:
                if not pager.refused():
                    raise
            else:
                yield from pager.take(page)

    def count(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        consistency: Consistency = "eventual",
    ) -> int:
        """Number of entries below a prefix, at most `limit`; `consistency` is as in `get`.

        Further selectors are as in `list`.
        """
        keys = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        call = calls.count(keys, limit=limit, where=where)
        return self._session.send(consistent(call, consistency))

    def paginate(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> KvPage[Any]:
        """One page (at most 1000) of the entries below a prefix; `cursor` is of the page before.

        Selectors, `details`, `values` and `consistency` are as in `list`; `offset` is for the
        first page, and a snapshot has one prefix, no pattern and no offset. With `snapshot`, of
        every page, all of them are as they were at the first one, or raise `SnapshotGone`.
        """
        shape = Shape(values, details)
        call = calls.paginate(
            selected(prefix, prefixes, starts_with, start, end, offset, type, pattern),
            cursor=cursor,
            limit=limit,
            reverse=reverse,
            where=where,
            shape=shape,
            snapshot=snapshot,
        )
        return self._session.send(consistent(call, consistency))

    def vacuum(self, *, limit: int | None = None) -> VacuumResult:
        """Remove what has expired now, all of it or at most `limit` entries.

        That happens by itself too; it is for who wants the room, or the events, at once.
        """
        plan = Vacuum(limit)
        while (call := plan.next_call()) is not None:
            plan.take(self._session.send(call))
        return plan.result

    def now(self) -> Now:
        """The time at the server, for filters and values; `.add("1h")`, `.sub("1h")` shift it."""
        return Now()

    def uuidv7(self) -> Placeholder:
        """Becomes the versionstamp of its commit, in values and in keys of atomic mutations."""
        return UUIDV7

    def atomic(self) -> Atomic:
        """A builder of checks and mutations that are committed together."""
        return Atomic(self._session)

    def transaction(
        self,
        fn: Callable[[Transaction], T],
        *,
        max_retries: int = 0,
        retry_delay: Duration = 10,
    ) -> TransactionResult[T]:
        """Run `fn` and commit what it wrote if nothing that it read has changed.

        After a conflict `fn` runs again, up to `max_retries` times, each time after `retry_delay`
        times two to the number of tries, and up to `retry_delay` more. An exception of `fn`
        propagates, and nothing is written.
        """
        return transactions.run(self._session, fn, Pauses(max_retries, retry_delay))

    def begin(self) -> Transaction:
        """A transaction, as `with kv.begin() as tx`; may end in a `TransactionConflict`."""
        return Transaction(self._session)

    def attempts(self, *, max_retries: int = 3, retry_delay: Duration = 10) -> Iterator[Attempt]:
        """Transactions until one is committed, for `for tx in ...: with tx: ...`.

        The last one raises `TransactionConflict`.
        """
        return transactions.attempts(self._session, Pauses(max_retries, retry_delay))

    @overload
    def store(
        self,
        prefix: KeyLike,
        type: type[T],
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
    ) -> Store[T]: ...
    @overload
    def store(
        self,
        prefix: KeyLike,
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
    ) -> Store[Any]: ...
    def store(
        self,
        prefix: KeyLike,
        type: type[T] | None = None,
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
        **unknown: Never,
    ) -> Store[Any]:
        """The entries below a prefix as a store of its own, with values of one type.

        The type may be a msgspec struct, a dataclass, a TypedDict or anything else that msgspec
        validates, or a Pydantic model, which validates itself. `expires_in` and `metadata` are for
        what is set without them; with `sliding`, an entry lives on so long when it is read by its
        key, too (see `Store.get`). `on_invalid` says what reading does with a value that is
        not of the type: "raise" `InvalidValue`, "skip" it as if it were not there, or call a
        function with the entry and the error, which gives the value in its place, as it may have
        been written by an older program.
        """
        if unknown:
            refuse_unknown("store", unknown)
        return Store(
            self, make_scope(prefix, type, expires_in, metadata, on_invalid, sliding=sliding)
        )

    def records(self, *, strict: bool = False) -> Records:
        """The entries whose key is one text, with versions that writers may insist on.

        With `strict` a version that is insisted on is missed by a missing record, too.
        """
        return Records(self, strict=strict)

    @property
    def graph(self) -> Graph:
        """Edges between nodes, below the prefix `["graph"]`; `graph.at(prefix)` is another one."""
        return Graph(self)

    def create_index(
        self,
        prefix: KeyLike,
        *,
        fields: Sequence[str],
        tokenize: Tokenizer = "unicode61",
        idempotency_key: str | None = None,
    ) -> None:
        """Index these fields of all entries below a prefix, replacing an index that is there."""
        self._session.send(search_calls.create_index(prefix, fields, tokenize), idempotency_key)

    def list_indexes(self) -> Indexes:
        """All full-text indexes."""
        return self._session.send(search_calls.list_indexes())

    def remove_index(self, prefix: KeyLike, *, idempotency_key: str | None = None) -> None:
        """Remove an index, if it is there; the entries stay."""
        self._session.send(search_calls.remove_index(prefix), idempotency_key)

    def search(
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
    ) -> Iterator[SearchHit[Any]]:
        """The entries that match a query, the most relevant first; all, or the first `limit`.

        `prefix` is exactly that of an index; raises `NotFound` without one. Words have to occur
        all, `OR` and `NOT` and parentheses join them otherwise; `"a phrase"`, `begin*` and
        `field:word` narrow them.

        `weights` say how much a hit in a field counts, 1 unless given. `highlight` (True, or the
        two texts around a hit) asks for the fields with their hits marked, `snippet` (True, or a
        number of words up to 64) for extracts around the hits; `{"escape": "html"}` makes both
        HTML. `fuzzy` looks for similar words where nothing is found; `consistency` is as in
        `get`. What the index cannot look for is said by a `SearchWarning`.
        """
        searching = search_calls.Searching(
            prefix,
            query,
            where=where,
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        pager = search_calls.SearchPager(searching, limit)
        while (call := pager.next_call()) is not None:
            yield from pager.take(self._session.send(consistent(call, consistency)))

    def paginate_search(
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
        explain: bool = False,
        consistency: Consistency = "eventual",
    ) -> SearchPage[Any]:
        """One page (at most 1000) of what `search` finds; `cursor` is of the page before.

        `explain` asks how it was found (`explained`), and how good each hit is (`score`).
        """
        searching = search_calls.Searching(
            prefix,
            query,
            where=where,
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
        )
        call = searching.page(limit=limit, cursor=cursor, explain=explain)
        return self._session.send(consistent(call, consistency))

    def enqueue(
        self,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
        queue: str = "",
        priority: int = 0,
        id: str | None = None,
        idempotency_key: str | None = None,
    ) -> EnqueueResult:
        """Send a message.

        `delay` holds it back. `backoff_schedule` are the pauses before further deliveries, and so
        also their number (1 s, 5 s, 10 s unless given). When the last has failed, the message is a
        dead letter and its value is stored at each of `keys_if_undelivered`. `queue`
        names the queue that it goes to. Each step of `priority`, from -10 to 10, goes before what
        became ready up to a minute earlier. In a day nothing else is sent under the same `id`; it
        names the message.
        """
        call = queue_calls.enqueue(
            value, delay, backoff_schedule, keys_if_undelivered, queue, priority, id
        )
        return self._session.send(call, idempotency_key)

    def dequeue(self, queue: str = "") -> QueueMessage[Any] | None:
        """Take one message of a queue, or None; settle it with `ack_message` or `nack_message`."""
        return self._session.send(queue_calls.poll(queue))

    def ack_message(
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
        message_id, known_lease, queue = identify(message, lease)
        self._session.send(
            queue_calls.ack(message_id, known_lease, queue=queue, strict=strict), idempotency_key
        )

    def nack_message(
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
        message_id, known_lease, queue = identify(message, lease)
        self._session.send(
            queue_calls.nack(message_id, known_lease, error, delay, queue=queue, strict=strict),
            idempotency_key,
        )

    def release_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Give a message back as if it had not been delivered: no attempt is lost.

        Needs the lease, be it of the message. Raises `StaleLease` as `ack_message`.
        """
        message_id, known_lease, queue = identify(message, lease)
        call = queue_calls.release(message_id, known_lease, queue=queue)
        self._session.send(call, idempotency_key)

    def extend_message(
        self,
        message: QueueMessage[Any] | str,
        duration: Duration | None = None,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Keep a message for `duration` from now, or for the server's lock duration.

        Raises `StaleLease` when it is too late: it was delivered again, or settled. If `strict`,
        an id alone that the queue does not have is `NotFound`.
        """
        message_id, known_lease, queue = identify(message, lease)
        call = queue_calls.extend(message_id, known_lease, duration, queue=queue, strict=strict)
        self._session.send(call, idempotency_key)

    def listen_queue(
        self,
        handler: Handler | None = None,
        *,
        queue: str = "",
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        auto_ack: bool = True,
        concurrency: int = 1,
        on_error: ErrorHandler | None = None,
    ) -> QueueListener:
        """Consume a queue, with a handler or by iterating, until the listener is stopped.

        Up to `concurrency` messages are processed at a time. Delivery is at least once: a message
        whose handler takes longer than the server's lock, or whose acknowledgement is lost, comes
        again. `on_error` hears of failures of handlers and of connections, which are retried;
        without it they are logged.
        """
        if auto_ack and handler is None and concurrency != 1:
            raise InvalidInput("Iterating with concurrency needs auto_ack=False")
        pause = seconds(poll_interval)
        messages = ApiMessages(
            self._session,
            checked_queue("queue", queue),
            concurrency=checked_concurrency(concurrency),
            poll_seconds=pause if is_polling(mode) else None,
            on_error=on_error,
        )
        listener = QueueListener(
            messages,
            handler=handler,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )
        self._remember(listener)
        return listener

    def lock(
        self,
        name: str,
        *,
        ttl: Duration = "30s",
        wait: Duration | None = None,
        owner: str | None = None,
        metadata: Any = None,
    ) -> Lock:
        """A lock to hold for a block, as `with kv.lock(...) as lock`; prolonged meanwhile.

        It ends `ttl` after this process has died. With `wait` it waits in line for so long; raises
        `LockHeld` if it cannot be had. Once it is lost, what the block asks of a store raises
        `LockLost`.
        """
        return Lock(self.locks, name, ttl=ttl, wait=wait, owner=owner, metadata=metadata)

    def consumer(
        self,
        name: str,
        *,
        prefix: KeyLike = (),
        type: str | None = None,
        owner: str | None = None,
        lock_duration: Duration = "30s",
        batch: int = DEFAULT_LIMIT,
        max_attempts: int = MAX_ATTEMPTS,
        retry: Duration = "1s",
    ) -> Consumer:
        """Works through the stream under a name: see `records` and `run` of what it returns.

        Of all instances with one name one is at work, and goes on where the last one was; the
        others stand by until its lock is released or has ended. `batch` records are read at a time,
        a failing one is tried `max_attempts` times, the second time after `retry`.
        """
        return Consumer(
            self.consumers,
            name,
            prefix=prefix,
            type=type,
            owner=owner,
            lock_duration=lock_duration,
            batch=batch,
            max_attempts=max_attempts,
            retry=retry,
        )

    def runner(
        self,
        *,
        concurrency: int = 8,
        name: str | None = None,
        lease: Duration = "30s",
        on_error: ErrorHandler | None = None,
    ) -> Runner:
        """What runs tasks with functions of yours: decorate them with `runner.task(name)`.

        Up to `concurrency` run at a time. A task is kept by a `lease` that is prolonged while its
        function runs: so long after this process has died, others get it. `on_error` hears of
        what fails; without it that is logged.
        """
        runner = Runner(
            self.tasks, concurrency=concurrency, name=name, lease=lease, on_error=on_error
        )
        self._remember(runner)
        return runner

    @overload
    def queue(self, name: str = "", type: None = None) -> MessageQueue[Any]: ...
    @overload
    def queue(self, name: str, type: type[T]) -> MessageQueue[T]: ...
    def queue(self, name: str = "", type: type[T] | None = None) -> MessageQueue[Any]:
        """One queue, with messages of one type."""
        return MessageQueue(self, name, type)

    def queue_stats(self, queue: str = "") -> QueueStats:
        """How many messages of a queue there are in which state."""
        return self._session.send(queue_calls.stats(queue))

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
    ) -> Watch:
        """Follow the changes of keys and of all that extend them, or only of the keys if `exact`.

        Batches of entries go to `callback`, or to who iterates over the watch; the first one tells
        what is there (of a prefix `limit` entries, 100 by default) unless `emit_initial` is False.
        A lost connection is made again and goes on where the old one ended. Of several changes
        of one key in short order only the last may be told.

        `shared` watches of one target have one stream to the server; who comes late is told what
        it has told so far. They have a buffer of 1000 keys unless `buffer_size` says otherwise.

        Without `buffer_size` nothing is read before the last batch was taken. With it, up to so
        many changed keys wait, each with its latest entry; `overflow_strategy` says which of them
        goes when there are more. `on_error` hears of failures that are retried; without it they
        are logged.
        """
        target = make_target(key, exact=exact, limit=limit)
        polling = is_polling(mode)
        pause = seconds(poll_interval)
        if shared:
            check_sharing(polling=polling)
            buffer_size = BUFFER_SIZE if buffer_size is None else buffer_size
            feed = self._sharing.feed(target, initial=emit_initial, on_error=on_error)
        else:
            make_plan = PollPlan if polling else WatchPlan
            plan = make_plan(target, emit_initial=emit_initial)
            feed = watch_feed(self._session, plan, pause, on_error)
        buffer = Buffer(buffer_size, overflow_strategy)
        watch = Watch(feed, buffer, callback=callback, on_error=on_error)
        self._remember(watch)
        return watch

    @overload
    def metrics(self, format: Literal["json"] = "json") -> dict[str, Any]: ...
    @overload
    def metrics(self, format: Literal["prometheus"]) -> str: ...
    def metrics(self, format: str = "json") -> dict[str, Any] | str:
        """The server's counters: as a dict, or as the text that Prometheus reads."""
        if format == "prometheus":
            return self._session.send(search_calls.metrics_text())
        if format != "json":
            raise InvalidInput(f"format must be json or prometheus, received {format!r}")
        return self._session.send(search_calls.metrics_json())

    def _remember(self, running: Watch | QueueListener | Runner) -> None:
        self._running = {other for other in self._running if not other.closed}
        self._running.add(running)

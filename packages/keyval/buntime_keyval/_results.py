"""Results of the store, the same in process and through a client."""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from buntime_keyval.wire import Key

V = TypeVar("V")


class KvDetails(msgspec.Struct, frozen=True):
    """The details of an entry beside its value. Times are milliseconds since 1970."""

    metadata: Any
    """The metadata that was stored; None for none."""
    created_at: int
    """First write since the key was missing the last time."""
    updated_at: int
    """Last write."""
    expires_at: int | None
    """When it is gone; None for never."""
    revision: int = 1
    """Writes since the key was missing the last time, the first one included."""
    type: str | None = None
    """The kind of entry, as its writers named it; None for none."""


class KvEntry(msgspec.Struct, Generic[V], frozen=True, repr_omit_defaults=True):
    """A key with its value. One that does not exist is `KvMissing`: `exists` tells them apart."""

    key: Key
    value: V
    versionstamp: str | None
    details: KvDetails | None = None
    """Metadata and times of what exists, where they were asked for."""

    @property
    def exists(self) -> bool:
        """Whether the key exists, with a value that may be None."""
        return self.versionstamp is not None

    def or_default(self, default: Any) -> KvEntry[Any]:
        """This entry, or, where the key does not exist, the same with `default` for a value."""
        return self if self.exists else KvMissing(self.key, default, None)


class KvMissing(KvEntry[V], Generic[V], frozen=True):
    """A missing key: its value is None, or the default that was named."""

    @property
    def exists(self) -> Literal[False]:
        """Always False."""
        return False


def made_entry(key: Key, value: Any, versionstamp: str | None) -> KvEntry[Any]:
    """The entry of a key, which does not exist without a versionstamp."""
    kind = KvMissing if versionstamp is None else KvEntry
    return kind(key, value, versionstamp)


class KvPage(msgspec.Struct, Generic[V], frozen=True):
    """One page of entries in key order."""

    entries: list[KvEntry[V]]
    cursor: str | None
    """Where the next page starts; None on the last one."""
    has_more: bool


class SearchHit(KvEntry[V], Generic[V], frozen=True):
    """An entry that a search found."""

    highlight: dict[str, str] | None = None
    """The text of each field with its hits marked, where that was asked for."""
    snippet: dict[str, str] | None = None
    """An extract of each field around its hits, where that was asked for."""
    score: float | None = None
    """How good the hit is, the best the largest, if an explanation was requested."""


class SearchTerm(msgspec.Struct, frozen=True):
    """A word or a phrase of a query."""

    text: str
    entries: int
    """The number of entries in the index that have it, counted up to 10,000."""
    more: bool = False
    """Whether even more have it."""
    prefix: bool = False
    """Whether words that begin with it do."""
    field: str | None = None
    """The field that it has to be in, None for any."""


class SearchExplained(msgspec.Struct, frozen=True):
    """How a search found its hits."""

    tokenize: str
    """How the index splits texts, and those of the query, into words."""
    terms: tuple[SearchTerm, ...] = ()
    """The first 20 words and phrases of the query."""
    asked: str | None = None
    """The query in the language of the engine; None if it holds nothing to look for."""
    plan: tuple[str, ...] = ()
    """The engine's plan: its steps, with nested ones indented."""


class SearchPage(msgspec.Struct, Generic[V], frozen=True):
    """One page of the hits of a search, the most relevant first."""

    entries: list[SearchHit[V]]
    cursor: str | None
    """Where the next page starts; None on the last one."""
    has_more: bool
    warnings: tuple[str, ...] = ()
    """Warnings about parts of the query that the index could not look for."""
    searched_for: str | None = None
    """The query that was answered, where a fuzzy search took another than was asked."""
    explained: SearchExplained | None = None
    """How the hits were found, if that was requested."""


class NotAsked(tuple[Any, ...]):
    """No results, since they were not requested; accessing one raises an error that explains
    how.
    """

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ()
        raise IndexError(
            "what the mutations made is told where it is asked for: commit(results=True)"
        )

    def __repr__(self) -> str:
        return "<not asked for: commit(results=True)>"


class CommitResult(msgspec.Struct, frozen=True):
    """How a commit ended: `ok` False when a check did not hold, and nothing was written."""

    ok: bool
    versionstamp: str | None = None
    results: tuple[Any, ...] = NotAsked()
    """The results of the mutations, after `commit(results=True)`: the number, list or value of
    `sum`, `max`, `min`, `append`, `prepend` and `patch`, for `touch` and `persist` whether the
    entry exists, and None for others."""


class DeleteResult(msgspec.Struct, frozen=True, rename="camel"):
    """The number of live entries that were deleted."""

    deleted_count: int


class VacuumResult(msgspec.Struct, frozen=True, rename="camel"):
    """The result of a vacuum."""

    count: int
    """Expired entries that were removed."""
    has_more: bool
    """Whether the limit left some."""


class TransactionResult(msgspec.Struct, Generic[V], frozen=True):
    """How a transaction ended.

    `error` is "conflict" when something that it read had changed at every attempt, "error" when the
    function raised; `message` is then its text and `exception` the exception itself. A client lets
    exceptions of the function propagate, so there it is never "error".
    """

    ok: bool
    value: V | None = None
    versionstamp: str | None = None
    error: Literal["conflict", "error"] | None = None
    message: str | None = None
    exception: Exception | None = None


class EnqueueResult(msgspec.Struct, frozen=True):
    """A message that was accepted."""

    ok: bool
    id: str


class QueueMessage(msgspec.Struct, Generic[V], frozen=True):
    """A delivered message, invisible to others until it is settled or its lock runs out."""

    id: str
    value: V
    attempts: int
    """Deliveries so far, this one included."""
    lease: str | None = None
    """The permission to settle this delivery, where the server hands one out."""
    queue: str = ""
    """The name of its queue; the first one has none."""


class QueueStats(msgspec.Struct, frozen=True):
    """The numbers of messages in each state."""

    pending: int
    """Ready, delayed, or with a lock that ran out."""
    processing: int
    dlq: int
    total: int


class QueuedMessage(msgspec.Struct, Generic[V], frozen=True, rename="camel"):
    """A message that was looked at, and not taken. Times are milliseconds since 1970."""

    id: str
    value: V
    state: Literal["ready", "delayed", "processing", "ended"]
    """`ended` is a message whose attempts are used up: it is about to become a dead letter."""
    attempts: int
    """Deliveries so far."""
    max_attempts: int
    priority: int
    ready_at: int
    created_at: int
    queue: str = ""
    """The name of its queue; the first one has none."""


class QueuePage(msgspec.Struct, Generic[V], frozen=True):
    """Some messages of a queue, as they were sent."""

    messages: list[QueuedMessage[V]]
    cursor: str | None
    """Where the next page starts; None behind the last message."""


class QueueRate(msgspec.Struct, frozen=True):
    """A rate: so many messages are delivered in any period of so many milliseconds."""

    count: int
    per: int


class QueueOptions(msgspec.Struct, frozen=True, rename="camel"):
    """How a queue delivers; None for options that are not set."""

    paused: bool = False
    lease: int | None = None
    """Milliseconds that a consumer has for a message."""
    backoff_schedule: list[int] | None = None
    """Pauses, in milliseconds, of messages that are sent without their own."""
    max_running: int | None = None
    """Messages that may be delivered and unsettled at a time."""
    rate: QueueRate | None = None


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue that is in use, and how many messages there are in which state."""

    queue: str
    pending: int
    processing: int
    dlq: int
    total: int
    paused: bool


class DeadLetter(msgspec.Struct, Generic[V], frozen=True, rename="camel"):
    """A message that was given up. Times are milliseconds since 1970."""

    id: str
    original_id: str
    value: V
    error_message: str | None
    attempts: int
    original_created_at: int
    failed_at: int
    queue: str = ""
    """The name of its queue; the first one has none."""


class TaskInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Named work, and what came of it. Times are milliseconds since 1970, lengths milliseconds."""

    id: str
    name: str
    status: str
    """`pending`, `running`, `completed`, `failed` or `cancelled`."""
    payload: Any
    attempts: int
    """The attempts so far, including the present one."""
    max_retries: int
    """Attempts in total; 0 means 1 as well."""
    backoff_schedule: list[int] | None
    timeout: int
    priority: int
    unique: str | None
    sequence: str | None
    parent: str | None
    after: list[str]
    """Ids of tasks that have to be completed first."""
    keep_result: int
    created: int
    scheduled_for: int
    started_at: int | None
    completed_at: int | None
    """When it was over, however it ended."""
    last_error: str | None
    result: Any
    progress: Any
    locked_by: str | None
    """Which runner has it."""
    lock_expires_at: int | None

    @property
    def is_over(self) -> bool:
        """Whether nothing becomes of it any more by itself."""
        return self.status in ("completed", "failed", "cancelled")


class TaskPage(msgspec.Struct, frozen=True):
    """Tasks, and where the next ones begin; None behind the last one."""

    tasks: list[TaskInfo]
    cursor: str | None


class LeasedTask(msgspec.Struct, frozen=True, rename="camel"):
    """A task that a runner has."""

    id: str
    name: str
    token: str
    """The permission to say what became of it."""
    payload: Any
    attempts: int
    """The attempts, including this one."""
    max_retries: int
    timeout: int
    """Milliseconds that this attempt may take."""
    lock_expires_at: int
    """When other runners get it unless its runner prolongs the lease, milliseconds since 1970."""


class TaskHeard(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to a runner's report about its task."""

    cancelled: bool
    """Whether the task was cancelled."""
    lock_expires_at: int | None = None
    """When the lease ends now."""
    lost: bool = False
    """Among several: another runner has it, or it is gone. For one alone that is `TaskLost`."""


class TaskDone(NamedTuple):
    """A task that its runner has done, for `complete_many`."""

    task: str
    """Its id."""
    token: str
    result: Any = None


class TaskLimits(msgspec.Struct, frozen=True, rename="camel"):
    """The limits on running tasks of a name, and on tasks begun in a period; None for no limit."""

    max_running: int | None = None
    rate: QueueRate | None = None


class LockGrant(msgspec.Struct, frozen=True, rename="camel"):
    """A lock that was given to the caller."""

    token: str
    """Names this holding: it grows from one holder to the next."""
    expires_at: int
    """When it ends unless it is prolonged, milliseconds since 1970."""


class LockInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A held lock. Times are milliseconds since 1970."""

    name: str
    owner: str
    token: str
    acquired_at: int
    expires_at: int
    metadata: Any
    """The owner's metadata; None for none."""
    waiting: int
    """The number of waiters."""


class ScheduleInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A schedule. Times are milliseconds since 1970."""

    name: str
    task: dict[str, Any]
    """The template of its tasks, with the names of the wire format."""
    missed: str
    """The handling of times at which no host ran: `skip`, `once` or `all`."""
    paused: bool
    next: list[int]
    """The next five times; none while it is paused."""
    created_at: int
    updated_at: int
    timezone: str
    cron: str | None = None
    every: int | None = None
    """Milliseconds from one time to the next, where there is no `cron`."""
    last_at: int | None = None
    """The time that it last started a task for."""
    last_task: str | None = None
    """The id of that task."""
    fires: int = 0
    """The number of tasks that it has started."""


class StreamRecord(msgspec.Struct, frozen=True):
    """One changed key of one commit."""

    seq: int
    """Its position: later records have greater ones; numbers may be left out."""
    action: str
    """`create`, `update`, `delete` or `expire`."""
    key: Key
    value: Any
    """The value that was written, or removed; None where `has_value` is false."""
    has_value: bool
    """Whether the log has it: see the option `changes.values`."""
    versionstamp: str
    """The versionstamp of the commit."""
    version: int | None
    """The entry's revision then, or the last one of a removed entry; None in changes from before
    the log had revisions."""
    type: str | None
    """The kind of entry, None for none."""
    at: int
    """When it was committed, milliseconds since 1970."""


class StreamPage(msgspec.Struct, frozen=True):
    """A part of the stream."""

    records: list[StreamRecord]
    next: int
    """The position behind which the next page begins."""
    first: int
    """No record at this position, or behind it, was removed."""
    last: int
    """Position of the newest record."""


class ConsumerBatch(msgspec.Struct, frozen=True):
    """Records that a consumer has not done yet, for its owner."""

    records: list[StreamRecord]
    token: str
    """Under which they are committed."""
    position: int
    """The consumer has done all records up to there."""
    lag: int
    """The number of changes behind the position."""


class ConsumerFailure(msgspec.Struct, frozen=True):
    """A record that could not be processed."""

    attempts: int
    """The number of its failures."""
    dead: bool
    """Whether it was given up, and is a dead letter now."""
    position: int
    """The same token as that of a batch."""


class ConsumerFailing(msgspec.Struct, frozen=True):
    """The record that a consumer does not get past."""

    seq: int
    attempts: int
    error: str | None


class ConsumerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A consumer. Times are milliseconds since 1970."""

    name: str
    position: int
    lag: int
    owner: str | None
    """The owner at work; None for none."""
    until: int | None
    """When its lock ends unless it is prolonged."""
    updated_at: int
    """When the position was said, or found to be up to date."""
    failing: ConsumerFailing | None


class ConsumerLetter(msgspec.Struct, frozen=True):
    """A record that a consumer could not process."""

    record: StreamRecord
    error: str | None
    attempts: int
    failed_at: int
    """Milliseconds since 1970."""
    requeued: bool
    """Whether it is to be delivered again."""


class SearchIndex(msgspec.Struct, frozen=True):
    """A full-text index over the entries below a prefix."""

    prefix: Key
    fields: list[str]
    tokenize: str
    table_name: str = ""
    """The server's id of it; of no use to callers."""
    documents: int = 0
    """Entries that are in it."""
    entries: int = 0
    """Entries that are to be in it."""
    ready: bool = True
    """Whether all entries are in it; searches wait for that."""

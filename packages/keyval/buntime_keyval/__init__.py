"""Buntime KeyVal for Python: a client of the key-value store, blocking and for asyncio.

    from buntime_keyval import Kv

    with Kv("http://localhost:8000/keyval/api") as kv:
        kv.set(("users", 123), {"name": "Alice"}, expires_in="1h")

`AsyncKv` has the same methods to await. `buntime_keyval.wire` holds what a server and a client
must agree on: keys and their order, the JSON forms of values, durations, limits.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from buntime_keyval._calls.atomic import MutationKey
from buntime_keyval._calls.search import SearchWarning
from buntime_keyval._errors import (
    AccessDenied,
    AnswerLost,
    CannotOpen,
    ClientClosed,
    ConnectionLost,
    ConsumerLocked,
    IdempotencyKeyReused,
    InvalidResponse,
    InvalidValue,
    KvError,
    LockHeld,
    LockLost,
    NoAnswer,
    NotFound,
    OutcomeUnknown,
    PoolExhausted,
    PositionAhead,
    PreconditionFailed,
    RateLimited,
    RequestRejected,
    RequestUnderWay,
    ServerFailure,
    ServerUnreachable,
    ServiceUnavailable,
    SnapshotGone,
    StaleConsumer,
    StaleLease,
    StatusError,
    StreamTrimmed,
    TaskConflict,
    TaskLost,
    TooLarge,
    TransactionConflict,
    TraversalTooLarge,
    VersionMismatch,
)
from buntime_keyval._exchange import Exchange
from buntime_keyval._graph import Degree, EdgePage, GraphEdge, GraphNode, GraphPath, NodeLike
from buntime_keyval._network import Tls
from buntime_keyval._now import Now
from buntime_keyval._records import (
    KvRecord,
    RecordChange,
    RecordDelete,
    RecordDeletePrefix,
    RecordDeleteRange,
    RecordPatch,
    RecordPut,
)
from buntime_keyval._results import (
    CommitResult,
    ConsumerBatch,
    ConsumerFailing,
    ConsumerFailure,
    ConsumerInfo,
    ConsumerLetter,
    DeadLetter,
    DeleteResult,
    EnqueueResult,
    KvDetails,
    KvEntry,
    KvMissing,
    KvPage,
    LeasedTask,
    LockGrant,
    LockInfo,
    QueuedMessage,
    QueueInfo,
    QueueMessage,
    QueueOptions,
    QueuePage,
    QueueRate,
    QueueStats,
    ScheduleInfo,
    SearchExplained,
    SearchHit,
    SearchIndex,
    SearchPage,
    SearchTerm,
    StreamPage,
    StreamRecord,
    TaskDone,
    TaskHeard,
    TaskInfo,
    TaskLimits,
    TaskPage,
    TransactionResult,
    VacuumResult,
)
from buntime_keyval._retries import Retries
from buntime_keyval._runs import TaskContext
from buntime_keyval._where import Condition, Field, Where
from buntime_keyval.wire import (
    ANY,
    AnyPart,
    BigInt,
    Duration,
    InvalidInput,
    Key,
    KeyLike,
    KeyOrKeys,
    KeyPart,
    PatternLike,
)
from buntime_keyval.wire.python_options import Consistency

if TYPE_CHECKING:
    from buntime_keyval._async.atomic import AsyncAtomic, AsyncStoreAtomic
    from buntime_keyval._async.client import AsyncKv
    from buntime_keyval._async.consumers import AsyncConsumer
    from buntime_keyval._async.graph import AsyncGraph
    from buntime_keyval._async.listen import AsyncDelivery, AsyncQueueListener
    from buntime_keyval._async.locks import AsyncLock
    from buntime_keyval._async.opening import open_kv
    from buntime_keyval._async.queues import AsyncMessageQueue
    from buntime_keyval._async.records import AsyncRecords
    from buntime_keyval._async.runner import AsyncRunner
    from buntime_keyval._async.store_watch import AsyncStoreWatch
    from buntime_keyval._async.stores import AsyncStore
    from buntime_keyval._async.transactions import AsyncStoreTransaction, AsyncTransaction
    from buntime_keyval._async.watch import AsyncWatch
    from buntime_keyval._sync.atomic import Atomic, StoreAtomic
    from buntime_keyval._sync.client import Kv
    from buntime_keyval._sync.consumers import Consumer
    from buntime_keyval._sync.graph import Graph
    from buntime_keyval._sync.listen import Delivery, QueueListener
    from buntime_keyval._sync.locks import Lock
    from buntime_keyval._sync.opening import open_kv_sync
    from buntime_keyval._sync.queues import MessageQueue
    from buntime_keyval._sync.records import Records
    from buntime_keyval._sync.runner import Runner
    from buntime_keyval._sync.store_watch import StoreWatch
    from buntime_keyval._sync.stores import Store
    from buntime_keyval._sync.transactions import StoreTransaction, Transaction
    from buntime_keyval._sync.watch import Watch

__all__ = [
    "ANY",
    "AccessDenied",
    "AnswerLost",
    "AnyPart",
    "AsyncAtomic",
    "AsyncConsumer",
    "AsyncDelivery",
    "AsyncGraph",
    "AsyncKv",
    "AsyncLock",
    "AsyncMessageQueue",
    "AsyncQueueListener",
    "AsyncRecords",
    "AsyncRunner",
    "AsyncStore",
    "AsyncStoreAtomic",
    "AsyncStoreTransaction",
    "AsyncStoreWatch",
    "AsyncTransaction",
    "AsyncWatch",
    "Atomic",
    "BigInt",
    "CannotOpen",
    "ClientClosed",
    "CommitResult",
    "Condition",
    "ConnectionLost",
    "Consistency",
    "Consumer",
    "ConsumerBatch",
    "ConsumerFailing",
    "ConsumerFailure",
    "ConsumerInfo",
    "ConsumerLetter",
    "ConsumerLocked",
    "DeadLetter",
    "Degree",
    "DeleteResult",
    "Delivery",
    "Duration",
    "EdgePage",
    "EnqueueResult",
    "Exchange",
    "Field",
    "Graph",
    "GraphEdge",
    "GraphNode",
    "GraphPath",
    "IdempotencyKeyReused",
    "InvalidInput",
    "InvalidResponse",
    "InvalidValue",
    "Key",
    "KeyLike",
    "KeyOrKeys",
    "KeyPart",
    "Kv",
    "KvDetails",
    "KvEntry",
    "KvError",
    "KvMissing",
    "KvPage",
    "KvRecord",
    "LeasedTask",
    "Lock",
    "LockGrant",
    "LockHeld",
    "LockInfo",
    "LockLost",
    "MessageQueue",
    "MutationKey",
    "NoAnswer",
    "NodeLike",
    "NotFound",
    "Now",
    "OutcomeUnknown",
    "PatternLike",
    "PoolExhausted",
    "PositionAhead",
    "PreconditionFailed",
    "QueueInfo",
    "QueueListener",
    "QueueMessage",
    "QueueOptions",
    "QueuePage",
    "QueueRate",
    "QueueStats",
    "QueuedMessage",
    "RateLimited",
    "RecordChange",
    "RecordDelete",
    "RecordDeletePrefix",
    "RecordDeleteRange",
    "RecordPatch",
    "RecordPut",
    "Records",
    "RequestRejected",
    "RequestUnderWay",
    "Retries",
    "Runner",
    "ScheduleInfo",
    "SearchExplained",
    "SearchHit",
    "SearchIndex",
    "SearchPage",
    "SearchTerm",
    "SearchWarning",
    "ServerFailure",
    "ServerUnreachable",
    "ServiceUnavailable",
    "SnapshotGone",
    "StaleConsumer",
    "StaleLease",
    "StatusError",
    "Store",
    "StoreAtomic",
    "StoreTransaction",
    "StoreWatch",
    "StreamPage",
    "StreamRecord",
    "StreamTrimmed",
    "TaskConflict",
    "TaskContext",
    "TaskDone",
    "TaskHeard",
    "TaskInfo",
    "TaskLimits",
    "TaskLost",
    "TaskPage",
    "Tls",
    "TooLarge",
    "Transaction",
    "TransactionConflict",
    "TransactionResult",
    "TraversalTooLarge",
    "VacuumResult",
    "VersionMismatch",
    "Watch",
    "Where",
    "open_kv",
    "open_kv_sync",
]

# A server needs the contract and the results alone: h11 is imported with the first client.
_OF_MODULES = {
    "atomic": ("Atomic", "StoreAtomic"),
    "client": ("Kv",),
    "consumers": ("Consumer",),
    "graph": ("Graph",),
    "listen": ("Delivery", "QueueListener"),
    "locks": ("Lock",),
    "queues": ("MessageQueue",),
    "records": ("Records",),
    "runner": ("Runner",),
    "store_watch": ("StoreWatch",),
    "stores": ("Store",),
    "transactions": ("StoreTransaction", "Transaction"),
    "watch": ("Watch",),
}
"""What both halves have, the one for asyncio with a name that begins with `Async`."""
_LATER = {
    f"{prefix}{name}": f"buntime_keyval.{half}.{module}"
    for prefix, half in (("Async", "_async"), ("", "_sync"))
    for module, names in _OF_MODULES.items()
    for name in names
} | {
    "open_kv": "buntime_keyval._async.opening",
    "open_kv_sync": "buntime_keyval._sync.opening",
}

if not TYPE_CHECKING:  # else every misspelt name would be an `Any`

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from buntime_keyval._importing import lasting

        with lasting():
            found = getattr(importlib.import_module(_LATER[name]), name)
        globals()[name] = found  # whoever asks again does not come here
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Everything that a client raises.

InvalidInput (ValueError)        what the caller passed breaks the contract; nothing was sent
KvError                          `status`, `code` and `request_id` where there was an answer
├── NoAnswer                     the server gave no complete answer
│   ├── ServerUnreachable        nothing was sent: refused, no route
│   │   └── PoolExhausted        nothing was sent: all connections were taken for too long
│   ├── ConnectionLost           cut or too slow while reading; nothing was changed
│   └── OutcomeUnknown           a write was sent and its answer was lost: applied, or not
├── StatusError                  the server answered with an error
│   ├── RequestRejected     400  also an `InvalidInput`, as the same call in process raises
│   ├── AccessDenied        401  403
│   ├── NotFound            404  405; most often a wrong base URL
│   ├── StaleLease          409  the message was settled or delivered again meanwhile
│   ├── LockHeld            409  somebody else has the lock
│   ├── LockLost            409  the lock is not held under its token any more
│   ├── TaskLost            409  the task is not run under its token any more
│   ├── TaskConflict        409  what was asked cannot be done with the task as it is
│   ├── ConsumerLocked      409  another instance of the consumer is at work
│   ├── StaleConsumer       409  another instance of the consumer has taken over
│   ├── PositionAhead       409  no record of the stream has that position yet
│   ├── PreconditionFailed  412  the entry is not as a condition of the call has it
│   ├── SnapshotGone        410  the snapshot of a cursor is not there any more
│   ├── StreamTrimmed       410  the records behind a position are not there any more
│   ├── RequestUnderWay     409  the first request with its idempotency key has no answer yet
│   ├── IdempotencyKeyReused 422 another request had its idempotency key
│   ├── TooLarge            413  414, 431
│   ├── RateLimited         429
│   ├── AnswerLost          429  503; it was carried out, and its answer found no room
│   └── ServerFailure       5xx
│       └── ServiceUnavailable 503
├── CannotOpen                   no store in this process: see `open_kv`
├── ClientClosed                 the client was closed before
├── InvalidResponse              an answer that is not one of this contract
├── InvalidValue                 also ValueError: a value is not of the type of its store
├── VersionMismatch              a record has another version than was insisted on
├── TransactionConflict          what a transaction read was changed by others meanwhile
└── TraversalTooLarge            a walk through a graph met more than its limit
"""

from __future__ import annotations

from buntime_keyval.wire import InvalidInput


class KvError(Exception):
    """Base of the client's exceptions, `InvalidInput` aside."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """HTTP status of the answer, if there was one."""
        self.code = code
        """Stable name of the error, where the server gives one, such as `KEYVAL_DB_DOWN`."""
        self.request_id = request_id
        """Under which the server logged the request."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait."""

    def __str__(self) -> str:
        facts = [str(fact) for fact in (self.status, self.code) if fact is not None]
        if self.request_id is not None:
            facts.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(facts)})" if facts else self.message


class NoAnswer(KvError):
    """The server gave no complete answer."""


class ServerUnreachable(NoAnswer):
    """No connection could be made, so nothing was sent."""


class PoolExhausted(ServerUnreachable):
    """All `max_connections` were in use for longer than `connect_timeout`. Nothing was sent."""


class ConnectionLost(NoAnswer):
    """The connection was cut, or the answer too slow. The request was one that changes nothing."""


class OutcomeUnknown(NoAnswer):
    """A write was sent and its answer never came: it may have been applied, or not.

    Lost on the way to the client, or between the server and its database: then `code` is
    `KEYVAL_OUTCOME_UNKNOWN`. A client with retries has sent it again by then, under an idempotency
    key, as often as it may. Repeat it with a key of your own, or look at the state.
    """


class StatusError(KvError):
    """The server answered with an error status."""


class RequestRejected(StatusError, InvalidInput):
    """400: the request breaks the contract, or does not fit the values that are stored."""


class AccessDenied(StatusError):
    """401 or 403: the token is missing, wrong, or not enough."""


class NotFound(StatusError):
    """404 or 405: no such route, message or dead letter. Missing keys are no errors."""


class StaleLease(StatusError):
    """409: the message was settled, or delivered again, meanwhile."""


class PreconditionFailed(StatusError):
    """412: the entry is not as a condition of the call has it. Nothing was done."""

    versionstamp: str | None = None
    """The versionstamp of the present entry; None if it is missing."""


class LockHeld(StatusError):
    """409: another owner has the lock, or has waited for it longer; the message names it."""


class LockLost(StatusError):
    """409: the lock is no longer held under its token: it has ended, or another owner has it."""


class ConsumerLocked(StatusError):
    """409: another instance has the records of this consumer in hand."""

    owner: str | None = None
    """The present owner."""
    until: int | None = None
    """When its lock ends unless it is prolonged, milliseconds since 1970."""


class StaleConsumer(StatusError):
    """409: the consumer is no longer held under its token, since it took longer than its lock
    lasts, or its position was set. Its present records are given out again.
    """


class PositionAhead(StatusError):
    """409: no record of the stream has that position yet."""


class TaskLost(StatusError):
    """409: the task is not run under its token any more: its lease has ended and another runner has
    it, or it is over."""


class TaskConflict(StatusError):
    """409: the request cannot be done in the present state of the task; the message has the
    reason.
    """


class SnapshotGone(StatusError):
    """410: entries of the snapshot's next page were changed, and the snapshot is no longer held.
    Begin again with the first page.
    """


class StreamTrimmed(StatusError):
    """410: records behind the position were removed; the message names the first one left."""

    first: int | None = None
    """The position from which on none was removed."""


class RequestUnderWay(StatusError):
    """409: the first request with this idempotency key is not answered yet."""


class IdempotencyKeyReused(StatusError):
    """422: this idempotency key was used for another request."""


class TooLarge(StatusError):
    """413, 414 or 431: more than the server, or a proxy before it, takes."""


class RateLimited(StatusError):
    """429: too many requests."""


class AnswerLost(StatusError):
    """429 or 503: the request was carried out, but there was no room for its answer."""


class ServerFailure(StatusError):
    """5xx: the server, or a proxy before it, failed."""


class ServiceUnavailable(ServerFailure):
    """503: the server cannot serve now."""


class CannotOpen(KvError):
    """A store in this process cannot be opened: because of its file, its options, or a missing
    package.
    """


class ClientClosed(KvError):
    """The client was closed before: make a new one."""


class InvalidResponse(KvError):
    """The answer is not one of this contract, for instance the page of a proxy."""


class InvalidValue(KvError, ValueError):
    """A value does not have the type of its store; the message names the place in the value."""


class TransactionConflict(KvError):
    """Another writer changed an entry that the transaction read; nothing was written."""


class VersionMismatch(KvError):
    """A record has another version than the writer insisted on; nothing was written."""

    def __init__(self, message: str, *, results: list[int]) -> None:
        super().__init__(message)
        self.results = results
        """A zero for each mutation."""


class TraversalTooLarge(KvError):
    """A walk through a graph met more nodes, or edges, than its `limit`."""


_BY_STATUS: dict[int, type[StatusError]] = {
    400: RequestRejected,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    405: NotFound,
    409: StaleLease,
    410: SnapshotGone,
    412: PreconditionFailed,
    413: TooLarge,
    414: TooLarge,
    429: RateLimited,
    431: TooLarge,
    503: ServiceUnavailable,
}


_BY_CODE: dict[str | None, type[KvError]] = {
    "LOCK_HELD": LockHeld,
    "STREAM_TRIMMED": StreamTrimmed,
    "CONSUMER_LOCKED": ConsumerLocked,
    "STALE_CONSUMER": StaleConsumer,
    "STREAM_POSITION_AHEAD": PositionAhead,
    "LOCK_LOST": LockLost,
    "TASK_LOST": TaskLost,
    "TASK_CONFLICT": TaskConflict,
    "KEYVAL_OUTCOME_UNKNOWN": OutcomeUnknown,
    "KEYVAL_REQUEST_UNDER_WAY": RequestUnderWay,
    "KEYVAL_IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
}


def answered_error(status: int, code: str | None) -> type[KvError]:
    """The exception for a status that is not 200, and for the `code` beside it."""
    by_status = _BY_STATUS.get(status, ServerFailure if status >= 500 else StatusError)
    return _BY_CODE.get(code, by_status)

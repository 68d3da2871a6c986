"""Errors of the key-value service, in process and over HTTP.

    KeyValError                  also the exception that a client of the answer raises:
    ├── KeyNotFound         404  NotFound: the key does not exist
    ├── IndexNotFound       404  NotFound: the prefix has no full-text index
    ├── LetterNotFound      404  NotFound: there is no such dead letter
    ├── MessageNotFound     404  NotFound: there is no such message, and the call was strict
    ├── StaleLease          409  StaleLease: delivered again, or settled, meanwhile
    ├── ScheduleNotFound    404  NotFound: there is no schedule with this name
    ├── LockNotFound        404  NotFound: the lock is not held
    ├── LockHeld            409  LockHeld: another owner has the lock, or waits for it longer
    ├── LockLost            409  LockLost: the lock is not held under this token any more
    ├── ConsumerNotFound    404  NotFound: no consumer of the stream has that name
    ├── ConsumerLocked      409  ConsumerLocked: another instance holds the consumer
    ├── StaleConsumer       409  StaleConsumer: another instance has taken over
    ├── PositionAhead       409  PositionAhead: the stream has no such position yet
    ├── TaskNotFound        404  NotFound: there is no such task
    ├── TaskConflict        409  TaskConflict: the state of the task does not allow that
    ├── TaskLost            409  TaskLost: another runner has the task, or it is over
    ├── LimitExceeded       413  TooLarge: more than an option of `limits` allows
    ├── QuotaExceeded       413  TooLarge: more entries or bytes than the key of the sender may have
    ├── RateExceeded        429  RateLimited: more requests in a second than that
    ├── InvalidLimits       503  ServiceUnavailable: the limits of the sender's key are invalid
    ├── ConditionsNotSupported 501  StatusError: a header has a condition that is not supported
    ├── SearchNotSupported     501  StatusError: the database has no full-text search
    ├── RequestTooLong      503  ServiceUnavailable: it took longer than a request may
    ├── StoreMoving         503  ServiceUnavailable: a move is being completed, try again
    ├── StoreMoved          503  ServiceUnavailable: it is in another database now
    ├── TooManyScans        503  ServiceUnavailable: too many of one client wait for their turn
    ├── ValuesEncrypted     422  StatusError: a filter or an index of encrypted values
    ├── SnapshotGone        410  SnapshotGone: begin again, with the first page
    ├── StreamTrimmed       410  StreamTrimmed: the requested records were removed
    ├── RequestUnderWay     409  RequestUnderWay: the first one with its key is not answered yet
    ├── IdempotencyKeyReused 422 IdempotencyKeyReused: another request had its key
    ├── TooManyStreams      503  ServiceUnavailable: as many streams are open as are allowed
    ├── TooManyStreamsOfClient 429 RateLimited: as many as are allowed to one client
    ├── TooManyStreamsOfKey 429  RateLimited: as many as are allowed to one key
    ├── KeyValUnavailable   503  ServiceUnavailable: before the plugin's start, after its shutdown
    ├── DatabaseDown        503  ServiceUnavailable: the database cannot serve, try again later
    │   ├── StoreLost       503  the database's file was deleted, replaced or cut
    │   └── StoreDamaged    503  stored data cannot be read
    │       └── ValueDamaged 503 an encrypted value was changed, or moved to another entry
    ├── EncryptionKeyMissing 503 ServiceUnavailable: a value is encrypted with another key
    └── OutcomeUnknown      503  OutcomeUnknown: the write may have been carried out

So `except buntime_keyval.NotFound` means the same in process and over HTTP. Input that breaks the
contract is `buntime_keyval.InvalidInput`, status 400.
"""

from __future__ import annotations

from typing import ClassVar

import buntime_database
import buntime_keyval
from buntime_keyval import NotFound, RateLimited, ServiceUnavailable, StatusError, TooLarge
from buntime_keyval.wire.tasks import no_task


class KeyValError(StatusError):
    """Base of the service's errors."""

    STATUS: ClassVar[int] = 500
    CODE: ClassVar[str | None] = None
    """The code in the body; None for errors whose body has none by contract."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, status=self.STATUS, code=self.CODE, retry_after=retry_after)

    def __str__(self) -> str:
        return self.message


class KeyNotFound(KeyValError, NotFound):
    """The key does not exist, or has expired."""

    STATUS = 404

    def __init__(self) -> None:
        super().__init__("Key not found")


class IndexNotFound(KeyValError, NotFound):
    """No full-text index was created for exactly this prefix."""

    STATUS = 404

    def __init__(self, prefix_json: str) -> None:
        super().__init__(f"No index found for prefix: {prefix_json}")


class LetterNotFound(KeyValError, NotFound):
    """There is no dead letter with this id."""

    STATUS = 404

    def __init__(self) -> None:
        super().__init__("Message not found in DLQ")


class MessageNotFound(KeyValError, NotFound):
    """The queue has no message with this id: it was settled, is a dead letter, or never was."""

    STATUS = 404
    CODE = "KEYVAL_MESSAGE_NOT_FOUND"

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"No message in the queue has the id {message_id}: it was settled, is a dead letter,"
            " or never was"
        )


class StaleLease(KeyValError, buntime_keyval.StaleLease):
    """The lease that was given is not the message's current one."""

    STATUS = 409
    CODE = "STALE_LEASE"

    def __init__(self) -> None:
        super().__init__("Lease is not current: the message was settled or delivered again")


class LockNotFound(KeyValError, NotFound):
    """The lock is not held."""

    STATUS = 404
    CODE = "LOCK_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"Nobody has the lock {name}")


class ScheduleNotFound(KeyValError, NotFound):
    """There is no schedule with this name."""

    STATUS = 404
    CODE = "KEYVAL_SCHEDULE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no schedule {name}")


class LockHeld(KeyValError, buntime_keyval.LockHeld):
    """Another owner has the lock, or is first in its line."""

    STATUS = 409
    CODE = "LOCK_HELD"

    def __init__(self, name: str, owner: str, expires_at: int) -> None:
        super().__init__(f"The lock {name} is held by {owner}")
        self.owner = owner
        self.expires_at = expires_at


class LockLost(KeyValError, buntime_keyval.LockLost):
    """The lock is not held under this token any more."""

    STATUS = 409
    CODE = "LOCK_LOST"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The lock {name} is not held under this token any more: it has ended, was released, or"
            " somebody else has it"
        )


class ConsumerNotFound(KeyValError, NotFound):
    """There is no consumer with this name: it has not fetched yet, or was deleted."""

    STATUS = 404
    CODE = "CONSUMER_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no consumer {name}: it begins with its first fetch")


class ConsumerLocked(KeyValError, buntime_keyval.ConsumerLocked):
    """Another owner holds this consumer."""

    STATUS = 409
    CODE = "CONSUMER_LOCKED"

    def __init__(self, name: str, owner: str, until: int) -> None:
        """`until` is in wall-clock milliseconds."""
        super().__init__(f"The consumer {name} is at work as {owner}")
        self.owner = owner
        self.until = until


class StaleConsumer(KeyValError, buntime_keyval.StaleConsumer):
    """The consumer is not held under this token any more. Nothing was done."""

    STATUS = 409
    CODE = "STALE_CONSUMER"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The consumer {name} is not held under this token any more: its time was over, its"
            " position was set, or another owner is at work. Fetch again"
        )


class PositionAhead(KeyValError, buntime_keyval.PositionAhead):
    """A position is beyond the end of the stream. Nothing was done."""

    STATUS = 409
    CODE = "STREAM_POSITION_AHEAD"

    def __init__(self, position: int, last: int) -> None:
        super().__init__(f"No record has the position {position} yet: the stream ends with {last}")


class TaskNotFound(KeyValError, NotFound):
    """There is no task with this id: it was removed, has expired, or never existed."""

    STATUS = 404
    CODE = "TASK_NOT_FOUND"

    def __init__(self, task_id: str) -> None:
        super().__init__(no_task(task_id))


class TaskConflict(KeyValError, buntime_keyval.TaskConflict):
    """The task is in a state that does not allow the operation."""

    STATUS = 409
    CODE = "TASK_CONFLICT"


class TaskLost(KeyValError, buntime_keyval.TaskLost):
    """The task is not leased under this token any more."""

    STATUS = 409
    CODE = "TASK_LOST"

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"The task {task_id} is not run under this token any more: its lease has ended and"
            " another runner has it, or it is over"
        )


class LimitExceeded(KeyValError, TooLarge):
    """The request asks for more than the configuration allows."""

    STATUS = 413
    CODE = "KEYVAL_LIMIT_EXCEEDED"

    def __init__(self, what: str, option: str, limit: int, right: str = "") -> None:
        """`what` is the excess, `option` the name of the limit, `right` a remedy."""
        super().__init__(f"{what} (limits.{option} is {limit}){right and ': '}{right}")


class TooLargeForDatabase(KeyValError, TooLarge):
    """The database server does not accept a value of this size."""

    STATUS = 413
    CODE = "KEYVAL_LIMIT_EXCEEDED"

    def __init__(self, said: str) -> None:
        """`said` is the message of the database."""
        super().__init__(f"The value is larger than the database server allows: {said}")


class QuotaExceeded(KeyValError, TooLarge):
    """The write would exceed a limit of the sender's key."""

    STATUS = 413
    CODE = "KEYVAL_QUOTA_EXCEEDED"

    def __init__(self, limit: str, most: int, where: str) -> None:
        """`limit` is the name of the limit, `where` the keys to which it applies."""
        super().__init__(
            f"There would be more than {most} {limit}{where}, which are the most of this key"
            f" (limits.keyval.{'prefixes.' if where else ''}{limit})"
        )


class RateExceeded(KeyValError, RateLimited):
    """The sender's key has made as many requests as it may in a second."""

    STATUS = 429
    CODE = "KEYVAL_RATE_EXCEEDED"

    def __init__(self, rate: float, retry_after: float) -> None:
        """`retry_after` is in seconds."""
        super().__init__(
            f"Too many requests: this key has {rate:g} a second (limits.keyval.requestsPerSecond)",
            retry_after=retry_after,
        )


class InvalidLimits(KeyValError, ServiceUnavailable):
    """The limits of the sender's key are invalid, so the key cannot be used."""

    STATUS = 503
    CODE = "KEYVAL_INVALID_LIMITS"

    def __init__(self, reason: str) -> None:
        super().__init__(f"limits.keyval of this key are wrong: {reason}")


class ConditionsNotSupported(KeyValError):
    """The request has a precondition that is not supported. Nothing was done."""

    STATUS = 501
    CODE = "KEYVAL_CONDITIONS_UNSUPPORTED"

    def __init__(self, header: str) -> None:
        super().__init__(
            f"{header} is for requests of one key: elsewhere say the versionstamp in a check of"
            " POST /atomic"
        )


class PreconditionFailed(KeyValError, buntime_keyval.PreconditionFailed):
    """The entry does not meet the conditions of the request. Nothing was done."""

    STATUS = 412
    CODE = "KEYVAL_PRECONDITION_FAILED"

    def __init__(self, versionstamp: str | None) -> None:
        """`versionstamp` is that of the present entry; None if it is missing."""
        is_so = "it does not exist" if versionstamp is None else f"it has {versionstamp}"
        super().__init__(f"The entry is not as the conditions of the request have it: {is_so}")
        self.versionstamp = versionstamp


class SearchNotSupported(KeyValError):
    """The database of the store has no full-text search."""

    STATUS = 501
    CODE = "KEYVAL_SEARCH_UNSUPPORTED"

    def __init__(self, engine: str) -> None:
        super().__init__(
            f"The database of this store ({engine}) has no full-text search: keep the store in one"
            " that has it, or filter with `where`"
        )


class RequestTooLong(KeyValError, ServiceUnavailable):
    """The request took longer than one may. Nothing was written."""

    STATUS = 503
    CODE = "KEYVAL_TIMEOUT"

    def __init__(self, limit: float | str) -> None:
        """`limit` is `limits.requestTime` in seconds, or the database's message about its own."""
        reason = limit
        if not isinstance(limit, str):
            reason = f"it took longer than limits.requestTime ({limit:g} s)"
        super().__init__(
            f"The request was given up: {reason}. Ask for less at a time: a narrower range, fewer"
            " conditions, pages"
        )


class TooManyScans(KeyValError, ServiceUnavailable):
    """Too many requests of one client that scan the store are waiting."""

    STATUS = 503
    CODE = "KEYVAL_TOO_MANY_SCANS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Too many requests that scan the store are waiting (at most {limit})")


class SnapshotGone(KeyValError, buntime_keyval.SnapshotGone):
    """The snapshot is not held any more, and entries of the page have changed."""

    STATUS = 410
    CODE = "KEYVAL_SNAPSHOT_GONE"

    def __init__(self) -> None:
        super().__init__("The snapshot is not there any more: begin again without a cursor")


class StreamTrimmed(KeyValError, buntime_keyval.StreamTrimmed):
    """Records after the requested position are gone."""

    STATUS = 410
    CODE = "STREAM_TRIMMED"

    def __init__(self, first: int) -> None:
        super().__init__(
            f"Records behind this position were removed: the stream begins with {first}"
        )
        self.first = first


class RequestUnderWay(KeyValError, buntime_keyval.RequestUnderWay):
    """The first request with this idempotency key is not answered yet."""

    STATUS = 409
    CODE = "KEYVAL_REQUEST_UNDER_WAY"

    def __init__(self) -> None:
        super().__init__("A request with this idempotency key is still under way: try again later")


class IdempotencyKeyReused(KeyValError, buntime_keyval.IdempotencyKeyReused):
    """The idempotency key was used for another request."""

    STATUS = 422
    CODE = "KEYVAL_IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another request: take a new one")


class TooManyStreams(KeyValError, ServiceUnavailable):
    """As many streams are open as the configuration allows."""

    STATUS = 503
    CODE = "KEYVAL_TOO_MANY_STREAMS"

    def __init__(self, option: str, limit: int) -> None:
        super().__init__(f"Too many open streams ({option} is {limit})")


class TooManyStreamsOfClient(KeyValError, RateLimited):
    """As many streams of one client are open as the configuration allows."""

    STATUS = 429
    CODE = "KEYVAL_TOO_MANY_STREAMS"

    def __init__(self, option: str, limit: int) -> None:
        super().__init__(f"Too many open streams of this client ({option} is {limit})")


class TooManyStreamsOfKey(KeyValError, RateLimited):
    """As many streams of the sender's key are open as it may have."""

    STATUS = 429
    CODE = "KEYVAL_TOO_MANY_STREAMS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Too many open streams of this key (limits.keyval.watchers is {limit})")


class KeyValUnavailable(KeyValError, ServiceUnavailable):
    """The plugin is not initialised, is shutting down, or has shut down. Nothing was done."""

    STATUS = 503
    CODE = "KEYVAL_UNAVAILABLE"

    def __init__(self, reason: str = "KeyVal storage not initialized") -> None:
        super().__init__(reason)


class StoreMoving(KeyValError, ServiceUnavailable, buntime_database.DatabaseUnavailable):
    """The store refuses writes for a moment, while a move to another database is completed."""

    STATUS = 503
    CODE = "KEYVAL_MOVING"

    def __init__(self, other: str) -> None:
        super().__init__(
            f"The store is being moved to {other} and takes no writes for a moment. Nothing was"
            " written: try again",
            retry_after=1,
        )


class StoreMoved(KeyValError, ServiceUnavailable, buntime_database.DatabaseUnavailable):
    """The store was moved to another database, and refuses writes."""

    STATUS = 503
    CODE = "KEYVAL_MOVED"

    def __init__(self, other: str) -> None:
        super().__init__(
            f"The store was moved to {other}, and nothing is written here any more: start the"
            " server with that database",
            retry_after=5,
        )


class ValuesEncrypted(KeyValError):
    """The request needs the contents of values that are encrypted."""

    STATUS = 422
    CODE = "KEYVAL_VALUES_ENCRYPTED"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs values that are encrypted: ask of other keys, below other prefixes"
        )


class EncryptionKeyMissing(KeyValError, ServiceUnavailable, buntime_database.DatabaseUnavailable):
    """A value is encrypted with a key that this process does not have."""

    STATUS = 503
    CODE = "KEYVAL_ENCRYPTION_KEY_MISSING"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A value is encrypted with the key {name!r}, which is not among encryption.keys"
        )


class DatabaseDown(KeyValError, ServiceUnavailable):
    """The database cannot serve the request now. Nothing was written."""

    STATUS = 503
    CODE = "KEYVAL_DB_DOWN"

    def __init__(self, detail: str) -> None:
        super().__init__(f"KeyVal storage unavailable: {detail}")


class StoreLost(DatabaseDown):
    """The file of the database is gone; nothing is served until it is back and opened again."""

    CODE = "KEYVAL_DB_LOST"


class StoreDamaged(DatabaseDown):
    """The database is damaged, and data that the request needs cannot be read."""

    CODE = "KEYVAL_DB_CORRUPT"


class ValueDamaged(StoreDamaged, buntime_database.DatabaseUnavailable):
    """An encrypted value was tampered with, or belongs to another entry."""


class OutcomeUnknown(KeyValError, buntime_keyval.OutcomeUnknown, buntime_database.OutcomeUnknown):
    """The answer of the database to a commit was lost: everything was written, or nothing."""

    STATUS = 503
    CODE = "KEYVAL_OUTCOME_UNKNOWN"

    def __init__(self, detail: str) -> None:
        super().__init__(f"The write may have been applied or not: {detail}")


def outcome_unknown(error: buntime_database.OutcomeUnknown) -> OutcomeUnknown:
    """The error for callers of the store, from this one of its database."""
    if isinstance(error, OutcomeUnknown):
        return error
    told = OutcomeUnknown(str(error))
    told.__cause__ = error
    return told


def database_down(error: buntime_database.DatabaseUnavailable) -> DatabaseDown:
    """The most specific error for a database that cannot serve."""
    match error:
        case buntime_database.DatabaseLost():
            return StoreLost(str(error))
        case buntime_database.DatabaseDamaged():
            return StoreDamaged(str(error))
        case _:
            return DatabaseDown(str(error))

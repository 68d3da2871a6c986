"""Errors of the key-value service, in process and over HTTP.

The head of each says its status and its code over HTTP, and, by its base, the exception that a
client of the answer raises: so `except buntime_keyval.NotFound` means the same in process and over
HTTP. Input that breaks the contract is `buntime_keyval.InvalidInput`, status 400.
"""

from __future__ import annotations

from typing import ClassVar

import buntime_database
import buntime_keyval
from buntime_keyval import NotFound, RateLimited, ServiceUnavailable, StatusError, TooLarge
from buntime_keyval.wire.tasks import no_task


class KeyValError(StatusError):
    """Base of the service's errors."""

    STATUS: ClassVar[int]
    CODE: ClassVar[str | None] = None
    """The code in the body; None for errors whose body has none by contract."""

    def __init_subclass__(cls, *, status: int | None = None, code: str | None = None) -> None:
        cls.STATUS, cls.CODE = status or cls.STATUS, code or cls.CODE

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, status=self.STATUS, code=self.CODE, retry_after=retry_after)

    def __str__(self) -> str:
        return self.message


class KeyNotFound(KeyValError, NotFound, status=404):
    """The key does not exist, or has expired."""

    def __init__(self) -> None:
        super().__init__("Key not found")


class IndexNotFound(KeyValError, NotFound, status=404):
    """No full-text index was created for exactly this prefix."""

    def __init__(self, prefix_json: str) -> None:
        super().__init__(f"No index found for prefix: {prefix_json}")


class LetterNotFound(KeyValError, NotFound, status=404):
    """There is no dead letter with this id."""

    def __init__(self) -> None:
        super().__init__("Message not found in DLQ")


class MessageNotFound(KeyValError, NotFound, status=404, code="KEYVAL_MESSAGE_NOT_FOUND"):
    """The queue has no message with this id: it was settled, is a dead letter, or never was."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"No message in the queue has the id {message_id}: it was settled, is a dead letter,"
            " or never was"
        )


class StaleLease(KeyValError, buntime_keyval.StaleLease, status=409, code="STALE_LEASE"):
    """The lease that was given is not the message's current one."""

    def __init__(self) -> None:
        super().__init__("Lease is not current: the message was settled or delivered again")


class LockNotFound(KeyValError, NotFound, status=404, code="LOCK_NOT_FOUND"):
    """The lock is not held."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Nobody has the lock {name}")


class ScheduleNotFound(KeyValError, NotFound, status=404, code="KEYVAL_SCHEDULE_NOT_FOUND"):
    """There is no schedule with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no schedule {name}")


class LockHeld(KeyValError, buntime_keyval.LockHeld, status=409, code="LOCK_HELD"):
    """Another owner has the lock, or is first in its line."""

    def __init__(self, name: str, owner: str, expires_at: int) -> None:
        super().__init__(f"The lock {name} is held by {owner}")
        self.owner = owner
        self.expires_at = expires_at


class LockLost(KeyValError, buntime_keyval.LockLost, status=409, code="LOCK_LOST"):
    """The lock is not held under this token any more."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The lock {name} is no longer held under this token: it has ended, was released, or"
            " has another owner"
        )


class ConsumerNotFound(KeyValError, NotFound, status=404, code="CONSUMER_NOT_FOUND"):
    """There is no consumer with this name: it has not fetched yet, or was deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no consumer {name}: it begins with its first fetch")


class ConsumerLocked(
    KeyValError, buntime_keyval.ConsumerLocked, status=409, code="CONSUMER_LOCKED"
):
    """Another owner holds this consumer."""

    def __init__(self, name: str, owner: str, until: int) -> None:
        """`until` is in wall-clock milliseconds."""
        super().__init__(f"The consumer {name} is at work as {owner}")
        self.owner = owner
        self.until = until


class StaleConsumer(KeyValError, buntime_keyval.StaleConsumer, status=409, code="STALE_CONSUMER"):
    """The consumer is not held under this token any more. Nothing was done."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The consumer {name} is not held under this token any more: its time was over, its"
            " position was set, or another owner is at work. Fetch again"
        )


class PositionAhead(
    KeyValError, buntime_keyval.PositionAhead, status=409, code="STREAM_POSITION_AHEAD"
):
    """A position is beyond the end of the stream. Nothing was done."""

    def __init__(self, position: int, last: int) -> None:
        super().__init__(f"No record has the position {position} yet: the stream ends with {last}")


class TaskNotFound(KeyValError, NotFound, status=404, code="TASK_NOT_FOUND"):
    """There is no task with this id: it was removed, has expired, or never existed."""

    def __init__(self, task_id: str) -> None:
        super().__init__(no_task(task_id))


class TaskConflict(KeyValError, buntime_keyval.TaskConflict, status=409, code="TASK_CONFLICT"):
    """The task is in a state that does not allow the operation."""


class TaskLost(KeyValError, buntime_keyval.TaskLost, status=409, code="TASK_LOST"):
    """The task is not leased under this token any more."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"The task {task_id} is not run under this token any more: its lease has ended and"
            " another runner has it, or it is over"
        )


class LimitExceeded(KeyValError, TooLarge, status=413, code="KEYVAL_LIMIT_EXCEEDED"):
    """The request asks for more than the configuration allows."""

    def __init__(self, what: str, option: str, limit: int, right: str = "") -> None:
        """`what` is the excess, `option` the name of the limit, `right` a remedy."""
        super().__init__(f"{what} (limits.{option} is {limit}){right and ': '}{right}")


class TooLargeForDatabase(KeyValError, TooLarge, status=413, code="KEYVAL_LIMIT_EXCEEDED"):
    """The database server does not accept a value of this size."""

    def __init__(self, said: str) -> None:
        """`said` is the message of the database."""
        super().__init__(f"The value is larger than the database server allows: {said}")


class QuotaExceeded(KeyValError, TooLarge, status=413, code="KEYVAL_QUOTA_EXCEEDED"):
    """The write would exceed a limit of the sender's key."""

    def __init__(self, limit: str, most: int, where: str) -> None:
        """`limit` is the name of the limit, `where` the keys to which it applies."""
        super().__init__(
            f"There would be more than {most} {limit}{where}, which are the most of this key"
            f" (limits.keyval.{'prefixes.' if where else ''}{limit})"
        )


class RateExceeded(KeyValError, RateLimited, status=429, code="KEYVAL_RATE_EXCEEDED"):
    """The sender's key has made as many requests as it may in a second."""

    def __init__(self, rate: float, retry_after: float) -> None:
        """`retry_after` is in seconds."""
        super().__init__(
            f"Too many requests: this key has {rate:g} a second (limits.keyval.requestsPerSecond)",
            retry_after=retry_after,
        )


class InvalidLimits(KeyValError, ServiceUnavailable, status=503, code="KEYVAL_INVALID_LIMITS"):
    """The limits of the sender's key are invalid, so the key cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"limits.keyval of this key are wrong: {reason}")


class ConditionsNotSupported(KeyValError, status=501, code="KEYVAL_CONDITIONS_UNSUPPORTED"):
    """The request has a precondition that is not supported. Nothing was done."""

    def __init__(self, header: str) -> None:
        super().__init__(
            f"{header} is for requests of one key: elsewhere give the versionstamp in a check of"
            " POST /atomic"
        )


class PreconditionFailed(
    KeyValError, buntime_keyval.PreconditionFailed, status=412, code="KEYVAL_PRECONDITION_FAILED"
):
    """The entry does not meet the conditions of the request. Nothing was done."""

    def __init__(self, versionstamp: str | None) -> None:
        """`versionstamp` is that of the present entry; None if it is missing."""
        is_so = "it does not exist" if versionstamp is None else f"it has {versionstamp}"
        super().__init__(f"The entry is not as the conditions of the request have it: {is_so}")
        self.versionstamp = versionstamp


class SearchNotSupported(KeyValError, status=501, code="KEYVAL_SEARCH_UNSUPPORTED"):
    """The database of the store has no full-text search."""

    def __init__(self, engine: str) -> None:
        super().__init__(
            f"The database of this store ({engine}) has no full-text search: keep the store in one"
            " that has it, or filter with `where`"
        )


class RequestTooLong(KeyValError, ServiceUnavailable, status=503, code="KEYVAL_TIMEOUT"):
    """The request took longer than one may. Nothing was written."""

    def __init__(self, limit: float | str) -> None:
        """`limit` is `limits.requestTime` in seconds, or the database's message about its own."""
        reason = limit
        if not isinstance(limit, str):
            reason = f"it took longer than limits.requestTime ({limit:g} s)"
        super().__init__(
            f"The request was given up: {reason}. Ask for less at a time: a narrower range, fewer"
            " conditions, pages"
        )


class TooManyScans(KeyValError, ServiceUnavailable, status=503, code="KEYVAL_TOO_MANY_SCANS"):
    """Too many requests of one client that scan the store are waiting."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Too many requests that scan the store are waiting (at most {limit})")


class SnapshotGone(
    KeyValError, buntime_keyval.SnapshotGone, status=410, code="KEYVAL_SNAPSHOT_GONE"
):
    """The snapshot is not held any more, and entries of the page have changed."""

    def __init__(self) -> None:
        super().__init__("The snapshot is not there any more: begin again without a cursor")


class StreamTrimmed(KeyValError, buntime_keyval.StreamTrimmed, status=410, code="STREAM_TRIMMED"):
    """Records after the requested position are gone."""

    def __init__(self, first: int) -> None:
        super().__init__(
            f"Records after this position were removed: the stream begins with {first}"
        )
        self.first = first


class RequestUnderWay(
    KeyValError, buntime_keyval.RequestUnderWay, status=409, code="KEYVAL_REQUEST_UNDER_WAY"
):
    """The first request with this idempotency key is not answered yet."""

    def __init__(self) -> None:
        super().__init__("A request with this idempotency key is still under way: try again later")


class IdempotencyKeyReused(KeyValError, buntime_keyval.IdempotencyKeyReused):
    """The idempotency key was used for another request."""

    STATUS = 422
    CODE = "KEYVAL_IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another request: take a new one")


class TooManyStreams(KeyValError, ServiceUnavailable, status=503, code="KEYVAL_TOO_MANY_STREAMS"):
    """As many streams are open as the configuration allows."""

    def __init__(self, option: str, limit: int) -> None:
        super().__init__(f"Too many open streams ({option} is {limit})")


class TooManyStreamsOfClient(KeyValError, RateLimited, status=429, code="KEYVAL_TOO_MANY_STREAMS"):
    """As many streams of one client are open as the configuration allows."""

    def __init__(self, option: str, limit: int) -> None:
        super().__init__(f"Too many open streams of this client ({option} is {limit})")


class TooManyStreamsOfKey(KeyValError, RateLimited, status=429, code="KEYVAL_TOO_MANY_STREAMS"):
    """As many streams of the sender's key are open as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Too many open streams of this key (limits.keyval.watchers is {limit})")


class KeyValUnavailable(KeyValError, ServiceUnavailable, status=503, code="KEYVAL_UNAVAILABLE"):
    """The plugin is not initialised, is shutting down, or has shut down. Nothing was done."""

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


class ValuesEncrypted(KeyValError, status=422, code="KEYVAL_VALUES_ENCRYPTED"):
    """The request needs the contents of values that are encrypted."""

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


class DatabaseDown(KeyValError, ServiceUnavailable, status=503, code="KEYVAL_DB_DOWN"):
    """The database cannot serve the request now. Nothing was written."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"KeyVal storage unavailable: {detail}")


class StoreLost(DatabaseDown, code="KEYVAL_DB_LOST"):
    """The file of the database is gone; nothing is served until it is back and opened again."""


class StoreDamaged(DatabaseDown, code="KEYVAL_DB_CORRUPT"):
    """The database is damaged, and data that the request needs cannot be read."""


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

"""Effects on messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from buntime_database import Guard, Statement
from buntime_keyval.wire import key_to_json
from buntime_keyval.wire.commits import DEFAULT_OPTIONS, DEFAULT_PAUSES_MS, MessageOptions

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements

ID_MS = 24 * 60 * 60 * 1000
"""How long nothing more is sent under an id that a sender chose."""

LEASE_BYTES = 1024 * 1024
"""The most bytes of values of messages leased together, except that the first always is."""


def _array(items: Iterable[str]) -> str:
    """A JSON array of items that are JSON."""
    return f"[{','.join(items)}]"


def _attempts(pauses_ms: Sequence[int]) -> tuple[int, str]:
    """The number of attempts, one more than there are pauses, and the pauses as a JSON array."""
    return len(pauses_ms) + 1, _array(map(str, pauses_ms))


_DEFAULT_ATTEMPTS = _attempts(DEFAULT_PAUSES_MS)


class Enqueue(msgspec.Struct, frozen=True, gc=False):
    id: str
    value: str
    options: MessageOptions

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        options = self.options
        now_ms = at.now_ms
        if options is DEFAULT_OPTIONS:  # the usual case
            default = (self.id, self.value, now_ms, *_DEFAULT_ATTEMPTS, "[]", at.wall_ms, now_ms)
            return sql.queue.enqueue(default)
        ready_at = now_ms + options.delay_ms
        pauses = options.pauses_ms
        attempts = _DEFAULT_ATTEMPTS if pauses is None else _attempts(pauses)
        keys = options.keys_if_undelivered
        row = (
            self.id,
            self.value,
            ready_at,
            *attempts,
            _array(map(key_to_json, keys)) if keys else "[]",
            at.wall_ms,
            now_ms,
        )
        if options.queue or options.priority or options.id is not None:
            to = (options.queue, options.priority, int(options.pauses_ms is not None))
            if options.id is not None:
                return sql.queues.enqueue_once(row, to, now_ms + ID_MS)
            return sql.queue.enqueue_to(row, to)
        return sql.queue.enqueue(row)


class Lease(msgspec.Struct, frozen=True, gc=False):
    """Lease at most `limit` messages. The deliveries count only by `Count`."""

    limit: int
    duration_ms: int
    queue: str | None = None
    """The queue; None for plain messages only: see `QueueSql`."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        now_ms = at.now_ms
        args = (versionstamp, now_ms + self.duration_ms, now_ms, self.limit)  # ?1 to ?4
        if self.queue is not None:
            return (
                Statement(sql.queue.lease_of, (*args, LEASE_BYTES, self.queue)),
                Statement(sql.queues.start, (self.queue, now_ms, versionstamp)),
                Statement(sql.queues.forget_starts, (self.queue, now_ms)),
            )
        if self.limit == 1:
            return (Statement(sql.queue.lease, args),)
        return (Statement(sql.queue.lease_several, (*args, LEASE_BYTES)),)

    def recall(self, sql: Dialect, versionstamp: str) -> str | None:
        """SQL that recalls the leased messages, for a `Batch`; None if the dialect has none."""
        leased = sql.queue.leased
        return None if leased is None else leased(versionstamp)


class Count(msgspec.Struct, frozen=True, gc=False):
    """Count the delivery of a message under this lease. Idempotent."""

    id: str
    lease: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.count_delivery, (self.id, self.lease)),)


class Settle(msgspec.Struct, frozen=True, gc=False):
    """Remove a processed message; only under this lease and in this queue, if given."""

    id: str
    lease: str | None
    queue: str | None = None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.settle, (self.id, self.lease, self.queue)),)


class Discard(Settle, frozen=True, gc=False):
    """Remove a processed message, without telling whether it was there."""


class Extend(msgspec.Struct, frozen=True, gc=False):
    """Prolong the lease of a message, from now on; only this lease if one is given."""

    id: str
    lease: str | None
    duration_ms: int
    is_usual: bool
    """Whether the queue's own duration applies, if it has one."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        now_ms = at.now_ms
        end = now_ms + self.duration_ms
        args = (end, now_ms, self.id, self.lease, int(self.is_usual))
        return (Statement(sql.queue.extend, args),)


class GiveBack(msgspec.Struct, frozen=True, gc=False):
    """End a lease at once: the message can be delivered again.

    Not after the last attempt: the consumer may still settle the message until its lease runs out,
    and only then does it become a dead letter.
    """

    id: str
    lease: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.give_back, (self.id, self.lease)),)


class Undeliver(msgspec.Struct, frozen=True, gc=False):
    """End a lease as if there had been none, since the message was not begun."""

    id: str
    lease: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.undeliver, (self.id, self.lease)),)


class Retry(msgspec.Struct, frozen=True, gc=False):
    """Deliver a message again after a pause."""

    id: str
    pause_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        ready_at = at.now_ms + self.pause_ms
        return (Statement(sql.queue.retry, (ready_at, at.now_ms, self.id)),)


class Bury(msgspec.Struct, frozen=True, gc=False):
    """Move a message to the dead letters."""

    id: str
    letter_id: str
    error_message: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (
            Statement(
                sql.queue.bury, (self.letter_id, self.error_message, at.wall_ms, at.now_ms, self.id)
            ),
            Statement(sql.queue.remove, (self.id,)),
        )


class Requeue(msgspec.Struct, frozen=True, gc=False):
    """Turn a dead letter into a new message, with its schedule and no attempts."""

    letter_id: str
    new_id: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        now_ms, wall_ms = at
        args = (self.new_id, now_ms, wall_ms, self.letter_id)
        return (
            Statement(sql.queue.requeue, args),
            Statement(sql.queue.forget_letter, (self.letter_id,)),
        )


class Forget(msgspec.Struct, frozen=True, gc=False):
    """Delete one dead letter."""

    letter_id: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.forget_letter, (self.letter_id,)),)


class ForgetAll(msgspec.Struct, frozen=True, gc=False):
    """Delete all dead letters of a queue."""

    queue: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.forget_letters, (self.queue,)),)


class ForgetOld(msgspec.Struct, frozen=True, gc=False):
    """Delete at most `limit` dead letters of at least this age, the oldest first."""

    age_ms: int
    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queue.forget_old_letters, (at.now_ms - self.age_ms, self.limit)),)


def same_delivery(
    sql: Dialect, id: str, attempts: int, visible_at: int, lease: str | None
) -> Guard:
    """Holds while this delivery of the message is the latest, unsettled and not extended."""
    return Guard(sql.queue.same_delivery, (id, attempts, visible_at, lease))

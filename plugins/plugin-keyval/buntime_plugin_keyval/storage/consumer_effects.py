"""Effects on consumers of the stream. Positions are those of the log."""

from __future__ import annotations

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.consumers import LOCK_MARK
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements


class Begin(msgspec.Struct, frozen=True, gc=False):
    """Let a consumer begin at the first record, unless it has begun."""

    name: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.consumers.begin, (self.name, at.now_ms)),)


class Advance(msgspec.Struct, frozen=True, gc=False):
    """Mark all records up to a position as processed, and the dead letter of that one."""

    name: str
    position: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        consumers = sql.consumers
        return (
            Statement(consumers.advance, (self.name, self.position, at.now_ms)),
            Statement(consumers.settle, (self.name, self.position)),
        )


class Fail(msgspec.Struct, frozen=True, gc=False):
    """Count a failed attempt at a record, after all before it were processed; give it up after the
    last attempt."""

    name: str
    position: int
    error: str | None
    max_attempts: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        consumers, now_ms = sql.consumers, at.now_ms
        record = (self.name, self.position)
        return (
            Statement(consumers.fail, (*record, self.error, now_ms)),
            Statement(consumers.bury, (*record, self.max_attempts, now_ms)),
            Statement(consumers.skip, (*record, self.max_attempts)),
        )


class FailAgain(msgspec.Struct, frozen=True, gc=False):
    """Count a failed attempt at a dead letter that was delivered once more."""

    name: str
    position: int
    error: str | None
    max_attempts: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.position, self.error, self.max_attempts, at.now_ms)
        return (Statement(sql.consumers.fail_again, args),)


class Move(msgspec.Struct, frozen=True, gc=False):
    """Set the position of a consumer; the holder of its lock loses it."""

    name: str
    position: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.position, at.now_ms)
        unlock = Statement(sql.consumers.unlock, (lock_of(self.name),))
        return (Statement(sql.consumers.move, args), unlock)


class Dismiss(msgspec.Struct, frozen=True, gc=False):
    """Remove a consumer, its dead letters and its lock."""

    name: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        consumers = sql.consumers
        return (
            Statement(consumers.remove, (self.name,)),
            Statement(consumers.remove_letters, (self.name, None)),
            Statement(consumers.unlock, (lock_of(self.name),)),
        )


class Redeliver(msgspec.Struct, frozen=True, gc=False):
    """Deliver a dead letter once more; all of them if none is named."""

    name: str
    position: int | None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.consumers.requeue, (self.name, self.position)),)


class RemoveLetters(msgspec.Struct, frozen=True, gc=False):
    """Remove a dead letter; all of them if none is named."""

    name: str
    position: int | None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.consumers.remove_letters, (self.name, self.position)),)


ConsumerEffect = Begin | Advance | Fail | FailAgain | Move | Dismiss | Redeliver | RemoveLetters


def lock_of(consumer: str) -> str:
    """The name of the lock that the active instance of a consumer holds."""
    return LOCK_MARK + consumer


def is_its_holder(
    sql: Dialect, consumer: str, token: str, owner: str | None, position: int, now_ms: int
) -> Guard:
    """Holds while a consumer is held under this token, by this owner if one is given, and the log
    has a record at or after the position."""
    return Guard(sql.consumers.holds, (lock_of(consumer), token, owner, now_ms, position))

"""Effects on queues themselves."""

from __future__ import annotations

import msgspec
from buntime_database import Statement
from buntime_keyval import QueueOptions

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Pause or resume a queue."""

    queue: str
    is_paused: bool

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (
            Statement(sql.queues.pause, (self.queue, int(self.is_paused))),
            Statement(sql.queues.tidy, (self.queue,)),
        )


class SetOptions(msgspec.Struct, frozen=True, gc=False):
    """Replace the options of a queue, except whether it is paused."""

    queue: str
    options: QueueOptions

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        _, lease, backoff, most, rate = msgspec.structs.astuple(self.options)
        pauses = None if backoff is None else msgspec.json.encode(backoff).decode()
        count, per = (None, None) if rate is None else (rate.count, rate.per)
        args = (self.queue, lease, pauses, most, count, per)
        return (Statement(sql.queues.set_options, args), Statement(sql.queues.tidy, (self.queue,)))


class Purge(msgspec.Struct, frozen=True, gc=False):
    """Remove all messages of a queue."""

    queue: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queues.purge, (self.queue,)),)


class ForgetIds(msgspec.Struct, frozen=True, gc=False):
    """Forget at most `limit` given ids whose time is over."""

    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.queues.forget_ids, (at.now_ms, self.limit)),)

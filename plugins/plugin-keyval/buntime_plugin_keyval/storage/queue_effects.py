"""What a commit does to queues as such."""

from __future__ import annotations

import msgspec
from buntime_database import Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.messages import QueueSettings
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Let a queue deliver nothing until it is resumed; or resume it."""

    queue: str
    is_paused: bool

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        return (
            Statement(sql.queues.pause, (self.queue, int(self.is_paused))),
            Statement(sql.queues.tidy, (self.queue,)),
        )


class SetOptions(msgspec.Struct, frozen=True, gc=False):
    """Say of a queue how it delivers; whether it is paused stays as it is."""

    queue: str
    options: QueueSettings

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        _, lease, backoff, most, rate = msgspec.structs.astuple(self.options)
        pauses = None if backoff is None else msgspec.json.encode(backoff).decode()
        count, per = (None, None) if rate is None else (rate.count, rate.per)
        args = (self.queue, lease, pauses, most, count, per)
        return (
            Statement(sql.queues.set_options, args),
            Statement(sql.queues.tidy, (self.queue,)),
        )


class Purge(msgspec.Struct, frozen=True, gc=False):
    """Remove all messages of a queue."""

    queue: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        return (Statement(sql.queues.purge, (self.queue,)),)


class ForgetIds(msgspec.Struct, frozen=True, gc=False):
    """Forget at most `limit` ids under which something may be sent again."""

    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`."""
        return (Statement(sql.queues.forget_ids, (at.now_ms, self.limit)),)

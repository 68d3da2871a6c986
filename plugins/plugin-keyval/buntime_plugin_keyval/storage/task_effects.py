"""Effects on tasks. Those on their messages are in `message_effects.py`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from buntime_database import Guard, Statement
from buntime_keyval.wire.tasks import NewTask

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements
from buntime_plugin_keyval.storage.dialects.tasks import MARK


class AddTask(msgspec.Struct, frozen=True, gc=False):
    """Add a task, unless its id exists, or an unfinished one with its name and unique text.

    The count of the effect is 1 for a new task, else 0.
    """

    id: str
    task: NewTask

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        tasks, it = sql.tasks, self.task.options
        ready_at = at.now_ms + it.delay_ms
        if it.scheduled_for is not None:
            ready_at = at.now_ms + max(0, it.scheduled_for - at.wall_ms)
        row = (
            *(self.id, self.task.name, self.task.payload, it.priority, it.max_retries),
            *(_json(it.pauses_ms), it.timeout_ms, it.unique, it.sequence, it.parent),
            *(_json(it.after or None), it.keep_ms, ready_at, at.now_ms, at.wall_ms),
        )
        added = Statement(tasks.add, row)
        offer = Statement(tasks.offer, (self.id, at.now_ms))
        if not it.after:
            return added, offer
        return (
            added,
            Statement(tasks.arrange, (self.id,)),
            Statement(tasks.fail_early, (self.id, at.now_ms, at.wall_ms)),
            offer,
        )


class BeginTasks(msgspec.Struct, frozen=True, gc=False):
    """Note the runner of the tasks of one name that the `Lease` before it has leased."""

    name: str
    runner: str
    duration_ms: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        ends_at = at.now_ms + self.duration_ms
        args = (MARK + self.name, versionstamp, ends_at, self.runner, at.wall_ms, self.duration_ms)
        return (Statement(sql.tasks.start, args),)


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Note that a task is not run under this lease any more; it has further attempts."""

    id: str
    lease: str
    error: str | None = None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.tasks.stop, (self.id, self.lease, self.error)),)


class Finish(msgspec.Struct, frozen=True, gc=False):
    """End a task that is not cancelled; only under this lease, if one is given."""

    id: str
    lease: str | None
    status: str
    result: str | None = None
    error: str | None = None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.id, self.lease, self.status, self.result, self.error, at.now_ms, at.wall_ms)
        return (Statement(sql.tasks.finish, args),)


class CompletedTask(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A task that a runner has completed; encoded as an array for statements."""

    id: str
    lease: str
    result: str = "null"
    """Canonical JSON."""


class CompleteTasks(msgspec.Struct, frozen=True, gc=False):
    """Complete those of the tasks that have these leases; the count is their number."""

    done: Sequence[CompletedTask]

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        told = msgspec.json.encode(self.done).decode()
        return (Statement(sql.tasks.complete, (told, at.now_ms, at.wall_ms)),)


class CancelTask(msgspec.Struct, frozen=True, gc=False):
    """Cancel a task that is not over. While it is being run, it keeps its place."""

    id: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (
            Statement(sql.tasks.cancel, (self.id, at.now_ms, at.wall_ms)),
            Statement(sql.tasks.hold, (self.id,)),
        )


class LeavePlace(msgspec.Struct, frozen=True, gc=False):
    """Give up the place of a cancelled task, which is not run any more (under this lease)."""

    id: str
    lease: str | None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.id, self.lease, at.now_ms, at.wall_ms)
        return (Statement(sql.tasks.leave, args),)


class Progress(msgspec.Struct, frozen=True, gc=False):
    """Store the progress that a runner reports."""

    id: str
    lease: str
    progress: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.tasks.progress, (self.id, self.lease, self.progress)),)


class Again(msgspec.Struct, frozen=True, gc=False):
    """Reset a task that failed or was cancelled, to be run again."""

    id: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        tasks = sql.tasks
        return (
            Statement(tasks.again, (self.id, at.now_ms)),
            Statement(tasks.arrange, (self.id,)),
            Statement(tasks.fail_early, (self.id, at.now_ms, at.wall_ms)),
            Statement(tasks.offer, (self.id, at.now_ms)),
        )


class ForgetTask(msgspec.Struct, frozen=True, gc=False):
    """Remove a task that is over."""

    id: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.tasks.forget, (self.id,)),)


class ForgetOldTasks(msgspec.Struct, frozen=True, gc=False):
    """Remove at most `limit` tasks that need not be kept any longer."""

    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.tasks.forget_old, (at.now_ms, self.limit)),)


TaskEffect = (
    AddTask
    | BeginTasks
    | Stop
    | Finish
    | CompleteTasks
    | CancelTask
    | LeavePlace
    | Progress
    | Again
    | ForgetTask
    | ForgetOldTasks
)

CALLING = (AddTask, Stop, Finish, CompleteTasks, CancelTask, LeavePlace, Again)
"""Effects after which there may be tasks to run, or an end to report."""


def message_id(task_id: str) -> str:
    """The id of a task's message."""
    return MARK + task_id


def is_leased(sql: Dialect, task_id: str, lease: str) -> Guard:
    """Holds while a task has this lease, or no other one."""
    return Guard(sql.tasks.is_leased, (message_id(task_id), lease))


def _json(items: Sequence[int] | Sequence[str] | None) -> str | None:
    return None if items is None else msgspec.json.encode(items).decode()

"""Tasks: named work whose state and result are kept.

A task that may run has a message in the queue, whose operations give, prolong and end its lease;
the operations here are about everything that a message does not have. Its queue and its id are
those of the task behind `MARK`, which names of callers cannot have.
"""

from __future__ import annotations

from typing import NamedTuple

MARK = "\x01"
"""Stands before the name of a task in that of its queue, and before its id in that of its
message."""

FINISHED = ("completed", "failed", "cancelled")
UNFINISHED = ("pending", "running")
STATUSES = (*UNFINISHED, *FINISHED)
"""Those that a task has, as they are stored. One that is stored as running and whose lease is over
is pending."""


class TaskSql(NamedTuple):
    """Operations on tasks.

    A row of a task has its number, id, name, status as it is now, payload, attempts, most retries,
    backoff and timeout, priority, text of uniqueness, sequence, parent, tasks before it as a JSON
    array, how long it is kept, when it is ready, when it was created, started and completed, last
    error, result, progress, last runner, its lease and how long that was to last, the lease of its
    message and when that can be leased again. This and the ready time are the store's, all other
    times those on the wall.
    """

    add: str
    """Id, name, payload, priority, most retries, backoff, timeout, text of uniqueness, sequence,
    parent, tasks before it, time that it is kept, ready time, now, time on the wall: a new task,
    unless there is one with this id, or an unfinished one with this name and text."""
    arrange: str
    """Id: notes which unfinished tasks come before it, if it does not run yet."""
    fail_early: str
    """Id, now, time on the wall: fails it if one before it can not be completed any more."""
    offer: str
    """Id, now: lets it run, unless it is over or has to wait for others."""
    start: str
    """Queue, lease, end of the lease, runner, time on the wall, duration: says who runs
    what was leased."""
    stop: str
    """Id, lease, last error or NULL: it no longer runs under this lease."""
    finish: str
    """Id, lease or NULL, status, result, last error, now, time on the wall: it is over, unless it
    is cancelled; only if it is leased so, where there is a lease."""
    complete: str
    """JSON array of arrays of an id, a lease and a result, now, time on the wall: those that are
    leased so, and are not cancelled, are completed."""
    cancel: str
    """Id, now, time on the wall: cancels it. One that runs is not over before that ends,
    so that others do not get its place."""
    hold: str
    """Id: leaves the message of one that is cancelled no attempt behind the one that runs."""
    leave: str
    """Id, lease or NULL, now, time on the wall: one that is cancelled is over, since it no longer
    runs; only if it was leased so, where there is a lease."""
    progress: str
    """Id, lease, progress: what its runner says of it."""
    again: str
    """Id, now: makes a task new that failed or was cancelled."""
    forget: str
    """Id: removes one that is over."""
    forget_old: str
    """Now, limit: removes so many that need not be kept any longer."""
    get: str
    """Now, id: the row of a task."""
    name_of: str
    """Id: the name of a task."""
    get_many: str
    """Now, JSON array of ids: rows of tasks."""
    by_text: str
    """Now, name, text of uniqueness: the row of an unfinished task."""
    is_own: str
    """Condition of a guard. Id, name: no task of another name has this id."""
    is_free: str
    """Condition of a guard. Name, text of uniqueness: a cancelled task with these does not run."""
    taken: str
    """Queue, lease, end of the lease, bytes: id, payload, attempts with this one, most retries and
    timeout of what was leased so, in the order of their messages, as long as payloads are not more
    than so many bytes, but for the first one."""
    is_leased: str
    """Condition of a guard. Id of a message, lease: it is leased so, or was last."""
    next_of: str
    """JSON array of names: names, and when the first task of each can be leased."""
    next_of_any: str
    """The same of all names."""
    listed: str
    """Now, name or NULL, parent or NULL, JSON array of statuses as they are now, number, limit,
    offset: rows of tasks that were added before that number, the last ones first."""
    counts: str
    """Now, name or NULL: names, statuses as they are now, and how many tasks have both."""

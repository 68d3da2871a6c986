"""Tasks as they are sent: one vocabulary for clients, servers and callers in process."""

from __future__ import annotations

from typing import NamedTuple

from buntime_keyval.wire.describe import Describe, describe
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.names import checked_name

MOST_TASKS_BEFORE = 100
"""Tasks that one may come after."""

MOST_TASK_RETRIES = 1000
"""Attempts that a task may have."""

MOST_TASK_ATTEMPTS_BEHIND = 6
"""Doublings of the pause behind an attempt, beyond which it does not grow."""

FIRST_TASK_PAUSE_MS = 60_000
"""What is doubled for each attempt that failed: the first pause is twice as long."""

MOST_TASK_PAUSE_MS = 3_600_000
"""The longest pause, unless a task has its own ones."""

TASK_JITTER = 0.1
"""By how much of itself a pause may be longer, by chance: many that failed together do not come
again together."""

DEFAULT_TASK_LEASE_MS = 30_000
"""For how long a runner has a task, unless it says something else."""

LEAST_TASK_LEASE_MS = 1000
"""A shorter lease might end before it is known that a runner has the task."""

MOST_TASK_WAIT_MS = 60_000
"""How long a request may wait for a task, or for its end."""

MOST_TASKS_LEASED = 1000
"""Tasks that a runner may take at once."""

TASK_PATHS = frozenset({"stats", "lease", "complete", "listen", "limits"})
"""What no task may have as an id: paths beside those of tasks."""


def no_task(task_id: str) -> str:
    """What is said of a task that is not there."""
    return (
        f"There is no task with the id {task_id}: it was removed, is no longer kept, or never"
        " existed"
    )


class TaskOptions(NamedTuple):
    """How a task is to be run. Times are in milliseconds."""

    delay_ms: int = 0
    scheduled_for: int | None = None
    """Epoch milliseconds, by the clock on the wall; wins over the delay."""
    max_retries: int = 3
    """Attempts in total; 0 is 1 as well."""
    pauses_ms: tuple[int, ...] | None = None
    """Behind each attempt that failed; the last one for all further ones."""
    timeout_ms: int = 300_000
    """How long one attempt may take."""
    priority: int = 0
    """From -10 to 10, as that of a message."""
    unique: str | None = None
    """While a task with its name and this text is not over, no other one is made."""
    sequence: str | None = None
    """Tasks of a name with the same text run one at a time, in order."""
    keep_ms: int = 86_400_000
    """How long it is kept once it is over."""
    parent: str | None = None
    """The id of the task that it belongs to."""
    after: tuple[str, ...] = ()
    """Ids of tasks that have to be completed first."""
    id: str | None = None
    """Its id, if its sender names it."""


class NewTask(NamedTuple):
    """A task to make, with its canonical payload."""

    name: str
    payload: str = "null"
    options: TaskOptions = TaskOptions()


def checked_task_id(what: str, value: object, shown: Describe = describe) -> str:
    """An id that a task may have. Raises `InvalidInput`."""
    task_id = checked_name(what, value, shown)
    if task_id in TASK_PATHS or "/" in task_id:
        raise InvalidInput(
            f"{what} must have no slash and be none of {', '.join(sorted(TASK_PATHS))}"
        )
    return task_id


def checked_earlier(what: str, value: object, shown: Describe = describe) -> tuple[str, ...]:
    """The ids of the tasks that have to be completed first. Raises `InvalidInput`."""
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{what} must be a list of ids of tasks, received {shown(value)}")
    if len(value) > MOST_TASKS_BEFORE:
        raise InvalidInput(f"{what} too long: {len(value)} (max {MOST_TASKS_BEFORE})")
    ids = [checked_task_id(f"{what}[{index}]", it, shown) for index, it in enumerate(value)]
    return tuple(dict.fromkeys(ids))


def checked_retries(what: str, value: object, shown: Describe = describe) -> int:
    """How many attempts a task has. Raises `InvalidInput`."""
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value <= MOST_TASK_RETRIES
        and value == int(value)
    ):
        return int(value)
    raise InvalidInput(
        f"{what} must be a whole number from 0 to {MOST_TASK_RETRIES}, received {shown(value)}"
    )


def pause_behind(attempts: int, pauses_ms: tuple[int, ...] | None, chance: float) -> int:
    """How long a task waits that has failed so often, in milliseconds.

    `chance` is a number from 0 to 1.
    """
    if pauses_ms:
        pause = pauses_ms[min(attempts, len(pauses_ms)) - 1]
    else:
        doublings = min(max(attempts, 1), MOST_TASK_ATTEMPTS_BEHIND)
        pause = min(FIRST_TASK_PAUSE_MS << doublings, MOST_TASK_PAUSE_MS)
    return round(pause * (1 + TASK_JITTER * chance))

"""Shapes of requests about tasks."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from buntime_keyval import QueueRate
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.canonical import text_of
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_TIMESTAMP_MS
from buntime_keyval.wire.names import checked_name, checked_priority
from buntime_keyval.wire.tasks import (
    DEFAULT_TASK_LEASE_MS,
    MOST_TASK_WAIT_MS,
    MOST_TASKS_LEASED,
    NewTask,
    TaskOptions,
    checked_earlier,
    checked_retries,
    checked_task_id,
)

from buntime_plugin_keyval.model import messages
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.shape import Kind, RequestShape, read_object
from buntime_plugin_keyval.storage.dialects.tasks import STATUSES

_DEFAULTS = TaskOptions()
_WHOLE = re.compile(r"[0-9]{1,16}", re.ASCII)


def _moment(name: str, raw: object) -> int:
    """A time in epoch milliseconds, from such a number or RFC 3339 text. Raises `InvalidInput`."""
    if isinstance(raw, str) and not _WHOLE.fullmatch(raw):
        try:
            at = datetime.fromisoformat(raw)
            if at.tzinfo is not None:
                return min(max(0, int(at.timestamp() * 1000)), MAX_TIMESTAMP_MS)
        except ValueError:
            pass
    elif isinstance(raw, (int, float, str)) and not isinstance(raw, bool):
        number = float(raw)
        if 0 <= number <= MAX_TIMESTAMP_MS:
            return int(number)
    raise InvalidInput(
        f"{name} must be epoch milliseconds or a time with its zone such as"
        f' "2026-01-31T08:00:00Z", received {describe(raw)}'
    )


def _some_time(least_ms: int) -> Kind:
    """A duration of at least `least_ms`."""

    def read(name: str, raw: object) -> int:
        milliseconds = messages.parse_pause(name, raw)
        if milliseconds < least_ms:
            raise InvalidInput(f"{name} must be at least {least_ms} ms, received {describe(raw)}")
        return milliseconds

    return Kind(f'at least {least_ms} milliseconds, or a duration such as "5m"', read, read)


_SCHEDULED = Kind("epoch milliseconds or a time with its zone", _moment, _moment)
_RETRIES = Kind("a whole number", None, checked_retries)
_PRIORITY = Kind("a whole number from -10 to 10", None, checked_priority)
_EARLIER = Kind("a list of ids of tasks", None, checked_earlier)
_TASK_ID = Kind("an id: a text of 1 to 256 characters", None, checked_task_id)
_STATUS = kinds.one_of(*STATUSES)
_LEASE = _some_time(messages.LEAST_LEASE_MS)
_SOME = _some_time(1)
TASK_WAIT = kinds.pause_up_to(MOST_TASK_WAIT_MS)


def _names(name: str, raw: object) -> frozenset[str]:
    if isinstance(raw, str):
        raw = raw.split(",")
    if not isinstance(raw, list) or not raw or len(raw) > MOST_TASKS_LEASED:
        raise InvalidInput(
            f"{name} must be 1 to {MOST_TASKS_LEASED} names of tasks, received {describe(raw)}"
        )
    return frozenset(checked_name(f"{name}[{place}]", it) for place, it in enumerate(raw))


_NAMES = Kind("a list of names of tasks", _names, _names)


class TaskBody(RequestShape, frozen=True, kw_only=True):
    name: Annotated[str, kinds.NAME]
    payload: Annotated[object, kinds.VALUE] = None
    id: Annotated[str | None, _TASK_ID] = None
    delay: Annotated[int | None, kinds.PAUSE] = None
    scheduled_for: Annotated[int | None, _SCHEDULED] = None
    max_retries: Annotated[int, _RETRIES] = _DEFAULTS.max_retries
    backoff_schedule: Annotated[list[int] | None, kinds.BACKOFF] = None
    timeout: Annotated[int, _SOME] = _DEFAULTS.timeout_ms
    priority: Annotated[int, _PRIORITY] = 0
    unique: Annotated[str | None, kinds.NAME] = None
    sequence: Annotated[str | None, kinds.NAME] = None
    keep_result: Annotated[int, kinds.PAUSE] = _DEFAULTS.keep_ms
    parent: Annotated[str | None, _TASK_ID] = None
    after: Annotated[tuple[str, ...], _EARLIER] = ()

    def task(self, now_ms: int, before: str = "") -> NewTask:
        """The task to make; `before` precedes the names of members in errors.

        Raises `InvalidInput`.
        """
        if self.delay is not None and self.scheduled_for is not None:
            raise InvalidInput(f"{before}delay and scheduledFor exclude each other")
        options = TaskOptions(
            self.delay or 0,
            self.scheduled_for,
            self.max_retries,
            tuple(self.backoff_schedule) if self.backoff_schedule else None,
            self.timeout,
            self.priority,
            self.unique,
            self.sequence,
            self.keep_result,
            self.parent,
            self.after,
            self.id,
        )
        return NewTask(self.name, text_of(self.payload, now_ms), options)


class TaskMutation(TaskBody, frozen=True, kw_only=True):
    """A task to make among the mutations of a commit, where large values are marked."""

    type: Annotated[str, kinds.TEXT] = "task"


def read_task_mutation(item: dict[str, Any], place: str, now_ms: int) -> NewTask:
    """Read a task among mutations, at this place. Raises `InvalidInput`."""
    return read_object(TaskMutation, item, place).task(now_ms, f"{place}.")


class TaskListing(RequestShape, frozen=True, kw_only=True):
    status: Annotated[str | None, _STATUS] = None
    name: Annotated[str | None, kinds.NAME] = None
    parent: Annotated[str | None, kinds.NAME] = None
    limit: Annotated[int, kinds.PAGE] = DEFAULT_LIMIT
    cursor: Annotated[str | None, kinds.TEXT] = None
    offset: Annotated[int, kinds.OFFSET] = 0


class OfName(RequestShape, frozen=True, kw_only=True):
    """The name of the tasks in question; all names by default."""

    name: Annotated[str | None, kinds.NAME] = None


class TaskWait(RequestShape, frozen=True, kw_only=True):
    """How long to wait for the end of a task."""

    timeout: Annotated[int, TASK_WAIT] = 20_000


class RunnerWish(RequestShape, frozen=True, kw_only=True):
    """The runner that wants tasks, and which ones."""

    runner: Annotated[str, kinds.NAME]
    names: Annotated[frozenset[str] | None, _NAMES] = None
    duration: Annotated[int, _LEASE] = DEFAULT_TASK_LEASE_MS


class Leasing(RunnerWish, frozen=True, kw_only=True):
    """How many tasks to lease at once, and how long to wait for the first one."""

    limit: Annotated[int, kinds.count_up_to(MOST_TASKS_LEASED)] = 1
    wait: Annotated[int, TASK_WAIT] = 0


class TaskListening(RunnerWish, frozen=True, kw_only=True):
    """How many tasks of a stream may be unfinished at a time."""

    prefetch: Annotated[int, kinds.count_up_to(MOST_TASKS_LEASED)] = 1


class Tokened(RequestShape, frozen=True, kw_only=True):
    """The token under which a runner has its task."""

    token: Annotated[str, kinds.TEXT]


class Heartbeat(Tokened, frozen=True, kw_only=True):
    """A sign that a runner works on its task."""

    duration: Annotated[int | None, _LEASE] = None
    progress: Annotated[object, kinds.VALUE] = None


class Completion(Tokened, frozen=True, kw_only=True):
    result: Annotated[object, kinds.VALUE] = None


class DoneTask(Completion, frozen=True, kw_only=True):
    """One of several completed tasks."""

    id: Annotated[str, _TASK_ID]


def _done_tasks(name: str, raw: object) -> list[DoneTask]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_TASKS_LEASED:
        raise InvalidInput(
            f"{name} must be an array of 1 to {MOST_TASKS_LEASED} objects with id, token and"
            f" result, received {describe(raw)}"
        )
    done = []
    for place, item in enumerate(raw):
        if not isinstance(item, dict):
            raise InvalidInput(f"{name}[{place}] must be an object, received {describe(item)}")
        done.append(read_object(DoneTask, item, f"{name}[{place}]"))
    return done


_DONE = Kind(
    "an array of objects with id, token and result", None, _done_tasks, schema={"type": "array"}
)


class Completions(RequestShape, frozen=True, kw_only=True):
    tasks: Annotated[list[DoneTask], _DONE]


class FailedRun(Tokened, frozen=True, kw_only=True):
    error: Annotated[str, kinds.ERROR]
    retry: Annotated[bool, kinds.FLAG] = True


class LimitsBody(RequestShape, frozen=True, kw_only=True):
    """How many tasks with a name may run at a time, and how many may begin in a time."""

    max_running: Annotated[int | None, kinds.count_up_to(messages.MOST_COUNT)] = None
    rate: Annotated[QueueRate | None, kinds.RATE] = None

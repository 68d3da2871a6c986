"""Calls of the routes below `/tasks`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from buntime_keyval._calls.keys import checked_page, query_text
from buntime_keyval._calls.queues import Rate, wanted_options
from buntime_keyval._core import Call, json_body, member, read_nothing
from buntime_keyval._entries import raw_value
from buntime_keyval._results import LeasedTask, TaskDone, TaskHeard, TaskInfo, TaskLimits, TaskPage
from buntime_keyval.wire import Duration, InvalidInput, encode_value, untag
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.names import checked_name, checked_priority
from buntime_keyval.wire.python_options import checked_expires_at, milliseconds
from buntime_keyval.wire.stamps import without_stamps
from buntime_keyval.wire.tasks import (
    LEAST_TASK_LEASE_MS,
    MOST_TASK_WAIT_MS,
    MOST_TASKS_LEASED,
    NewTask,
    TaskOptions,
    checked_earlier,
    checked_retries,
    checked_task_id,
    no_task,
)

TaskStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
_DEFAULTS = TaskOptions()


class _Listed(msgspec.Struct):
    tasks: list[TaskInfo]
    cursor: str | None = None


_decode_task = msgspec.json.Decoder(TaskInfo).decode
_decode_listed = msgspec.json.Decoder(_Listed).decode
_leased = member("tasks", list[LeasedTask])
_read_deleted = member("deleted", bool)
_read_counts = member("tasks", dict[str, dict[str, int]])
_decode_heard = msgspec.json.Decoder(TaskHeard).decode
_read_all_heard = member("tasks", list[TaskHeard])
_decode_limits = msgspec.json.Decoder(TaskLimits).decode


def new_task(
    name: str,
    payload: Any,
    *,
    id: str | None = None,
    delay: Duration | None = None,
    scheduled_for: float | datetime | None = None,
    max_retries: int = _DEFAULTS.max_retries,
    backoff_schedule: Sequence[Duration] | None = None,
    timeout: Duration = _DEFAULTS.timeout_ms,
    priority: int = 0,
    unique: str | None = None,
    sequence: str | None = None,
    keep_result: Duration = _DEFAULTS.keep_ms,
    parent: str | None = None,
    after: Sequence[TaskInfo | str] = (),
) -> NewTask:
    """A task as Python code gives it. Raises `InvalidInput`."""
    if delay is not None and scheduled_for is not None:
        raise InvalidInput("delay and scheduled_for exclude each other")
    length = milliseconds("timeout", timeout)
    if not length:
        raise InvalidInput("timeout must be more than 0")
    if isinstance(after, str):
        raise InvalidInput("after must be a list of tasks, or of their ids")
    pauses = None
    if backoff_schedule:
        pauses = wanted_options(None, backoff_schedule, None, None).backoff_schedule
    options = TaskOptions(
        0 if delay is None else milliseconds("delay", delay),
        None if scheduled_for is None else checked_expires_at(scheduled_for),
        checked_retries("max_retries", max_retries, as_written),
        tuple(pauses) if pauses else None,
        length,
        checked_priority("priority", priority, as_written),
        None if unique is None else checked_name("unique", unique, as_written),
        None if sequence is None else checked_name("sequence", sequence, as_written),
        milliseconds("keep_result", keep_result),
        None if parent is None else task_id(parent),
        checked_earlier("after", [task_id(it) for it in after], as_written),
        None if id is None else checked_task_id("id", id, as_written),
    )
    return NewTask(task_name(name), without_stamps(encode_value(payload, None)), options)


def task_members(new: NewTask) -> dict[str, Any]:
    """A task as JSON members, without those that have their defaults."""
    options = new.options
    members: dict[str, Any] = {
        "name": new.name,
        "payload": msgspec.Raw(new.payload.encode()),
        "delay": options.delay_ms or None,
        "scheduledFor": options.scheduled_for,
        "backoffSchedule": options.pauses_ms,
        "priority": options.priority or None,
        "unique": options.unique,
        "sequence": options.sequence,
        "parent": options.parent,
        "after": options.after or None,
        "id": options.id,
    }
    if options.max_retries != _DEFAULTS.max_retries:
        members["maxRetries"] = options.max_retries
    if options.timeout_ms != _DEFAULTS.timeout_ms:
        members["timeout"] = options.timeout_ms
    if options.keep_ms != _DEFAULTS.keep_ms:
        members["keepResult"] = options.keep_ms
    return {name: it for name, it in members.items() if it is not None}


def send(new: NewTask) -> Call[TaskInfo]:
    """Make a task; with an id or a unique text it is repeatable."""
    options = new.options
    is_one = options.id is not None or options.unique is not None
    body = msgspec.json.encode(task_members(new))
    return Call("POST", "/tasks", read_task, body, repeatable=is_one)


def get(task: TaskInfo | str) -> Call[TaskInfo | None]:
    """A task, if there is one."""
    absent = (no_task(task_id(task)), None)
    return Call("GET", _target(task), read_task, repeatable=True, absent=absent)


def wait(task: TaskInfo | str, timeout_ms: int) -> Call[TaskInfo]:
    """A task once it is over, or its state after the wait."""
    return Call("GET", f"{_target(task)}/wait?timeout={timeout_ms}", read_task, repeatable=True)


def list_tasks(
    status: TaskStatus | None,
    name: str | None,
    parent: str | None,
    limit: int,
    cursor: str | None,
    offset: int,
) -> Call[TaskPage]:
    """Tasks, the newest first."""
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise InvalidInput(f"offset must not be negative, received {as_written(offset)}")
    asked = {
        "status": status,
        "name": None if name is None else task_name(name),
        "parent": None if parent is None else task_id(parent),
        "limit": checked_page(limit),
        "cursor": cursor,
        "offset": offset or None,
    }
    members = {key: it for key, it in asked.items() if it is not None}
    return Call("GET", f"/tasks?{query_text(members)}", _read_page, repeatable=True)


def stats(name: str | None) -> Call[dict[str, dict[str, int]]]:
    """Numbers by name and status."""
    query = "" if name is None else f"?{query_text({'name': task_name(name)})}"
    return Call("GET", f"/tasks/stats{query}", _read_counts, repeatable=True)


def cancel(task: TaskInfo | str) -> Call[TaskInfo]:
    """Cancel a task; repeatable."""
    return Call("POST", f"{_target(task)}/cancel", read_task, b"{}", repeatable=True)


def retry(task: TaskInfo | str) -> Call[TaskInfo]:
    """Run a task again."""
    return Call("POST", f"{_target(task)}/retry", read_task, b"{}")


def delete(task: TaskInfo | str) -> Call[bool]:
    """Remove a task."""
    return Call("DELETE", _target(task), _read_deleted)


def lease(
    runner: str, names: Sequence[str] | None, limit: int, duration_ms: int, wait_ms: int
) -> Call[list[LeasedTask]]:
    """Take tasks. Not repeatable: tasks of a lost answer are out of reach for a while."""
    body = json_body(
        runner=checked_name("runner", runner, as_written),
        names=None if names is None else [task_name(name) for name in names],
        limit=checked_count(limit),
        duration=duration_ms,
        wait=wait_ms or None,
    )
    return Call("POST", "/tasks/lease", _read_leased, body)


def heartbeat(
    task: str, token: str, duration_ms: int | None = None, progress: Any = None
) -> Call[TaskHeard]:
    """Prolong a lease; repeatable."""
    told = None if progress is None else raw_value(progress)
    body = json_body(token=checked_token(token), duration=duration_ms, progress=told)
    return Call("POST", f"{_target(task)}/heartbeat", _decode_heard, body, repeatable=True)


def complete(task: str, token: str, result: Any = None) -> Call[TaskHeard]:
    """Complete a task; repeatable."""
    told = None if result is None else raw_value(result)
    body = json_body(token=checked_token(token), result=told)
    return Call("POST", f"{_target(task)}/complete", _decode_heard, body, repeatable=True)


def complete_many(done: Sequence[TaskDone]) -> Call[list[TaskHeard]]:
    """Complete several tasks; repeatable."""
    told = [
        {
            "id": task_id(task),
            "token": checked_token(token),
            "result": None if result is None else raw_value(result),
        }
        for task, token, result in checked_done(done)
    ]
    return Call("POST", "/tasks/complete", _read_all_heard, json_body(tasks=told), repeatable=True)


def fail(task: str, token: str, error: str, *, retry: bool) -> Call[TaskHeard]:
    """Report a failed attempt; repeatable."""
    said = checked_error("error", error, as_written)
    body = json_body(token=checked_token(token), error=said, retry=None if retry else False)
    return Call("POST", f"{_target(task)}/fail", _decode_heard, body, repeatable=True)


def release(task: str, token: str) -> Call[None]:
    """Give a task back that was not begun."""
    body = json_body(token=checked_token(token))
    return Call("POST", f"{_target(task)}/release", read_nothing, body)


def limits(name: str) -> Call[TaskLimits]:
    """The settings of a name."""
    return Call("GET", _limits_target(name), _decode_limits, repeatable=True)


def set_limits(name: str, wanted: TaskLimits) -> Call[None]:
    """Limit the tasks of a name; repeatable."""
    rate = wanted.rate
    body = json_body(
        maxRunning=wanted.max_running,
        rate=None if rate is None else {"count": rate.count, "per": rate.per},
    )
    return Call("PUT", _limits_target(name), read_nothing, body, repeatable=True)


def wanted_limits(max_running: int | None, rate: Rate | None) -> TaskLimits:
    """Limits as they are given in Python. Raises `InvalidInput`."""
    wanted = wanted_options(None, None, max_running, rate)
    return TaskLimits(wanted.max_running, wanted.rate)


def task_name(name: object) -> str:
    """The name of tasks. Raises `InvalidInput`."""
    return checked_name("the name of a task", name, as_written)


def task_id(task: object) -> str:
    """The id of a task, given as such or as a task. Raises `InvalidInput`."""
    return checked_task_id("the id of a task", task.id if isinstance(task, TaskInfo) else task,
                           as_written)  # fmt: skip


def wait_ms(wait: Duration | None, name: str = "wait") -> int:
    """The longest wait of one request. Raises `InvalidInput`."""
    pause = 0 if wait is None else milliseconds(name, wait)
    if pause > MOST_TASK_WAIT_MS:
        raise InvalidInput(f"{name} must be at most {MOST_TASK_WAIT_MS} milliseconds")
    return pause


def length(timeout: Duration) -> float:
    """Seconds of a time to wait. Raises `InvalidInput`."""
    return milliseconds("timeout", timeout) / 1000


def lease_ms(duration: Duration) -> int:
    """The length of a lease. Raises `InvalidInput`."""
    found = milliseconds("duration", duration)
    if found < LEAST_TASK_LEASE_MS:
        raise InvalidInput(f"duration must be at least 1s, received {as_written(duration)}")
    return found


def checked_token(token: object) -> str:
    """The token of a leased task. Raises `InvalidInput`."""
    if not isinstance(token, str) or not token:
        raise InvalidInput(f"token must be that of a leased task, received {as_written(token)}")
    return token


def checked_done(done: Sequence[TaskDone]) -> Sequence[TaskDone]:
    """Tasks that are done, as many as one runner can have. Raises `InvalidInput`."""
    given: object = done
    if not isinstance(given, Sequence) or not all(isinstance(one, TaskDone) for one in given):
        raise InvalidInput(f"complete_many takes a list of TaskDone, received {as_written(given)}")
    if not 1 <= len(done) <= MOST_TASKS_LEASED:
        raise InvalidInput(
            f"complete_many takes 1 to {MOST_TASKS_LEASED} tasks, received {len(done)}"
        )
    return done


def checked_count(limit: object) -> int:
    """The number of tasks that a runner takes. Raises `InvalidInput`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_TASKS_LEASED:
        raise InvalidInput(
            f"limit must be from 1 to {MOST_TASKS_LEASED}, received {as_written(limit)}"
        )
    return limit


def read_task(content: bytes) -> TaskInfo:
    """A task of its JSON."""
    return _untagged(_decode_task(content))


def _untagged(task: TaskInfo) -> TaskInfo:
    return msgspec.structs.replace(
        task, payload=untag(task.payload), result=untag(task.result), progress=untag(task.progress)
    )


def _read_page(content: bytes) -> TaskPage:
    listed = _decode_listed(content)
    return TaskPage([_untagged(task) for task in listed.tasks], listed.cursor)


def _read_leased(content: bytes) -> list[LeasedTask]:
    return [msgspec.structs.replace(task, payload=untag(task.payload)) for task in _leased(content)]


def _target(task: TaskInfo | str) -> str:
    return f"/tasks/{quote(task_id(task), safe='')}"


def _limits_target(name: str) -> str:
    return f"/tasks/limits/{quote(task_name(name), safe='')}"

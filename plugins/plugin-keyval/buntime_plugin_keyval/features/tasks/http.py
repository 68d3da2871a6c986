"""Endpoints below `/tasks`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec
from buntime_host import Answer
from buntime_keyval import QueueOptions
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.canonical import text_of
from buntime_keyval.wire.names import checked_name

from buntime_plugin_keyval.engine.loop import EARLY_SECONDS, until_beat
from buntime_plugin_keyval.features.tasks import shapes
from buntime_plugin_keyval.features.tasks.part import TaskPart
from buntime_plugin_keyval.features.tasks.runners import Heard, Run, RunnerCall
from buntime_plugin_keyval.model.clock import wall_of
from buntime_plugin_keyval.model.errors import TaskLost, TaskNotFound
from buntime_plugin_keyval.requests.answers import Frames, Text, flag_json, truth
from buntime_plugin_keyval.requests.asked import (
    Access,
    Asked,
    Cost,
    Need,
    Request,
    Route,
    Routes,
    Somewhere,
)
from buntime_plugin_keyval.requests.large import LargeMembers, items_frame, value_frame
from buntime_plugin_keyval.requests.permissions import TASK_ADMIN, TASK_RUN, TASK_SEND
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.requests.sse import OPENED, PING, frame, opened
from buntime_plugin_keyval.storage.task_effects import CompletedTask
from buntime_plugin_keyval.storage.tasks import StoredTask, WantedTasks

CREATED = 201


def send(part: TaskPart, request: Request[shapes.TaskBody]) -> Asked:
    """`POST /tasks`: make a task; 201 with a new one, 200 with one that exists."""
    new = request.given.task(part.store.clock.wall())

    async def run() -> Answer:
        sent = await part.desk.send(new, request.once)
        return Answer(CREATED if sent.is_new else 200, task_json(part, sent.task))

    return Asked("task_send", "write", run, needs=[(TASK_SEND, new.name)])


def list_tasks(part: TaskPart, request: Request[shapes.TaskListing]) -> Asked:
    """`GET /tasks`: list tasks, the newest first."""
    given = request.given
    wanted = WantedTasks(
        given.status, given.name, given.parent, _place(given.cursor), given.limit, given.offset
    )

    async def run() -> Text:
        rows = await part.desk.newest(wanted)
        cursor = f'"{rows[-1].seq}"' if len(rows) == given.limit else "null"
        tasks = ",".join(task_json(part, task) for task in rows)
        return f'{{"tasks":[{tasks}],"cursor":{cursor}}}'

    cost = Cost(given.limit, passed=given.offset)
    return Asked("task_list", "read", run, cost=cost, needs=[(TASK_ADMIN, given.name)])


def stats(part: TaskPart, request: Request[shapes.OfName]) -> Asked:
    """`GET /tasks/stats`: how many tasks there are, by name and status."""
    name = request.given.name

    async def run() -> Text:
        return msgspec.json.encode({"tasks": await part.desk.counts(name)})

    return Asked("task_stats", "read", run, cost=Cost(None), needs=[(TASK_ADMIN, name)])


def get(part: TaskPart, request: Request[RequestShape]) -> Asked:
    """`GET /tasks/{id}`: show a task and its result."""

    async def run(task_id: str) -> str:
        return task_json(part, await part.desk.get(task_id))

    return _of_one(part, request, ("task_get", "read"), TASK_SEND, run)


def wait(part: TaskPart, request: Request[shapes.TaskWait]) -> Asked:
    """`GET /tasks/{id}/wait`: wait until a task is over; the task as it is then."""
    timeout = request.given.timeout

    async def run(task_id: str) -> str:
        return task_json(part, await part.desk.wait(task_id, timeout, request.source.hung_up))

    return _of_one(part, request, ("task_wait", "read"), TASK_SEND, run)


def cancel(part: TaskPart, request: Request[RequestShape]) -> Asked:
    """`POST /tasks/{id}/cancel`: end a task without a result."""

    async def run(task_id: str) -> str:
        return task_json(part, await part.desk.cancel(task_id, request.once))

    return _of_one(part, request, ("task_cancel", "write"), TASK_ADMIN, run)


def retry(part: TaskPart, request: Request[RequestShape]) -> Asked:
    """`POST /tasks/{id}/retry`: run a task again that failed or was cancelled."""

    async def run(task_id: str) -> str:
        return task_json(part, await part.desk.retry(task_id, request.once))

    return _of_one(part, request, ("task_retry", "write"), TASK_ADMIN, run)


def delete(part: TaskPart, request: Request[RequestShape]) -> Asked:
    """`DELETE /tasks/{id}`: remove a task, whatever its status."""
    task_id = _id(request)

    async def run() -> str:
        removed = await part.may(request.source.principal, TASK_ADMIN, task_id) and (
            await part.desk.delete(task_id, request.once)
        )
        return flag_json("deleted", removed)

    return Asked("task_delete", "write", run, needs=[Somewhere(TASK_ADMIN)])


def lease(part: TaskPart, request: Request[shapes.Leasing]) -> Asked:
    """`POST /tasks/lease`: lease tasks to a runner, as many as are ready or none."""
    given = request.given
    call = RunnerCall(given.runner, given.names, given.limit, given.duration)

    async def run() -> Text:
        runs = await part.runners.lease(call, given.wait, request.source.hung_up)
        if runs:
            leased = [(it.task.id, it.token) for it in runs]
            request.source.unwanted = partial(part.runners.give_back_soon, leased)
        return f'{{"tasks":[{",".join(run_json(part, it) for it in runs)}]}}'

    return Asked("task_lease", "write", run, cost=Cost(given.limit), needs=_of_names(given.names))


def listen(part: TaskPart, request: Request[shapes.TaskListening]) -> Asked:
    """`GET /tasks/listen`: lease tasks to a runner as they become ready.

    At most `prefetch` of them are unfinished at a time.
    """
    given = request.given

    async def run() -> Frames:
        client = part.client_of(request.source.peer)
        return await opened(_frames(part, given, client), head=request.head)

    return Asked("task_listen", "write", run, needs=_of_names(given.names))


def release(part: TaskPart, request: Request[shapes.Tokened]) -> Asked:
    """`POST /tasks/{id}/release`: give back a task; the attempt does not count."""
    token = request.given.token

    async def run(task_id: str) -> str:
        await part.runners.release(task_id, token, request.once)
        return '{"ok":true}'

    return _of_one(part, request, ("task_release", "write"), TASK_RUN, run, TaskLost)


def heartbeat(part: TaskPart, request: Request[shapes.Heartbeat]) -> Asked:
    """`POST /tasks/{id}/heartbeat`: prolong the lease of a task."""
    given = request.given
    progress = given.progress
    text = None if progress is None else text_of(progress, part.store.clock.wall())

    async def run(task_id: str) -> str:
        heard = await part.runners.heartbeat(task_id, given.token, given.duration, text)
        return _heard_json(part, heard)

    return _of_one(part, request, ("task_heartbeat", "write"), TASK_RUN, run, TaskLost)


def complete(part: TaskPart, request: Request[shapes.Completion]) -> Asked:
    """`POST /tasks/{id}/complete`: complete a task, with its result."""
    given = request.given
    result = text_of(given.result, part.store.clock.wall())

    async def run(task_id: str) -> str:
        return _heard_json(
            part, await part.runners.complete(task_id, given.token, result, request.once)
        )

    return _of_one(part, request, ("task_complete", "write"), TASK_RUN, run, TaskLost)


def complete_many(part: TaskPart, request: Request[shapes.Completions]) -> Asked:
    """`POST /tasks/complete`: complete several tasks, with their results, in one commit.

    Tasks that the runner has lost are answered with `lost`; the others are completed.
    """
    now_ms = part.store.clock.wall()
    given = request.given.tasks
    done = [CompletedTask(one.id, one.token, text_of(one.result, now_ms)) for one in given]

    async def run() -> str:
        heard = await part.complete_many(request.source.principal, done, request.once)
        return f'{{"tasks":[{",".join(_ended_json(it) for it in heard)}]}}'

    needs = [Somewhere(TASK_RUN)]
    return Asked("task_complete", "write", run, cost=Cost(len(done)), needs=needs)


def fail(part: TaskPart, request: Request[shapes.FailedRun]) -> Asked:
    """`POST /tasks/{id}/fail`: report a failed attempt at a task."""
    given = request.given

    async def run(task_id: str) -> str:
        heard = await part.runners.fail(
            task_id, given.token, given.error, retry=given.retry, once=request.once
        )
        return _heard_json(part, heard)

    return _of_one(part, request, ("task_fail", "write"), TASK_RUN, run, TaskLost)


def get_limits(part: TaskPart, request: Request[RequestShape]) -> Asked:
    """`GET /tasks/limits/{name}`: show the limits of tasks with a name."""
    name = _limited(request)

    async def run() -> Text:
        limits = await part.limits(name)
        return msgspec.json.encode({"maxRunning": limits.max_running, "rate": limits.rate})

    return Asked("task_limits", "read", run, needs=[(TASK_ADMIN, name)])


def set_limits(part: TaskPart, request: Request[shapes.LimitsBody]) -> Asked:
    """`PUT /tasks/limits/{name}`: set all limits; those left out are lifted."""
    name = _limited(request)
    limits = QueueOptions(max_running=request.given.max_running, rate=request.given.rate)

    async def run() -> str:
        await part.set_limits(name, limits, request.once)
        return '{"ok":true}'

    return Asked("task_limits", "write", run, needs=[(TASK_ADMIN, name)])


def _large(member: str) -> Any:
    """How to read a member whose value may be large."""

    def members(part: TaskPart) -> LargeMembers:
        return {member: value_frame(part.store.clock.wall())}

    return members


def _large_results(part: TaskPart) -> LargeMembers:
    results = {"result": value_frame(part.store.clock.wall())}
    return dict([items_frame("tasks", lambda _, item: item, results)])


ROUTES: Routes = {
    "/tasks": {
        "GET": Route(list_tasks, shapes.TaskListing),
        "POST": Route(
            send, shapes.TaskBody, MemberPlace.BODY, _large("payload"), statuses=(CREATED, 200)
        ),
    },
    "/tasks/stats": {"GET": Route(stats, shapes.OfName)},
    "/tasks/lease": {"POST": Route(lease, shapes.Leasing, MemberPlace.BODY)},
    "/tasks/complete": {
        "POST": Route(complete_many, shapes.Completions, MemberPlace.BODY, _large_results)
    },
    "/tasks/listen": {"GET": Route(listen, shapes.TaskListening, is_stream=True)},
    "/tasks/limits/{id}": {
        "GET": Route(get_limits, RequestShape),
        "PUT": Route(set_limits, shapes.LimitsBody, MemberPlace.BODY),
    },
    "/tasks/{id}": {"GET": Route(get, RequestShape), "DELETE": Route(delete, RequestShape)},
    "/tasks/{id}/wait": {"GET": Route(wait, shapes.TaskWait)},
    "/tasks/{id}/cancel": {"POST": Route(cancel, RequestShape, MemberPlace.OPTIONAL_BODY)},
    "/tasks/{id}/retry": {"POST": Route(retry, RequestShape, MemberPlace.OPTIONAL_BODY)},
    "/tasks/{id}/release": {"POST": Route(release, shapes.Tokened, MemberPlace.BODY)},
    "/tasks/{id}/heartbeat": {
        "POST": Route(heartbeat, shapes.Heartbeat, MemberPlace.BODY, _large("progress"))
    },
    "/tasks/{id}/complete": {
        "POST": Route(complete, shapes.Completion, MemberPlace.BODY, _large("result"))
    },
    "/tasks/{id}/fail": {"POST": Route(fail, shapes.FailedRun, MemberPlace.BODY)},
}


def task_json(part: TaskPart, task: StoredTask) -> str:
    clock = part.store.clock
    is_running = task.status == "running"
    rest = {
        "attempts": task.attempts,
        "maxRetries": task.max_retries,
        "backoffSchedule": task.pauses_ms,
        "timeout": task.timeout_ms,
        "priority": task.priority,
        "unique": task.unique,
        "sequence": task.sequence,
        "parent": task.parent,
        "after": _raw(task.earlier, "[]"),
        "keepResult": task.keep_ms,
        "created": task.created_at,
        "scheduledFor": wall_of(clock, task.ready_at),
        "startedAt": task.started_at,
        "completedAt": task.completed_at,
        "lastError": task.last_error,
        "result": _raw(task.result),
        "progress": _raw(task.progress),
        "lockedBy": task.runner if is_running else None,
        "lockExpiresAt": wall_of(clock, task.visible_at or 0) if is_running else None,
    }
    head = msgspec.json.encode({"id": task.id, "name": task.name, "status": task.status}).decode()
    tail = msgspec.json.encode(rest).decode()
    return f'{head[:-1]},"payload":{task.payload},{tail[1:]}'


def run_json(part: TaskPart, run: Run) -> str:
    """A task as JSON for its runner."""
    task = run.task
    ends = wall_of(part.store.clock, run.ends_at)
    head = msgspec.json.encode({"id": task.id, "name": run.name, "token": run.token}).decode()
    return (
        f'{head[:-1]},"payload":{task.payload},"attempts":{task.attempts},'
        f'"maxRetries":{task.max_retries},"timeout":{task.timeout_ms},"lockExpiresAt":{ends}}}'
    )


def _of_one(
    part: TaskPart,
    request: Request[Any],
    operation: tuple[str, Access],
    scope: str,
    run: Callable[[str], Coroutine[Any, Any, str]],
    absent: Callable[[str], Exception] = TaskNotFound,
) -> Asked:
    """An operation on the task in the path. Without permission for its name it is not found."""
    task_id = _id(request)

    async def checked() -> str:
        if not await part.may(request.source.principal, scope, task_id):
            raise absent(task_id)
        return await run(task_id)

    return Asked(*operation, checked, needs=[Somewhere(scope)])


def _of_names(names: frozenset[str] | None) -> Sequence[Need]:
    return [TASK_RUN] if names is None else [(TASK_RUN, name) for name in sorted(names)]


def _raw(text: str | None, absent: str = "null") -> msgspec.Raw:
    return msgspec.Raw((absent if text is None else text).encode())


def _heard_json(part: TaskPart, heard: Heard) -> str:
    cancelled = truth(heard.cancelled)
    if heard.ends_at is None:
        return f'{{"ok":true,"cancelled":{cancelled}}}'
    ends = wall_of(part.store.clock, heard.ends_at)
    return f'{{"ok":true,"cancelled":{cancelled},"lockExpiresAt":{ends}}}'


def _ended_json(heard: Heard) -> str:
    lost = ',"lost":true' if heard.lost else ""
    return f'{{"cancelled":{truth(heard.cancelled)}{lost}}}'


def _id(request: Request[Any]) -> str:
    """The id in `/tasks/<id>` and `/tasks/<id>/<verb>`."""
    return request.segment(2, "the path")


def _limited(request: Request[Any]) -> str:
    """The name in `/tasks/limits/<name>`."""
    return checked_name("the name of a task", request.segment(3, "the path"))


def _place(cursor: str | None) -> int | None:
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _PLACE_DIGITS):
        raise InvalidInput("Invalid cursor")
    return int(cursor)


_PLACE_DIGITS = 18


async def _frames(part: TaskPart, given: shapes.TaskListening, client: str | None) -> Frames:
    """The frames of a stream: tasks, as many as may be unfinished, and signs of life."""
    runners, beat_s = part.runners, part.heartbeat_ms / 1000
    now = asyncio.get_running_loop().time
    call = RunnerCall(given.runner, given.names, given.prefetch, given.duration)
    part.shares.take(client)
    open_runs: list[Run] = []
    unsent: list[Run] = []
    try:
        yield OPENED
        yield PING
        beat = now() + until_beat(beat_s)
        while not part.room.has_ended():
            left_ms = max(1, round((beat - now()) * 1000))
            open_runs = await runners.still_running(open_runs)
            free = given.prefetch - len(open_runs)
            if free:
                unsent = await runners.lease(call._replace(limit=free), left_ms)
            else:
                await runners.until_one_ends(open_runs, left_ms)
            while unsent:
                open_runs.append(unsent[0])
                yield frame("task", run_json(part, unsent[0]), unsent[0].task.id)
                del unsent[0]  # the next frame is asked for, so this one is sent
            if now() > beat - EARLY_SECONDS:
                yield PING
                beat = now() + until_beat(beat_s)
    finally:
        part.shares.give(client)
        await runners.give_back(unsent)

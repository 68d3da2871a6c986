"""Endpoints below `/schedules`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.features.schedules.part import (
    MISSED,
    GivenSchedule,
    SchedulePart,
    checked_task,
)
from buntime_plugin_keyval.features.schedules.timing import (
    checked_cron,
    checked_pause,
    checked_timezone,
)
from buntime_plugin_keyval.requests.answers import flag_json
from buntime_plugin_keyval.requests.asked import Asked, Cost, Need, Request, Route, Routes
from buntime_plugin_keyval.requests.kinds import FLAG, PAGE, TEXT, one_of
from buntime_plugin_keyval.requests.permissions import SCHEDULE
from buntime_plugin_keyval.requests.shape import Kind, MemberPlace, RequestShape

CRON = Kind("a cron expression of five fields", None, lambda _, raw: checked_cron(raw))
EVERY = Kind('milliseconds, or a duration such as "10m"', None, lambda _, raw: checked_pause(raw))
TASK = Kind('an object such as {"name": "send-report"}', None, lambda _, raw: checked_task(raw))
TIMEZONE = Kind("the name of a time zone", None, lambda _, raw: checked_timezone(raw))


class NewSchedule(RequestShape, frozen=True, kw_only=True):
    """What to start, and when."""

    task: Annotated[dict[str, Any], TASK]
    cron: Annotated[str | None, CRON] = None
    every: Annotated[int | None, EVERY] = None
    timezone: Annotated[str | None, TIMEZONE] = None
    missed: Annotated[str, one_of(*MISSED)] = "skip"
    paused: Annotated[bool, FLAG] = False


class ScheduleListing(RequestShape, frozen=True, kw_only=True):
    after: Annotated[str, TEXT] = ""
    """List schedules after this name."""
    limit: Annotated[int, PAGE] = DEFAULT_LIMIT


def put(part: SchedulePart, request: Request[NewSchedule]) -> Asked:
    """`PUT /schedules/{name}`: make or change a schedule."""
    it = request.given
    given = GivenSchedule(
        _name(request), it.task, it.cron, it.every, it.timezone, it.missed, it.paused
    )
    wanted, task = part.wanted(given)

    async def run() -> str:
        found = await part.schedules.put(wanted, request.once)
        return msgspec.json.encode(part.told(found)).decode()

    needs: list[Need] = [(SCHEDULE, wanted.name), (task.scope, task.resource)]
    return Asked("schedule_put", "write", run, needs=needs)


def get(part: SchedulePart, request: Request[RequestShape]) -> Asked:
    """`GET /schedules/{name}`: show a schedule and its next times."""
    name = _name(request)

    async def run() -> str:
        return msgspec.json.encode(part.told(await part.schedules.get(name))).decode()

    return Asked("schedule_get", "read", run, needs=_needs(name))


def list_schedules(part: SchedulePart, request: Request[ScheduleListing]) -> Asked:
    """`GET /schedules`: list schedules in order of name."""
    given = request.given

    async def run() -> str:
        found = await part.schedules.list(given.after, given.limit)
        return msgspec.json.encode({"schedules": [part.told(it) for it in found]}).decode()

    return Asked("schedule_list", "read", run, cost=Cost(given.limit), needs=[SCHEDULE])


def run_now(part: SchedulePart, request: Request[RequestShape]) -> Asked:
    """`POST /schedules/{name}/run`: start the task of a schedule now, in addition to its times."""
    name = _name(request)

    async def run() -> str:
        task_id = await part.schedules.run(name, request.once)
        return msgspec.json.encode({"taskId": task_id}).decode()

    return Asked("schedule_run", "write", run, needs=_needs(name))


def remove(part: SchedulePart, request: Request[RequestShape]) -> Asked:
    """`DELETE /schedules/{name}`: remove a schedule; tasks that it started stay."""
    name = _name(request)

    async def run() -> str:
        removed = await part.schedules.remove(name, request.once)
        return flag_json("deleted", removed)

    return Asked("schedule_remove", "write", run, needs=_needs(name))


ROUTES: Routes = {
    "/schedules": {"GET": Route(list_schedules, ScheduleListing)},
    "/schedules/{id}": {
        "GET": Route(get, RequestShape),
        "PUT": Route(put, NewSchedule, MemberPlace.BODY),
        "DELETE": Route(remove, RequestShape),
    },
    "/schedules/{id}/run": {"POST": Route(run_now, RequestShape, MemberPlace.OPTIONAL_BODY)},
}


def _needs(name: str) -> list[Need]:
    return [(SCHEDULE, name)]


def _name(request: Request[Any]) -> str:
    return request.name("the name of a schedule")

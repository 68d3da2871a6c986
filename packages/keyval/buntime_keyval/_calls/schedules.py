"""Calls of the routes below `/schedules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from buntime_keyval._calls.keys import checked_page
from buntime_keyval._core import Call, json_body, member
from buntime_keyval._entries import raw_value
from buntime_keyval._results import ScheduleInfo
from buntime_keyval.wire import Duration, InvalidInput, untag
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.names import checked_name
from buntime_keyval.wire.python_options import milliseconds

Missed: TypeAlias = Literal["skip", "once", "all"]
"""The handling of times at which no host ran: no task, one for all of them, or one for each."""


_decode_info = msgspec.json.Decoder(ScheduleInfo).decode
_listed = member("schedules", list[ScheduleInfo])
_read_deleted = member("deleted", bool)
_read_run = member("taskId", str)


class ScheduleOrder(NamedTuple):
    """A schedule to be made, in the wire format."""

    name: str
    task: msgspec.Raw
    cron: str | None
    every: int | None
    timezone: str | None
    missed: str
    paused: bool


def schedule_order(
    name: str,
    task: Mapping[str, Any],
    cron: str | None,
    every: Duration | None,
    timezone: str | None,
    missed: Missed,
    *,
    paused: bool,
) -> ScheduleOrder:
    """Check a schedule to be made. Raises `InvalidInput`; the server checks the meaning of its
    members.
    """
    if not isinstance(task, Mapping):
        raise InvalidInput(
            f'task must be a mapping such as {{"name": "send-report"}}, received {as_written(task)}'
        )
    members = dict(task)
    if "payload" in members:
        members["payload"] = raw_value(members["payload"])
    try:
        text = msgspec.Raw(msgspec.json.encode(members))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"task has what JSON does not: {error}") from None
    pause = None if every is None else milliseconds("every", every)
    return ScheduleOrder(schedule_name(name), text, cron, pause, timezone, missed, paused)


def put(order: ScheduleOrder) -> Call[ScheduleInfo]:
    """Make a schedule, or change it; repeatable."""
    body = json_body(**order._asdict() | {"name": None})
    return Call("PUT", _target(order.name), _info, body, repeatable=True)


def get(name: str) -> Call[ScheduleInfo | None]:
    """A schedule, if there is one."""
    absent = (f"There is no schedule {name}", None)
    return Call("GET", _target(name), _info, repeatable=True, absent=absent)


def list_schedules(after: str, limit: int) -> Call[list[ScheduleInfo]]:
    """Schedules behind a name."""
    target = f"/schedules?limit={checked_page(limit)}"
    if checked_after(after):
        target += f"&after={quote(after, safe='')}"
    return Call("GET", target, _infos, repeatable=True)


def run(name: str) -> Call[str]:
    """Start its task now."""
    return Call("POST", f"{_target(name)}/run", _read_run)


def delete(name: str) -> Call[bool]:
    """Remove a schedule."""
    return Call("DELETE", _target(name), _read_deleted)


def schedule_name(name: object) -> str:
    """The name of a schedule. Raises `InvalidInput`."""
    return checked_name("the name of a schedule", name, as_written)


def checked_after(after: object) -> str:
    """The name behind which a list begins. Raises `InvalidInput`."""
    if not isinstance(after, str):
        raise InvalidInput(f"after must be a text, received {as_written(after)}")
    return after


def schedule_info(raw: ScheduleInfo) -> ScheduleInfo:
    """A schedule whose payload is a Python value."""
    return replace(raw, task=untag(raw.task))


def _info(content: bytes) -> ScheduleInfo:
    return schedule_info(_decode_info(content))


def _infos(content: bytes) -> list[ScheduleInfo]:
    return [schedule_info(raw) for raw in _listed(content)]


def _target(name: str) -> str:
    return f"/schedules/{quote(schedule_name(name), safe='')}"

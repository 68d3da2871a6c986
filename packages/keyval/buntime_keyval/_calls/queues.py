"""Calls of the routes for administration of queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from buntime_keyval._calls.keys import checked_limit
from buntime_keyval._calls.queue import and_queue, of_queue
from buntime_keyval._core import Call, json_body, member, read_nothing
from buntime_keyval._results import QueuedMessage, QueueInfo, QueueOptions, QueuePage
from buntime_keyval.wire import Duration, InvalidInput, untag
from buntime_keyval.wire.names import checked_queue
from buntime_keyval.wire.python_options import milliseconds

Messages: TypeAlias = list[QueuedMessage[Any]]
Page: TypeAlias = QueuePage[Any]

Rate: TypeAlias = tuple[int, Duration]
"""A rate: how many messages in which period."""


class _Message(msgspec.Struct, rename="camel"):
    id: str
    value: Any
    state: str
    attempts: int
    max_attempts: int
    priority: int
    ready_at: int
    created_at: int
    queue: str = ""


class _Listed(msgspec.Struct):
    messages: list[_Message]
    cursor: str | None = None


_decode_listed = msgspec.json.Decoder(_Listed).decode
_read_purged = member("deletedCount", int)
_decode_options = msgspec.json.Decoder(QueueOptions).decode
_read_named = member("queues", list[QueueInfo])


def peek(queue: str, limit: int) -> Call[Messages]:
    """The next messages."""
    target = f"/queue/peek?limit={checked_limit(limit)}{and_queue(queue)}"
    return Call("GET", target, lambda content: _page(content).messages, repeatable=True)


def page(queue: str, cursor: str | None, limit: int) -> Call[Page]:
    """Messages as they were sent."""
    behind = "" if cursor is None else f"&cursor={quote(cursor, safe='')}"
    target = f"/queue/messages?limit={checked_limit(limit)}{behind}{and_queue(queue)}"
    return Call("GET", target, _page, repeatable=True)


def purge(queue: str) -> Call[int]:
    """Delete all messages of a queue."""
    target = f"/queue/messages{of_queue(queue)}"
    return Call("DELETE", target, _read_purged)


def pause(queue: str, *, is_paused: bool) -> Call[None]:
    """Pause or resume a queue; repeatable."""
    target = f"/queue/{'pause' if is_paused else 'resume'}"
    body = json_body(queue=checked_queue("queue", queue))
    return Call("POST", target, read_nothing, body, repeatable=True)


def options(queue: str) -> Call[QueueOptions]:
    """The settings of a queue."""
    return Call("GET", f"/queue/options{of_queue(queue)}", _decode_options, repeatable=True)


def set_options(queue: str, wanted: QueueOptions) -> Call[None]:
    """Set how a queue delivers; repeatable."""
    rate = wanted.rate
    body = json_body(
        queue=checked_queue("queue", queue),
        lease=wanted.lease,
        backoffSchedule=wanted.backoff_schedule,
        maxRunning=wanted.max_running,
        rate=None if rate is None else {"count": rate.count, "per": rate.per},
    )
    return Call("PUT", "/queue/options", read_nothing, body, repeatable=True)


def names(limit: int) -> Call[list[QueueInfo]]:
    """Queues that are in use."""
    target = f"/queue/queues?limit={checked_limit(limit)}"
    return Call("GET", target, _read_named, repeatable=True)


def wanted_options(
    lease: Duration | None,
    backoff_schedule: Sequence[Duration] | None,
    max_running: int | None,
    rate: Any,
) -> QueueOptions:
    """Options as they are given in Python. Raises `InvalidInput`.

    How large they may be, the server says.
    """
    if isinstance(backoff_schedule, str):
        raise InvalidInput("backoff_schedule must be a list of durations")
    members: dict[str, Any] = {}
    if lease is not None:
        members["lease"] = milliseconds("lease", lease)
    if backoff_schedule is not None:
        members["backoffSchedule"] = [
            milliseconds(f"backoff_schedule[{number}]", pause)
            for number, pause in enumerate(backoff_schedule)
        ]
    if max_running is not None:
        members["maxRunning"] = max_running
    if rate is not None:
        if not isinstance(rate, (tuple, list)) or len(rate) != 2:
            raise InvalidInput(f'rate must be a pair such as (100, "1m"), received {rate!r:.50}')
        members["rate"] = {"count": rate[0], "per": milliseconds("rate", rate[1])}
    try:
        return msgspec.convert(members, QueueOptions)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"These are not options of a queue: {error}") from None


def _page(content: bytes) -> Page:
    listed = _decode_listed(content)
    return QueuePage([_message(raw) for raw in listed.messages], listed.cursor)


def _message(raw: _Message) -> QueuedMessage[Any]:
    return QueuedMessage(
        raw.id,
        untag(raw.value),
        raw.state,  # type: ignore[arg-type] # one of those, as the server says
        raw.attempts,
        raw.max_attempts,
        raw.priority,
        raw.ready_at,
        raw.created_at,
        raw.queue,
    )

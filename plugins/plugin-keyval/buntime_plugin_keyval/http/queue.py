"""Endpoints below `/queue`."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from buntime_keyval.wire import InvalidInput, canonical_text
from buntime_keyval.wire.describe import describe

from buntime_plugin_keyval.errors import LetterNotFound
from buntime_plugin_keyval.http import inputs
from buntime_plugin_keyval.http.answers import Answer, Frames
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.http.sse import OPENED, PING, frame, opened
from buntime_plugin_keyval.queue.messages import (
    Message,
    parse_lease_duration,
    parse_options,
    parse_pause,
)
from buntime_plugin_keyval.service import KeyValService

OK = '{"ok":true}'
MAX_PREFETCH = 1000


async def enqueue(service: KeyValService, request: Request) -> str:
    """`POST /queue/enqueue`"""
    body = await request.json_object()
    if "value" not in body:
        raise InvalidInput("value is required: any JSON value, null included")
    options = parse_options(body.get("options"))
    value = canonical_text(body["value"], service.store.clock())
    message_id = await service.queue.enqueue(value, options)
    return f'{{"ok":true,"id":"{message_id}"}}'


async def poll(service: KeyValService, request: Request) -> str:
    """`GET /queue/poll`, `GET /queue/dequeue`; with `lease=true` the message names its lease."""
    messages = await service.queue.lease(1)
    if not messages:
        return '{"message":null}'
    return f'{{"message":{message_json(messages[0], lease=_wants_lease(request))}}}'


async def ack(service: KeyValService, request: Request) -> str:
    """`POST /queue/ack`, `POST /queue/ack/<id>`"""
    message_id, body = await _settlement(service, request)
    await service.queue.ack(message_id, inputs.parse_text("lease", body.get("lease")))
    return OK


async def nack(service: KeyValService, request: Request) -> str:
    """`POST /queue/nack`, `POST /queue/nack/<id>`

    With `"attempted": false`, which needs the lease, the delivery counts for nothing.
    """
    message_id, body = await _settlement(service, request)
    error = inputs.parse_text("error", body.get("error"))
    delay = body.get("delay")
    lease = inputs.parse_text("lease", body.get("lease"))
    if inputs.parse_flag("attempted", body.get("attempted"), default=True):
        delay_ms = None if delay is None else parse_pause("delay", delay)
        await service.queue.nack(message_id, error=error, delay_ms=delay_ms, lease=lease)
    elif not lease:
        raise InvalidInput("lease is required where attempted is false")
    elif error is not None or delay is not None:
        raise InvalidInput("error and delay are for attempts: attempted is false")
    else:
        await service.queue.release(message_id, lease)
    return OK


async def extend(service: KeyValService, request: Request) -> str:
    """`POST /queue/extend`, `POST /queue/extend/<id>`"""
    message_id, body = await _settlement(service, request)
    duration = body.get("duration")
    await service.queue.extend(
        message_id,
        inputs.parse_text("lease", body.get("lease")),
        None if duration is None else parse_lease_duration(duration),
    )
    return OK


async def stats(service: KeyValService, request: Request) -> str:
    """`GET /queue/stats`"""
    return msgspec.json.encode(await service.queue.stats()).decode()


async def list_dlq(service: KeyValService, request: Request) -> str:
    """`GET /queue/dlq`"""
    letters = await service.queue.list_dlq(
        limit=inputs.parse_limit(request.query("limit")),
        offset=inputs.parse_offset(request.query("offset")),
    )
    return msgspec.json.encode(letters).decode()


async def get_dlq(service: KeyValService, request: Request) -> str:
    """`GET /queue/dlq/<id>`"""
    letter = await service.queue.get_dlq_message(_path_id(request))
    if letter is None:
        raise LetterNotFound
    return msgspec.json.encode(letter).decode()


async def requeue_dlq(service: KeyValService, request: Request) -> str | Answer:
    """`POST /queue/dlq/<id>/requeue`"""
    try:
        message_id = await service.queue.requeue_dlq(_path_id(request))
    except LetterNotFound as error:
        return Answer(error.STATUS, f'{{"ok":false,"error":"{error.message}"}}')
    # The first server called it newId, its client reads id.
    return f'{{"ok":true,"id":"{message_id}","newId":"{message_id}"}}'


async def delete_dlq(service: KeyValService, request: Request) -> str:
    """`DELETE /queue/dlq/<id>`"""
    await service.queue.delete_dlq(_path_id(request))
    return OK


async def purge_dlq(service: KeyValService, request: Request) -> str:
    """`DELETE /queue/dlq`"""
    return f'{{"deletedCount":{await service.queue.purge_dlq()}}}'


async def listen(service: KeyValService, request: Request) -> Frames:
    """`GET /queue/listen`: messages as they come.

    With `prefetch` at most so many of them are not settled, and those go back to the queue when
    the connection ends. Without it there is no limit, and what was sent keeps its lease.
    """
    prefetch = inputs.parse_count("prefetch", request.query("prefetch"), most=MAX_PREFETCH)
    return await opened(_frames(service, prefetch, lease=_wants_lease(request)), request)


async def _frames(service: KeyValService, prefetch: int | None, *, lease: bool) -> Frames:
    heartbeat_s = service.config.queue.heartbeat_ms / 1000
    listener = service.dispatcher.attach(prefetch=prefetch)
    try:
        yield OPENED
        yield PING
        while not listener.closed:
            message = await listener.next(heartbeat_s)
            if message is not None:
                yield frame("message", message_json(message, lease=lease), message.id)
            elif not listener.closed:
                yield PING
    finally:
        listener.close()


def _wants_lease(request: Request) -> bool:
    return request.query("lease") == "true"


def message_json(message: Message, *, lease: bool) -> str:
    """A message as clients know it."""
    extra = f',"lease":"{message.lease}"' if lease else ""
    return f'{{"id":"{message.id}","value":{message.value},"attempts":{message.attempts}{extra}}}'


async def _settlement(service: KeyValService, request: Request) -> tuple[str, dict[str, object]]:
    """The id, from the path or the body, and the body, which a path with an id may lack.

    With `"drain": true` the stream that delivered the message is told to deliver no more.
    """
    in_path = request.path.count(b"/") > 2
    content = await request.body()
    body = inputs.parse_object(content) if content or not in_path else {}
    message_id = _path_id(request) if in_path else body.get("id")
    if not isinstance(message_id, str) or not message_id:
        raise InvalidInput(f"id must be a non-empty string, received {describe(message_id)}")
    if inputs.parse_flag("drain", body.get("drain")):
        service.dispatcher.drain(message_id)
    return message_id, body


def _path_id(request: Request) -> str:
    """The id in `/queue/<kind>/<id>` and `/queue/<kind>/<id>/<verb>`."""
    return unquote(request.path.split(b"/")[3].decode("latin-1"))

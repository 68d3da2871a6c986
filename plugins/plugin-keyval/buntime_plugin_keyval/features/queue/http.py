"""Endpoints below `/queue` for sending and taking messages."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from buntime_host import Answer, MethodNotAllowed
from buntime_keyval.wire import InvalidInput, encode_key
from buntime_keyval.wire.canonical import CanonicalText, text_of
from buntime_keyval.wire.commits import DEFAULT_OPTIONS, MessageOptions
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.stamps import without_stamps
from buntime_keyval.wire.values import plain_text

from buntime_plugin_keyval.engine.loop import until_beat
from buntime_plugin_keyval.features.queue.admin_http import ADMIN_ROUTES
from buntime_plugin_keyval.features.queue.listener import Ending
from buntime_plugin_keyval.features.queue.of_queue import OK, OfQueue, needs_of, path_id
from buntime_plugin_keyval.features.queue.part import QueuePart
from buntime_plugin_keyval.model.messages import LeasedMessage
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import Frame, Frames
from buntime_plugin_keyval.requests.asked import NO_KEYS, Asked, Keys, Request, Route, Routes
from buntime_plugin_keyval.requests.large import LargeMembers, value_frame
from buntime_plugin_keyval.requests.permissions import QUEUE_RECEIVE, QUEUE_SEND
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.requests.sse import LARGE_BYTES, OPENED, PING, frame, opened

MAX_PREFETCH = 1000

_AROUND_BYTES = 130
"""Bytes of a message's event beside its value, its queue, and its id, which is there twice."""

PACKET_BYTES = 1200
"""The most bytes of messages that are written as one: they fit into one network packet, so that no
read by a client ends within one of them."""


class NewMessageBody(RequestShape, frozen=True, kw_only=True):
    value: Annotated[object, kinds.VALUE]
    options: Annotated[MessageOptions, kinds.MESSAGE_OPTIONS] = DEFAULT_OPTIONS
    delivery: Annotated[str | None, kinds.TEXT] = None
    """Without effect: older clients send it."""


class Polling(OfQueue, frozen=True, kw_only=True):
    """How messages are delivered."""

    lease: Annotated[bool, kinds.FLAG] = False
    delivery: Annotated[str | None, kinds.TEXT] = None
    """Without effect: older clients send it."""


class Listening(Polling, frozen=True, kw_only=True):
    """How messages are delivered in a stream."""

    prefetch: Annotated[int | None, kinds.count_up_to(MAX_PREFETCH)] = None


class Settlement(RequestShape, frozen=True, kw_only=True):
    """The delivery to settle. The message may be sent back as it came, with its value."""

    id: Annotated[str | None, kinds.MESSAGE_ID] = None
    lease: Annotated[str | None, kinds.TEXT] = None
    drain: Annotated[bool, kinds.FLAG] = False
    queue: Annotated[str | None, kinds.QUEUE_NAME] = None
    """Its queue, for callers that may use that queue alone; any if left out."""
    strict: Annotated[bool, kinds.FLAG] = False
    """Whether an unknown id is an error."""
    value: Annotated[object, kinds.VALUE] = None
    """Without effect."""
    attempts: Annotated[int | None, kinds.OFFSET] = None
    """Without effect."""


class FailedDelivery(Settlement, frozen=True, kw_only=True):
    error: Annotated[str | None, kinds.ERROR] = None
    delay: Annotated[int | None, kinds.PAUSE] = None
    attempted: Annotated[bool, kinds.FLAG] = True


class Extension(Settlement, frozen=True, kw_only=True):
    """A delivery whose lease is to be prolonged."""

    duration: Annotated[int | None, kinds.LEASE_DURATION] = None


def enqueue(part: QueuePart, request: Request[NewMessageBody]) -> Asked:
    """`POST /queue/enqueue`: send a message, now or later."""
    given, options = request.given.value, request.given.options
    if isinstance(given, CanonicalText):
        value = without_stamps(given.text)
    else:
        value = text_of(given, part.store.clock.wall())
    keys = options.keys_if_undelivered
    return Asked(
        "queue_enqueue",
        "write",
        partial(part.queue.enqueue, value, options, request.once),
        writes=Keys([encode_key(key) for key in keys]) if keys else NO_KEYS,
        needs=needs_of(QUEUE_SEND, options.queue),
        answer=_answer_sent,
    )


def _answer_sent(sent: Future[str]) -> Answer:
    return Answer(200, f'{{"ok":true,"id":"{sent.result()}"}}')


def poll(part: QueuePart, request: Request[Polling]) -> Asked:
    """`GET /queue/poll`, `GET /queue/dequeue`: take the next message, or null.

    With `lease=true` the message names its lease.
    """
    if request.head:  # the message would be taken, and the answer would not contain it
        raise MethodNotAllowed("HEAD would take a message, use GET", headers={"Allow": "GET"})
    lease, queue = request.given.lease, request.given.queue

    async def run() -> str:
        message = await part.queue.take(queue)
        if message is None:
            return '{"message":null}'
        unwanted = Ending([message._replace(value="")], [])
        request.source.unwanted = partial(part.dispatcher.give_back, unwanted)
        return f'{{"message":{message_json(message, queue, lease=lease)}}}'

    return Asked("queue_dequeue", "write", run, needs=needs_of(QUEUE_RECEIVE, queue))


def ack(part: QueuePart, request: Request[Settlement]) -> Asked:
    """`POST /queue/ack`, `POST /queue/ack/<id>`: remove a message that is processed."""
    message_id, given = _settled_id(request), request.given
    needs = needs_of(QUEUE_RECEIVE, given.queue)
    if request.once is None:

        def settle() -> Future[None]:
            _drain(part, message_id, given)
            return part.queue.settle(
                message_id, given.lease, strict=given.strict, queue=given.queue
            )

        return Asked("queue_ack", "write", settle, needs=needs, answer=_answer_settled)

    async def run() -> str:
        _drain(part, message_id, given)
        await part.queue.ack(
            message_id, given.lease, request.once, strict=given.strict, queue=given.queue
        )
        return OK

    return Asked("queue_ack", "write", run, needs=needs)


def _answer_settled(settled: Future[None]) -> Answer:
    settled.result()
    return Answer(200, OK)


def nack(part: QueuePart, request: Request[FailedDelivery]) -> Asked:
    """`POST /queue/nack`, `POST /queue/nack/<id>`: give back a message that has failed.

    With `"attempted": false`, which needs the lease, the delivery does not count as an attempt.
    """
    message_id, given = _settled_id(request), request.given
    lease = given.lease

    async def run() -> str:
        _drain(part, message_id, given)
        await part.queue.nack(
            message_id,
            error=given.error,
            delay_ms=given.delay,
            lease=lease,
            once=request.once,
            strict=given.strict,
            queue=given.queue,
        )
        return OK

    if given.attempted:
        return Asked("queue_nack", "write", run, needs=needs_of(QUEUE_RECEIVE, given.queue))
    if not lease:
        raise InvalidInput("lease is required when attempted is false")
    if given.error is not None or given.delay is not None:
        raise InvalidInput("error and delay are for attempts: leave them out with attempted: false")

    async def release() -> str:
        _drain(part, message_id, given)
        await part.queue.release(message_id, lease, request.once, queue=given.queue)
        return OK

    return Asked("queue_nack", "write", release, needs=needs_of(QUEUE_RECEIVE, given.queue))


def extend(part: QueuePart, request: Request[Extension]) -> Asked:
    """`POST /queue/extend`, `POST /queue/extend/<id>`: prolong the lease of a message."""
    message_id, given = _settled_id(request), request.given

    async def run() -> str:
        _drain(part, message_id, given)
        await part.queue.extend(
            message_id,
            given.lease,
            given.duration,
            request.once,
            strict=given.strict,
            queue=given.queue,
        )
        return OK

    return Asked("queue_extend", "write", run, needs=needs_of(QUEUE_RECEIVE, given.queue))


def listen(part: QueuePart, request: Request[Listening]) -> Asked:
    """`GET /queue/listen`: messages as they come.

    With `prefetch` at most that many are unsettled at a time, and those go back to the queue when
    the connection ends. Without it there is no limit, and sent messages keep their leases.
    """
    given = request.given

    async def run() -> Frames:
        client = part.client_of(request.source.peer)
        frames = _frames(part, given, client)
        return await opened(frames, head=request.head)

    return Asked("queue_listen", "write", run, needs=needs_of(QUEUE_RECEIVE, given.queue))


def _plain_message(content: bytes) -> NewMessageBody | None:
    """See `Route`: a body with a short value and no other member."""
    if not (content.startswith(_VALUE) and content.endswith(b"}")):
        return None
    # If the text between the prefix and the last brace is one value, it is the only member.
    text = plain_text(content[len(_VALUE) : -1])
    return None if text is None else NewMessageBody(value=CanonicalText(text))


_VALUE = b'{"value":'


class _PlainSettlement(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: str
    lease: str | msgspec.UnsetType = msgspec.UNSET
    drain: bool | msgspec.UnsetType = msgspec.UNSET


_read_settlement = msgspec.json.Decoder(_PlainSettlement).decode


def _plain_settlement(content: bytes) -> Settlement | None:
    """See `Route`: a body with an id, and optionally `lease` and `drain`."""
    try:
        plain = _read_settlement(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    lease, drain = plain.lease, plain.drain
    quotes = 4 + 4 * (lease is not msgspec.UNSET) + 2 * (drain is not msgspec.UNSET)
    if not plain.id or content.count(b'"') != quotes:  # a member may occur twice
        return None
    return Settlement(
        id=plain.id, lease=None if lease is msgspec.UNSET else lease, drain=drain is True
    )


def _large(part: QueuePart) -> LargeMembers:
    """How to read a message with a large value."""
    return {"value": value_frame(part.store.clock.wall())}


_POLL = Route(poll, Polling, has_head=False)
_ENQUEUE = Route(enqueue, NewMessageBody, MemberPlace.BODY, _large, quick=_plain_message)
_ACK = Route(ack, Settlement, MemberPlace.BODY, _large, quick=_plain_settlement)

ROUTES: Routes = {
    "/queue/enqueue": {"POST": _ENQUEUE},
    "/queue/poll": {"GET": _POLL},
    "/queue/dequeue": {"GET": _POLL},
    "/queue/listen": {"GET": Route(listen, Listening, is_stream=True)},
    "/queue/ack": {"POST": _ACK},
    "/queue/ack/{id}": {"POST": Route(ack, Settlement, MemberPlace.OPTIONAL_BODY, _large)},
    "/queue/nack": {"POST": Route(nack, FailedDelivery, MemberPlace.BODY, _large)},
    "/queue/nack/{id}": {"POST": Route(nack, FailedDelivery, MemberPlace.OPTIONAL_BODY, _large)},
    "/queue/extend": {"POST": Route(extend, Extension, MemberPlace.BODY, _large)},
    "/queue/extend/{id}": {"POST": Route(extend, Extension, MemberPlace.OPTIONAL_BODY, _large)},
    **ADMIN_ROUTES,
}


async def _frames(part: QueuePart, given: Listening, client: str | None) -> Frames:
    heartbeat_s, queue, lease = part.config.heartbeat, given.queue, given.lease
    around = _AROUND_BYTES + len(msgspec.json.encode(queue))

    def size(message: LeasedMessage) -> int:
        value = message.value
        bytes_of_value = len(value) if value.isascii() else 4 * len(value)
        return around + 2 * len(message.id) + bytes_of_value

    listener = part.dispatcher.attach(queue, prefetch=given.prefetch, client=client)
    try:
        yield OPENED
        yield PING
        while not listener.closed:
            messages = await listener.next_few(until_beat(heartbeat_s), size, PACKET_BYTES)
            if messages:
                sent = _message_frames(messages, queue, lease=lease)
                messages.clear()  # what a slow client has not read is kept once, in its connection
                yield sent
                del sent
            elif not listener.closed:
                yield PING
    finally:
        listener.close()


def message_json(message: LeasedMessage, queue: str, *, lease: bool) -> str:
    """A message as JSON for clients."""
    head, tail = _around_value(message, queue, lease=lease)
    return f"{head}{message.value}{tail}"


def _around_value(message: LeasedMessage, queue: str, *, lease: bool) -> tuple[str, str]:
    extra = f',"lease":"{message.lease}"' if lease else ""
    if queue:
        extra += f',"queue":{msgspec.json.encode(queue).decode()}'
    return f'{{"id":"{message.id}","value":', f',"attempts":{message.attempts}{extra}}}'


def _message_frames(messages: Sequence[LeasedMessage], queue: str, *, lease: bool) -> Frame:
    """The events of several messages, in one piece unless one is large."""
    if len(messages) == 1:
        return _message_frame(messages[0], queue, lease=lease)
    return b"".join(
        [
            frame("message", message_json(message, queue, lease=lease), message.id)
            for message in messages
        ]
    )


def _message_frame(message: LeasedMessage, queue: str, *, lease: bool) -> Frame:
    """The event of a message; a large value stays a piece of its own."""
    if len(message.value) <= LARGE_BYTES:
        return frame("message", message_json(message, queue, lease=lease), message.id)
    head, tail = _around_value(message, queue, lease=lease)
    return (
        f"event: message\ndata: {head}".encode(),
        message.value.encode(),
        f"{tail}\nid: {message.id}\n\n".encode(),
    )


def _settled_id(request: Request[Settlement]) -> str:
    """The message's id, from the path or the body. Raises `InvalidInput`."""
    given = request.given.id
    if request.path.count(b"/") > _SLASHES_WITHOUT_ID:
        message_id = path_id(request.path)
        if given not in (None, message_id):
            raise InvalidInput("id is given twice, and differs: in the path and in the body")
        return message_id
    if given is None:
        raise InvalidInput(f"id must be a non-empty string, received {describe(None)}")
    return given


_SLASHES_WITHOUT_ID = 2


def _drain(part: QueuePart, message_id: str, given: Settlement) -> None:
    """With `"drain": true`, have the stream that delivered the message deliver no more."""
    if given.drain:
        part.dispatcher.drain(message_id)

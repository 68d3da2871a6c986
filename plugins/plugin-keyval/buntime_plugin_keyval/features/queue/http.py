"""Endpoints below `/queue`."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from functools import partial
from typing import Annotated
from urllib.parse import unquote

import msgspec
from buntime_host import Answer, MethodNotAllowed
from buntime_keyval.wire import InvalidInput, encode_key
from buntime_keyval.wire.canonical import text_of
from buntime_keyval.wire.commits import MessageOptions
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.features.queue.part import QueuePart
from buntime_plugin_keyval.features.queue.queues import read_place
from buntime_plugin_keyval.model.errors import LetterNotFound
from buntime_plugin_keyval.model.messages import (
    MOST_COUNT,
    DeliveryRate,
    LeasedMessage,
    QueueSettings,
)
from buntime_plugin_keyval.requests.answers import Frame, Frames, Text
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Need, Request, Route, Routes
from buntime_plugin_keyval.requests.kinds import (
    BACKOFF,
    ERROR,
    FLAG,
    LEASE_DURATION,
    LIMIT,
    MESSAGE_ID,
    MESSAGE_OPTIONS,
    OFFSET,
    PAUSE,
    QUEUE_LEASE,
    QUEUE_NAME,
    RATE,
    TEXT,
    VALUE,
    count_up_to,
)
from buntime_plugin_keyval.requests.large import LargeMembers, value_frame
from buntime_plugin_keyval.requests.permissions import QUEUE_ADMIN, QUEUE_RECEIVE, QUEUE_SEND
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.requests.sse import LARGE_BYTES, OPENED, PING, frame, opened

OK = '{"ok":true}'
MAX_PREFETCH = 1000


def _needs(scope: str, queue: str | None) -> Sequence[Need]:
    """A scope on a queue; on all of them for the one without a name, or if it is not said."""
    return ((scope, queue),) if queue else _SCOPES[scope]


_SCOPES = {scope: (scope,) for scope in (QUEUE_SEND, QUEUE_RECEIVE, QUEUE_ADMIN)}


class NewMessageBody(RequestShape, frozen=True, kw_only=True):
    """A message to send."""

    value: Annotated[object, VALUE]
    options: Annotated[MessageOptions, MESSAGE_OPTIONS] = MessageOptions()
    delivery: Annotated[str | None, TEXT] = None
    """Without effect: older clients send it."""


class OfQueue(RequestShape, frozen=True, kw_only=True):
    """Which queue it is about: the one without a name, unless it is said."""

    queue: Annotated[str, QUEUE_NAME] = ""


class InQueue(RequestShape, frozen=True, kw_only=True):
    """The queue of a dead letter, for who may ask for that queue alone; any unless it is said."""

    queue: Annotated[str | None, QUEUE_NAME] = None


class Polling(OfQueue, frozen=True, kw_only=True):
    """How messages are delivered."""

    lease: Annotated[bool, FLAG] = False
    delivery: Annotated[str | None, TEXT] = None
    """Without effect: older clients send it."""


class Listening(Polling, frozen=True, kw_only=True):
    """The same for a stream of them."""

    prefetch: Annotated[int | None, count_up_to(MAX_PREFETCH)] = None


class Settlement(RequestShape, frozen=True, kw_only=True):
    """Which delivery is over. The message may be sent back as it came, with its value."""

    id: Annotated[str | None, MESSAGE_ID] = None
    lease: Annotated[str | None, TEXT] = None
    drain: Annotated[bool, FLAG] = False
    queue: Annotated[str | None, QUEUE_NAME] = None
    """Its queue, for who may ask for that queue alone; any unless it is said."""
    strict: Annotated[bool, FLAG] = False
    """Whether an id that the queue does not have is an error."""
    value: Annotated[object, VALUE] = None
    """Without effect."""
    attempts: Annotated[int | None, OFFSET] = None
    """Without effect."""


class FailedDelivery(Settlement, frozen=True, kw_only=True):
    """A delivery that was in vain."""

    error: Annotated[str | None, ERROR] = None
    delay: Annotated[int | None, PAUSE] = None
    attempted: Annotated[bool, FLAG] = True


class Extension(Settlement, frozen=True, kw_only=True):
    """A delivery that takes longer."""

    duration: Annotated[int | None, LEASE_DURATION] = None


class LetterListing(OfQueue, frozen=True, kw_only=True):
    """Which dead letters to list."""

    limit: Annotated[int, LIMIT] = DEFAULT_LIMIT
    offset: Annotated[int, OFFSET] = 0


class OptionsBody(OfQueue, frozen=True, kw_only=True):
    """How a queue delivers; what is left out, or null, is not limited."""

    lease: Annotated[int | None, QUEUE_LEASE] = None
    backoff_schedule: Annotated[list[int] | None, BACKOFF] = None
    max_running: Annotated[int | None, count_up_to(MOST_COUNT)] = None
    rate: Annotated[DeliveryRate | None, RATE] = None


class Looking(OfQueue, frozen=True, kw_only=True):
    """How many messages to look at."""

    limit: Annotated[int, LIMIT] = 1


class MessageListing(OfQueue, frozen=True, kw_only=True):
    """Which messages to list."""

    limit: Annotated[int, LIMIT] = DEFAULT_LIMIT
    cursor: Annotated[str | None, TEXT] = None


class QueueListing(RequestShape, frozen=True, kw_only=True):
    """How many queues to list."""

    limit: Annotated[int, LIMIT] = DEFAULT_LIMIT


def enqueue(part: QueuePart, request: Request[NewMessageBody]) -> Asked:
    """`POST /queue/enqueue`: send a message, now or later."""
    value = text_of(request.given.value, part.store.clock.wall())
    options = request.given.options
    return Asked(
        "queue_enqueue",
        "write",
        partial(part.queue.enqueue, value, options, request.once),
        writes=Keys([encode_key(key) for key in options.keys_if_undelivered]),
        needs=_needs(QUEUE_SEND, options.queue),
        answer=_answer_sent,
    )


def _answer_sent(sent: Future[str]) -> Answer:
    return Answer(200, f'{{"ok":true,"id":"{sent.result()}"}}')


def poll(part: QueuePart, request: Request[Polling]) -> Asked:
    """`GET /queue/poll`, `GET /queue/dequeue`: take the next message, or null.

    With `lease=true` the message names its lease.
    """
    if request.head:  # the message would be taken, and told to nobody
        raise MethodNotAllowed("HEAD would take a message, use GET", headers={"Allow": "GET"})
    lease, queue = request.given.lease, request.given.queue

    async def run() -> str:
        message = await part.queue.take(queue)
        if message is None:
            return '{"message":null}'
        return f'{{"message":{message_json(message, queue, lease=lease)}}}'

    return Asked("queue_dequeue", "write", run, needs=_needs(QUEUE_RECEIVE, queue))


def ack(part: QueuePart, request: Request[Settlement]) -> Asked:
    """`POST /queue/ack`, `POST /queue/ack/<id>`: a message that was taken is done."""
    message_id, given = _settled_id(request), request.given

    async def run() -> str:
        _drain(part, message_id, given)
        await part.queue.ack(
            message_id, given.lease, request.once, strict=given.strict, queue=given.queue
        )
        return OK

    return Asked("queue_ack", "write", run, needs=_needs(QUEUE_RECEIVE, given.queue))


def nack(part: QueuePart, request: Request[FailedDelivery]) -> Asked:
    """`POST /queue/nack`, `POST /queue/nack/<id>`: a message that was taken has failed.

    With `"attempted": false`, which needs the lease, the delivery counts for nothing.
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
        return Asked("queue_nack", "write", run, needs=_needs(QUEUE_RECEIVE, given.queue))
    if not lease:
        raise InvalidInput("lease is required where attempted is false")
    if given.error is not None or given.delay is not None:
        raise InvalidInput("error and delay are for attempts: attempted is false")

    async def release() -> str:
        _drain(part, message_id, given)
        await part.queue.release(message_id, lease, request.once, queue=given.queue)
        return OK

    return Asked("queue_nack", "write", release, needs=_needs(QUEUE_RECEIVE, given.queue))


def extend(part: QueuePart, request: Request[Extension]) -> Asked:
    """`POST /queue/extend`, `POST /queue/extend/<id>`: keep a message for longer."""
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

    return Asked("queue_extend", "write", run, needs=_needs(QUEUE_RECEIVE, given.queue))


def stats(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`GET /queue/stats`: how many messages wait, run and are dead."""
    queue = request.given.queue

    async def run() -> str:
        return msgspec.json.encode(await part.queue.stats(queue)).decode()

    return Asked("queue_stats", "read", run, needs=_needs(QUEUE_ADMIN, queue))


def peek(part: QueuePart, request: Request[Looking]) -> Asked:
    """`GET /queue/peek`: the next messages, which stay where they are."""
    given = request.given

    async def run() -> Text:
        most = part.store.limits.answer_bytes
        return msgspec.json.encode(
            {"messages": await part.queues.peek(given.queue, given.limit, most)}
        )

    needs = _needs(QUEUE_ADMIN, given.queue)
    return Asked("queue_peek", "read", run, cost=Cost(given.limit), needs=needs)


def list_messages(part: QueuePart, request: Request[MessageListing]) -> Asked:
    """`GET /queue/messages`: list all messages in pages, as they were sent."""
    given = request.given
    after = read_place(given.cursor)

    async def run() -> Text:
        most = part.store.limits.answer_bytes
        page = await part.queues.page(given.queue, after, given.limit, most)
        cursor = None if page.after is None else str(page.after)
        return msgspec.json.encode({"messages": page.messages, "cursor": cursor})

    needs = _needs(QUEUE_ADMIN, given.queue)
    return Asked("queue_list", "read", run, cost=Cost(given.limit), needs=needs)


def purge(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`DELETE /queue/messages`: remove all messages of a queue."""
    queue = request.given.queue

    async def run() -> str:
        return f'{{"deletedCount":{await part.queues.purge(queue, request.once)}}}'

    needs = _needs(QUEUE_ADMIN, queue)
    return Asked("queue_purge", "write", run, cost=Cost(None), needs=needs)


def pause(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`POST /queue/pause`: deliver nothing of a queue until it is resumed."""
    queue = request.given.queue

    async def run() -> str:
        await part.queues.pause(queue, request.once)
        return OK

    return Asked("queue_pause", "write", run, needs=_needs(QUEUE_ADMIN, queue))


def resume(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`POST /queue/resume`: deliver again what a pause held back."""
    queue = request.given.queue

    async def run() -> str:
        await part.queues.resume(queue, request.once)
        return OK

    return Asked("queue_resume", "write", run, needs=_needs(QUEUE_ADMIN, queue))


def get_options(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`GET /queue/options`: show the limits of a queue."""
    queue = request.given.queue

    async def run() -> Text:
        return msgspec.json.encode(await part.queues.options(queue))

    return Asked("queue_options", "read", run, needs=_needs(QUEUE_ADMIN, queue))


def set_options(part: QueuePart, request: Request[OptionsBody]) -> Asked:
    """`PUT /queue/options`: set all limits of a queue; what is not said is not limited."""
    given = request.given
    options = QueueSettings(
        lease=given.lease,
        backoff_schedule=given.backoff_schedule,
        max_running=given.max_running,
        rate=given.rate,
    )

    async def run() -> str:
        await part.queues.set_options(given.queue, options, request.once)
        return OK

    return Asked("queue_options", "write", run, needs=_needs(QUEUE_ADMIN, given.queue))


def list_queues(part: QueuePart, request: Request[QueueListing]) -> Asked:
    """`GET /queue/queues`: list the queues in use, with their numbers."""
    limit = request.given.limit

    async def run() -> Text:
        states = await part.queues.states(limit)
        queues = [
            {"queue": it.name, **msgspec.structs.asdict(it.stats), "paused": it.paused}
            for it in states
        ]
        return msgspec.json.encode({"queues": queues})

    return Asked("queue_names", "read", run, cost=Cost(None), needs=(QUEUE_ADMIN,))


def list_dlq(part: QueuePart, request: Request[LetterListing]) -> Asked:
    """`GET /queue/dlq`: list messages that were given up."""
    given = request.given

    async def run() -> Text:
        letters = await part.letters.list(
            limit=given.limit,
            offset=given.offset,
            most=part.store.limits.answer_bytes,
            queue=given.queue,
        )
        return msgspec.json.encode(letters)

    return Asked(
        "dlq_list",
        "read",
        run,
        cost=Cost(given.limit + given.offset),
        needs=_needs(QUEUE_ADMIN, given.queue),
    )


def get_dlq(part: QueuePart, request: Request[InQueue]) -> Asked:
    """`GET /queue/dlq/<id>`: show a message that was given up."""
    letter_id, queue = _path_id(request.path), request.given.queue

    async def run() -> str:
        letter = await part.letters.get(letter_id, queue)
        if letter is None:
            raise LetterNotFound
        return msgspec.json.encode(letter).decode()

    return Asked("dlq_get", "read", run, needs=_needs(QUEUE_ADMIN, queue))


def requeue_dlq(part: QueuePart, request: Request[InQueue]) -> Asked:
    """`POST /queue/dlq/<id>/requeue`: try a message again that was given up."""
    letter_id, queue = _path_id(request.path), request.given.queue

    async def run() -> str | Answer:
        try:
            message_id = await part.letters.requeue(letter_id, request.once, queue=queue)
        except LetterNotFound as error:
            return Answer(error.STATUS, f'{{"ok":false,"error":"{error.message}"}}')
        # The first server called it newId, its client reads id.
        return f'{{"ok":true,"id":"{message_id}","newId":"{message_id}"}}'

    return Asked("dlq_requeue", "write", run, needs=_needs(QUEUE_ADMIN, queue))


def delete_dlq(part: QueuePart, request: Request[InQueue]) -> Asked:
    """`DELETE /queue/dlq/<id>`: remove a message that was given up."""
    letter_id, queue = _path_id(request.path), request.given.queue

    async def run() -> str:
        await part.letters.delete(letter_id, request.once, queue=queue)
        return OK

    return Asked("dlq_delete", "write", run, needs=_needs(QUEUE_ADMIN, queue))


def purge_dlq(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`DELETE /queue/dlq`: remove all messages that were given up."""
    queue = request.given.queue

    async def run() -> str:
        return f'{{"deletedCount":{await part.letters.purge(request.once, queue)}}}'

    return Asked("dlq_purge", "write", run, cost=Cost(None), needs=_needs(QUEUE_ADMIN, queue))


def listen(part: QueuePart, request: Request[Listening]) -> Asked:
    """`GET /queue/listen`: messages as they come.

    With `prefetch` at most so many of them are not settled, and those go back to the queue when
    the connection ends. Without it there is no limit, and what was sent keeps its lease.
    """
    given = request.given

    async def run() -> Frames:
        client = part.client_of(request.source.peer)
        frames = _frames(part, given, client)
        return await opened(frames, head=request.head)

    return Asked("queue_listen", "write", run, needs=_needs(QUEUE_RECEIVE, given.queue))


def _large(part: QueuePart) -> LargeMembers:
    """How to read the value of a message."""
    return {"value": value_frame(part.store.clock.wall())}


_POLL = Route(poll, Polling, has_head=False)

ROUTES: Routes = {
    "/queue/enqueue": {"POST": Route(enqueue, NewMessageBody, MemberPlace.BODY, _large)},
    "/queue/poll": {"GET": _POLL},
    "/queue/dequeue": {"GET": _POLL},
    "/queue/listen": {"GET": Route(listen, Listening, is_stream=True)},
    "/queue/ack": {"POST": Route(ack, Settlement, MemberPlace.BODY, _large)},
    "/queue/ack/{id}": {"POST": Route(ack, Settlement, MemberPlace.OPTIONAL_BODY, _large)},
    "/queue/nack": {"POST": Route(nack, FailedDelivery, MemberPlace.BODY, _large)},
    "/queue/nack/{id}": {"POST": Route(nack, FailedDelivery, MemberPlace.OPTIONAL_BODY, _large)},
    "/queue/extend": {"POST": Route(extend, Extension, MemberPlace.BODY, _large)},
    "/queue/extend/{id}": {"POST": Route(extend, Extension, MemberPlace.OPTIONAL_BODY, _large)},
    "/queue/stats": {"GET": Route(stats, OfQueue)},
    "/queue/peek": {"GET": Route(peek, Looking)},
    "/queue/messages": {
        "GET": Route(list_messages, MessageListing),
        "DELETE": Route(purge, OfQueue, MemberPlace.EITHER),
    },
    "/queue/pause": {"POST": Route(pause, OfQueue, MemberPlace.EITHER)},
    "/queue/resume": {"POST": Route(resume, OfQueue, MemberPlace.EITHER)},
    "/queue/options": {
        "GET": Route(get_options, OfQueue),
        "PUT": Route(set_options, OptionsBody, MemberPlace.BODY),
    },
    "/queue/queues": {"GET": Route(list_queues, QueueListing)},
    "/queue/dlq": {
        "GET": Route(list_dlq, LetterListing),
        "DELETE": Route(purge_dlq, OfQueue, MemberPlace.EITHER),
    },
    "/queue/dlq/{id}": {
        "GET": Route(get_dlq, InQueue),
        "DELETE": Route(delete_dlq, InQueue, MemberPlace.EITHER),
    },
    "/queue/dlq/{id}/requeue": {"POST": Route(requeue_dlq, InQueue, MemberPlace.EITHER)},
}


async def _frames(part: QueuePart, given: Listening, client: str | None) -> Frames:
    heartbeat_s, queue, lease = part.config.heartbeat, given.queue, given.lease
    listener = part.dispatcher.attach(queue, prefetch=given.prefetch, client=client)
    try:
        yield OPENED
        yield PING
        while not listener.closed:
            message = await listener.next(heartbeat_s)
            if message is not None:
                sent = _message_frame(message, queue, lease=lease)
                message = None  # what a client does not take is there once, in its connection
                yield sent
                del sent
            elif not listener.closed:
                yield PING
    finally:
        listener.close()


def message_json(message: LeasedMessage, queue: str, *, lease: bool) -> str:
    """A message as clients know it."""
    head, tail = _around_value(message, queue, lease=lease)
    return f"{head}{message.value}{tail}"


def _around_value(message: LeasedMessage, queue: str, *, lease: bool) -> tuple[str, str]:
    extra = f',"lease":"{message.lease}"' if lease else ""
    if queue:
        extra += f',"queue":{msgspec.json.encode(queue).decode()}'
    return f'{{"id":"{message.id}","value":', f',"attempts":{message.attempts}{extra}}}'


def _message_frame(message: LeasedMessage, queue: str, *, lease: bool) -> Frame:
    """The event of a message; a large value is not put together with anything."""
    if len(message.value) <= LARGE_BYTES:
        return frame("message", message_json(message, queue, lease=lease), message.id)
    head, tail = _around_value(message, queue, lease=lease)
    return (
        f"event: message\ndata: {head}".encode(),
        message.value.encode(),
        f"{tail}\nid: {message.id}\n\n".encode(),
    )


def _settled_id(request: Request[Settlement]) -> str:
    """The id, from the path or the body."""
    given = request.given.id
    if request.path.count(b"/") > _SLASHES_WITHOUT_ID:
        message_id = _path_id(request.path)
        if given not in (None, message_id):
            raise InvalidInput("id is given twice: in the path and, another one, in the body")
        return message_id
    if given is None:
        raise InvalidInput(f"id must be a non-empty string, received {describe(None)}")
    return given


_SLASHES_WITHOUT_ID = 2


def _drain(part: QueuePart, message_id: str, given: Settlement) -> None:
    """With `"drain": true` the stream that delivered the message is told to deliver no more."""
    if given.drain:
        part.dispatcher.drain(message_id)


def _path_id(path: bytes) -> str:
    """The id in `/queue/<kind>/<id>` and `/queue/<kind>/<id>/<verb>`."""
    return unquote(path.split(b"/")[3].decode("latin-1"))

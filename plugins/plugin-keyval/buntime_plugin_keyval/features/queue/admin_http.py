"""Endpoints below `/queue` for administration: contents of queues, limits, dead letters."""

from __future__ import annotations

from typing import Annotated

import msgspec
from buntime_host import Answer
from buntime_keyval import QueueOptions, QueueRate
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.features.queue.of_queue import OK, OfQueue, needs_of, path_id
from buntime_plugin_keyval.features.queue.part import QueuePart
from buntime_plugin_keyval.features.queue.queues import read_place
from buntime_plugin_keyval.model.errors import LetterNotFound
from buntime_plugin_keyval.model.messages import MOST_COUNT
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import Text
from buntime_plugin_keyval.requests.asked import Asked, Cost, Request, Route, Routes
from buntime_plugin_keyval.requests.permissions import QUEUE_ADMIN
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape


class InQueue(RequestShape, frozen=True, kw_only=True):
    """The queue of a dead letter, for callers that may use that queue alone; any if left out."""

    queue: Annotated[str | None, kinds.QUEUE_NAME] = None


class LetterListing(OfQueue, frozen=True, kw_only=True):
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT
    offset: Annotated[int, kinds.OFFSET] = 0


class OptionsBody(OfQueue, frozen=True, kw_only=True):
    """How a queue delivers; members that are left out or null set no limit."""

    lease: Annotated[int | None, kinds.QUEUE_LEASE] = None
    backoff_schedule: Annotated[list[int] | None, kinds.BACKOFF] = None
    max_running: Annotated[int | None, kinds.count_up_to(MOST_COUNT)] = None
    rate: Annotated[QueueRate | None, kinds.RATE] = None


class Looking(OfQueue, frozen=True, kw_only=True):
    limit: Annotated[int, kinds.LIMIT] = 1


class MessageListing(OfQueue, frozen=True, kw_only=True):
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT
    cursor: Annotated[str | None, kinds.TEXT] = None


class QueueListing(RequestShape, frozen=True, kw_only=True):
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT


def stats(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`GET /queue/stats`: how many messages wait, run and are dead."""
    queue = request.given.queue

    async def run() -> str:
        return msgspec.json.encode(await part.queue.stats(queue)).decode()

    return Asked("queue_stats", "read", run, needs=needs_of(QUEUE_ADMIN, queue))


def peek(part: QueuePart, request: Request[Looking]) -> Asked:
    """`GET /queue/peek`: show the next messages without taking them."""
    given = request.given

    async def run() -> Text:
        most = part.store.limits.answer_bytes
        return msgspec.json.encode(
            {"messages": await part.queues.peek(given.queue, given.limit, most)}
        )

    needs = needs_of(QUEUE_ADMIN, given.queue)
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

    needs = needs_of(QUEUE_ADMIN, given.queue)
    return Asked("queue_list", "read", run, cost=Cost(given.limit), needs=needs)


def purge(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`DELETE /queue/messages`: remove all messages of a queue."""
    queue = request.given.queue

    async def run() -> str:
        return f'{{"deletedCount":{await part.queues.purge(queue, request.once)}}}'

    needs = needs_of(QUEUE_ADMIN, queue)
    return Asked("queue_purge", "write", run, cost=Cost(None), needs=needs)


def pause(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`POST /queue/pause`: deliver nothing from a queue until it is resumed."""
    queue = request.given.queue

    async def run() -> str:
        await part.queues.pause(queue, request.once)
        return OK

    return Asked("queue_pause", "write", run, needs=needs_of(QUEUE_ADMIN, queue))


def resume(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`POST /queue/resume`: deliver from a paused queue again."""
    queue = request.given.queue

    async def run() -> str:
        await part.queues.resume(queue, request.once)
        return OK

    return Asked("queue_resume", "write", run, needs=needs_of(QUEUE_ADMIN, queue))


def get_options(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`GET /queue/options`: show the limits of a queue."""
    queue = request.given.queue

    async def run() -> Text:
        return msgspec.json.encode(await part.queues.options(queue))

    return Asked("queue_options", "read", run, needs=needs_of(QUEUE_ADMIN, queue))


def set_options(part: QueuePart, request: Request[OptionsBody]) -> Asked:
    """`PUT /queue/options`: set all limits of a queue; those left out are lifted."""
    given = request.given
    options = QueueOptions(
        lease=given.lease,
        backoff_schedule=given.backoff_schedule,
        max_running=given.max_running,
        rate=given.rate,
    )

    async def run() -> str:
        await part.queues.set_options(given.queue, options, request.once)
        return OK

    return Asked("queue_options", "write", run, needs=needs_of(QUEUE_ADMIN, given.queue))


def list_queues(part: QueuePart, request: Request[QueueListing]) -> Asked:
    """`GET /queue/queues`: list the queues in use, with their counts."""
    limit = request.given.limit

    async def run() -> Text:
        return msgspec.json.encode({"queues": await part.queues.states(limit)})

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
        needs=needs_of(QUEUE_ADMIN, given.queue),
    )


def get_dlq(part: QueuePart, request: Request[InQueue]) -> Asked:
    """`GET /queue/dlq/<id>`: show a message that was given up."""
    letter_id, queue = path_id(request.path), request.given.queue

    async def run() -> str:
        letter = await part.letters.get(letter_id, queue)
        if letter is None:
            raise LetterNotFound
        return msgspec.json.encode(letter).decode()

    return Asked("dlq_get", "read", run, needs=needs_of(QUEUE_ADMIN, queue))


def requeue_dlq(part: QueuePart, request: Request[InQueue]) -> Asked:
    """`POST /queue/dlq/<id>/requeue`: send a message again that was given up."""
    letter_id, queue = path_id(request.path), request.given.queue

    async def run() -> str | Answer:
        try:
            message_id = await part.letters.requeue(letter_id, request.once, queue=queue)
        except LetterNotFound as error:
            return Answer(error.STATUS, f'{{"ok":false,"error":"{error.message}"}}')
        # The first server called it newId, but its client reads id.
        return f'{{"ok":true,"id":"{message_id}","newId":"{message_id}"}}'

    return Asked("dlq_requeue", "write", run, needs=needs_of(QUEUE_ADMIN, queue))


def delete_dlq(part: QueuePart, request: Request[InQueue]) -> Asked:
    """`DELETE /queue/dlq/<id>`: remove a message that was given up."""
    letter_id, queue = path_id(request.path), request.given.queue

    async def run() -> str:
        await part.letters.delete(letter_id, request.once, queue=queue)
        return OK

    return Asked("dlq_delete", "write", run, needs=needs_of(QUEUE_ADMIN, queue))


def purge_dlq(part: QueuePart, request: Request[OfQueue]) -> Asked:
    """`DELETE /queue/dlq`: remove all messages that were given up."""
    queue = request.given.queue

    async def run() -> str:
        return f'{{"deletedCount":{await part.letters.purge(request.once, queue)}}}'

    return Asked("dlq_purge", "write", run, cost=Cost(None), needs=needs_of(QUEUE_ADMIN, queue))


ADMIN_ROUTES: Routes = {
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

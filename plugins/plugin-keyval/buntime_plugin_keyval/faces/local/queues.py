"""Queues themselves, for Python callers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from buntime_keyval import DeleteResult, QueuedMessage, QueueInfo, QueueOptions, QueuePage
from buntime_keyval.shared import Rate, checked_limit, wanted_options
from buntime_keyval.wire import Duration, decode_value
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.names import checked_queue

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.features.queue.queues import StoredQueues, checked_options, read_place
from buntime_plugin_keyval.model import messages
from buntime_plugin_keyval.requests.permissions import QUEUE_ADMIN, Permits

Infos = list[QueueInfo]
Messages = list[QueuedMessage[Any]]


class LocalQueues:
    """All queues of a store: their options, and their messages, which are not taken."""

    def __init__(self, queues: StoredQueues, permits: Permits) -> None:
        self._queues = queues
        self._permits = permits

    async def list(self, *, limit: int = DEFAULT_LIMIT) -> Infos:
        """Queues that are in use, in order of name; at most 1000."""
        self._permits.need(QUEUE_ADMIN)
        return await self._queues.states(min(checked_limit(limit), MAX_LIMIT))

    async def peek(self, queue: str = "", *, limit: int = 1) -> Messages:
        """The next messages of a queue in order of delivery, which are not taken."""
        name, size = self._permitted(queue), min(checked_limit(limit), MAX_LIMIT)
        return [_decoded(it) for it in await self._queues.peek(name, size, sys.maxsize)]

    async def paginate(
        self, queue: str = "", *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> QueuePage[Any]:
        """Messages of a queue in any state, in the order sent; `cursor` is of the page before."""
        name, size = self._permitted(queue), min(checked_limit(limit), MAX_LIMIT)
        page = await self._queues.page(name, read_place(cursor), size, sys.maxsize)
        after = None if page.after is None else str(page.after)
        return QueuePage([_decoded(it) for it in page.messages], after)

    async def pause(self, queue: str = "", *, idempotency_key: str | None = None) -> None:
        """Stop deliveries from a queue on all hosts; delivered messages can still be settled."""
        name = self._permitted(queue)
        await self._queues.pause(name, once_of(idempotency_key, "pause_queue", name))

    async def resume(self, queue: str = "", *, idempotency_key: str | None = None) -> None:
        """Deliver from a queue again."""
        name = self._permitted(queue)
        await self._queues.resume(name, once_of(idempotency_key, "resume_queue", name))

    async def purge(self, queue: str = "", *, idempotency_key: str | None = None) -> DeleteResult:
        """Delete all messages of a queue, including those being processed; dead letters stay."""
        name = self._permitted(queue)
        once = once_of(idempotency_key, "purge_queue", name)
        return DeleteResult(await self._queues.purge(name, once))

    async def options(self, queue: str = "") -> QueueOptions:
        """The options of a queue."""
        return await self._queues.options(self._permitted(queue))

    async def set_options(
        self,
        queue: str = "",
        *,
        lease: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        max_running: int | None = None,
        rate: Rate | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Replace all options of a queue, on all hosts; limits that are not given are lifted."""
        name = self._permitted(queue)
        wanted = wanted_options(lease, backoff_schedule, max_running, rate)
        once = once_of(idempotency_key, "queue_options", name, wanted)
        await self._queues.set_options(name, checked_options(wanted), once)

    def _permitted(self, queue: str) -> str:
        name = checked_queue("queue", queue)
        self._permits.need(QUEUE_ADMIN, name or None)
        return name


def _decoded(message: messages.StoredMessage) -> QueuedMessage[Any]:
    return QueuedMessage(
        message.id,
        decode_value(bytes(message.value).decode()),
        message.state,  # type: ignore[arg-type] # one of those
        message.attempts,
        message.max_attempts,
        message.priority,
        message.ready_at,
        message.created_at,
        message.queue,
    )

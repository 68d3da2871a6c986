"""Dead letters: `kv.dlq`."""

from __future__ import annotations

from typing import Any

from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import queue as calls
from buntime_keyval._results import DeadLetter, DeleteResult, EnqueueResult
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.names import checked_queue

Letters = list[DeadLetter[Any]]


class AsyncDeadLetters:
    """Messages of a queue that were given up after their last attempt."""

    def __init__(self, session: AsyncSession, name: str = "") -> None:
        self._session = session
        self._name = name

    def of(self, queue: str) -> AsyncDeadLetters:
        """The dead letters of another queue."""
        return AsyncDeadLetters(self._session, checked_queue("queue", queue))

    async def list(self, *, limit: int = DEFAULT_LIMIT, offset: int = 0) -> Letters:
        """Dead letters, the newest failure first; at most 1000 at a time."""
        return await self._session.send(calls.list_dlq(limit, offset, self._name))

    async def get(self, letter_id: str) -> DeadLetter[Any] | None:
        """Return one dead letter, or None."""
        return await self._session.send(calls.get_dlq(letter_id, self._name))

    async def requeue(self, letter_id: str, *, idempotency_key: str | None = None) -> EnqueueResult:
        """Send a dead letter again as a new message. Raises `NotFound`."""
        call = calls.requeue_dlq(letter_id, self._name)
        return await self._session.send(call, idempotency_key)

    async def delete(self, letter_id: str, *, idempotency_key: str | None = None) -> None:
        """Delete one dead letter; an unknown id is no error."""
        await self._session.send(calls.delete_dlq(letter_id, self._name), idempotency_key)

    async def purge(self, *, idempotency_key: str | None = None) -> DeleteResult:
        """Delete all of them."""
        call = calls.purge_dlq(self._name)
        return DeleteResult(await self._session.send(call, idempotency_key))

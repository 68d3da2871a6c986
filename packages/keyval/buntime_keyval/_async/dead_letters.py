"""Dead letters: `kv.dlq`."""

from __future__ import annotations

from typing import Any

from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import queue as calls
from buntime_keyval._results import DeadLetter, DeleteResult, EnqueueResult
from buntime_keyval.wire.limits import DEFAULT_LIMIT

Letters = list[DeadLetter[Any]]


class AsyncDeadLetters:
    """Messages that were given up after their last attempt."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(self, *, limit: int = DEFAULT_LIMIT, offset: int = 0) -> Letters:
        """Dead letters, the newest failure first; at most 1000 at a time."""
        return await self._session.send(calls.list_dlq(limit, offset))

    async def get(self, letter_id: str) -> DeadLetter[Any] | None:
        """One dead letter, or None."""
        return await self._session.send(calls.get_dlq(letter_id))

    async def requeue(self, letter_id: str, *, idempotency_key: str | None = None) -> EnqueueResult:
        """Send it again as a new message. Raises `NotFound`."""
        return await self._session.send(calls.requeue_dlq(letter_id), idempotency_key)

    async def delete(self, letter_id: str, *, idempotency_key: str | None = None) -> None:
        """Delete it; an unknown id is fine."""
        await self._session.send(calls.delete_dlq(letter_id), idempotency_key)

    async def purge(self, *, idempotency_key: str | None = None) -> DeleteResult:
        """Delete all of them."""
        return DeleteResult(await self._session.send(calls.purge_dlq(), idempotency_key))

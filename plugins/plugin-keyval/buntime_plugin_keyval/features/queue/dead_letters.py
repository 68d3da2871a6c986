"""Dead letters: messages that were given up, as they are stored."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
from buntime_database import Value

from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model.errors import LetterNotFound
from buntime_plugin_keyval.model.messages import StoredLetter, new_id
from buntime_plugin_keyval.storage.message_effects import Forget, ForgetAll, ForgetOld, Requeue
from buntime_plugin_keyval.storage.within import too_large

Letters = list[StoredLetter]


class StoredLetters:
    """The dead letters of all queues of a store."""

    def __init__(self, store: Store, queue: Queue) -> None:
        self._store = store
        self._sql = store.sql.queue
        self._queue = queue
        self.expired = 0
        """Letters that `expire` deleted in this process."""

    async def list(
        self, *, limit: int, offset: int = 0, most: int = sys.maxsize, queue: str = ""
    ) -> Letters:
        """Dead letters of a queue, the newest failure first.

        Raises `LimitExceeded` if they have more than `most` bytes.
        """
        rows = await self._store.adapter.query(self._sql.letters, (limit, offset, most, queue))
        if rows and int(rows[0][0] or 0) > most:
            right = "use a smaller limit, and offset for the next ones"
            raise too_large(int(rows[0][0] or 0), most, right)
        return [_letter(row[1:]) for row in rows]

    async def get(self, letter_id: str, queue: str | None = None) -> StoredLetter | None:
        """One dead letter, or None. Without a queue, here as below, it may be of any."""
        rows = await self._store.adapter.query(self._sql.letter, (letter_id,), point=True)
        letter = _letter(rows[0]) if rows else None
        return None if letter is None or queue not in (None, letter.queue) else letter

    async def requeue(
        self, letter_id: str, once: Once | None = None, *, queue: str | None = None
    ) -> str:
        """Send a dead letter again as a new message; its id. Raises `LetterNotFound`."""
        if not (await self._may_be_there(letter_id, queue) or await self._queue.was_done(once)):
            raise LetterNotFound
        new = new_id()
        decision = Decision[str | None](
            (Requeue(letter_id, new),), lambda results, _: new if results[0].rowcount else None, new
        )
        write = Write(
            lambda _: decision,
            recall=lambda kept: str(kept.told) if kept.counts[0] else None,
            has_counts=True,
        )
        message_id = await self._store.write(write, once)
        if message_id is None:
            raise LetterNotFound
        self._queue.enqueued(None)
        return message_id

    async def delete(
        self, letter_id: str, once: Once | None = None, *, queue: str | None = None
    ) -> bool:
        """Delete a dead letter; whether it was there."""
        if not (await self._may_be_there(letter_id, queue) or await self._queue.was_done(once)):
            return False
        (result,) = await self._queue.commit(Forget(letter_id), once=once)
        return result.rowcount > 0

    async def purge(self, once: Once | None = None, queue: str = "") -> int:
        """Delete all dead letters of a queue; how many there were."""
        (result,) = await self._queue.commit(ForgetAll(queue), bounded=False, once=once)
        return result.rowcount

    async def expire(self, age_ms: int, limit: int) -> int:
        """Delete at most `limit` dead letters older than `age_ms`; how many there were."""
        (result,) = await self._queue.commit(ForgetOld(age_ms, limit))
        self.expired += result.rowcount
        return result.rowcount

    async def _may_be_there(self, letter_id: str, queue: str | None) -> bool:
        """Whether a dead letter may exist: False if a queue is given and it is of another one."""
        return queue is None or await self.get(letter_id, queue) is not None


def _letter(row: Sequence[Value]) -> StoredLetter:
    letter_id, original_id, value, *rest = row
    raw = msgspec.Raw(str(value).encode())
    return StoredLetter(letter_id, original_id, raw, *rest)  # type: ignore[arg-type] # schema

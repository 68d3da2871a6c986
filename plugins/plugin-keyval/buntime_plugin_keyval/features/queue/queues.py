"""Queues themselves: their options, and reads of their messages that take none."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from buntime_database import ResultSet, Value
from buntime_keyval import QueueInfo, QueueOptions, QueueRate
from buntime_keyval.wire import InvalidInput

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.engine.writes import of_effects
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model.messages import (
    MOST_COUNT,
    MessagePage,
    StoredMessage,
    parse_backoff,
    parse_queue_lease,
    parse_rate,
)
from buntime_plugin_keyval.storage.effects import Effect
from buntime_plugin_keyval.storage.queue_effects import ForgetIds, Pause, Purge, SetOptions

_NOTHING_SAID = QueueOptions()
_PLACE_DIGITS = 18


def read_place(cursor: str | None) -> int:
    """The number after which a page begins, from its cursor. Raises `InvalidInput`."""
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _PLACE_DIGITS):
        raise InvalidInput("Invalid cursor")
    return int(cursor)


def checked_options(wanted: QueueOptions) -> QueueOptions:
    """Options given by Python code, checked as those of a request. Raises `InvalidInput`."""
    rate = wanted.rate
    most = wanted.max_running
    if most is not None and not 1 <= most <= MOST_COUNT:
        raise InvalidInput(f"max_running must be from 1 to {MOST_COUNT}, received {most}")
    return QueueOptions(
        lease=None if wanted.lease is None else parse_queue_lease(wanted.lease),
        backoff_schedule=None
        if wanted.backoff_schedule is None
        else parse_backoff("backoff_schedule", wanted.backoff_schedule),
        max_running=most,
        rate=None if rate is None else parse_rate({"count": rate.count, "per": rate.per}),
    )


class StoredQueues:
    def __init__(self, store: Store, queue: Queue) -> None:
        self._store = store
        self._sql = store.sql.queues
        self._queue = queue

    async def options(self, queue: str) -> QueueOptions:
        rows = await self._store.adapter.query(self._sql.options, (queue,), point=True, fresh=True)
        if not rows:
            return _NOTHING_SAID
        paused, lease, backoff, most, count, per = rows[0]
        return QueueOptions(
            bool(paused),
            lease,  # type: ignore[arg-type] # as the schema says
            None if backoff is None else msgspec.json.decode(str(backoff)),
            most,  # type: ignore[arg-type] # as above
            None if count is None else QueueRate(count, per),  # type: ignore[arg-type] # as above
        )

    async def set_options(
        self, queue: str, options: QueueOptions, once: Once | None = None
    ) -> None:
        """Replace all options of a queue. Raises `InvalidInput`."""
        if not queue and options.backoff_schedule is not None:
            raise InvalidInput(
                "backoffSchedule is for queues with names: without, messages have their own"
            )
        await self._commit(SetOptions(queue, options), once=once)
        self._queue.enqueued(queue)

    async def pause(self, queue: str, once: Once | None = None) -> None:
        """Stop deliveries from a queue; delivered messages can still be settled."""
        await self._commit(Pause(queue, is_paused=True), once=once)

    async def resume(self, queue: str, once: Once | None = None) -> None:
        """Deliver from a queue again."""
        await self._commit(Pause(queue, is_paused=False), once=once)
        self._queue.enqueued(queue)

    async def purge(self, queue: str, once: Once | None = None) -> int:
        """Remove all messages of a queue, delivered ones too; how many there were."""
        (result,) = await self._commit(Purge(queue), bounded=False, once=once)
        return result.rowcount

    async def peek(self, queue: str, limit: int, most: int) -> list[StoredMessage]:
        """The next messages in order of delivery: the first, and more up to `most` bytes in all."""
        args = (self._store.clock.now(), limit, most, queue)
        rows = await self._store.adapter.query(self._sql.peek, args, fresh=True)
        return [self._message(row, queue) for row in rows]

    async def page(self, queue: str, after: int, limit: int, most: int) -> MessagePage:
        """Messages in the order in which they were sent, after a number, in any state.

        A page may have fewer than `limit` if the queue has few of all messages, or large ones.
        """
        adapter = self._store.adapter
        args = (queue, after, limit, most)
        rows = await adapter.query(self._sql.messages, args, fresh=True)
        messages = [self._message(row, queue) for row in rows]
        ((last,),) = await adapter.query(self._sql.last_looked_at, (after,), fresh=True)
        ends: Value = last
        if rows:
            is_whole = len(rows) < limit and not await self._is_next(queue, rows[-1][0], most)
            ends = last if is_whole else rows[-1][0]
        return MessagePage(messages, None if ends is None else int(ends))

    async def _is_next(self, queue: str, after: Value, most: int) -> bool:
        """Whether there is another message after a number, among those that a page looks at."""
        args = (queue, after, 1, most)
        return bool(await self._store.adapter.query(self._sql.messages, args, fresh=True))

    async def names(self, limit: int) -> list[str]:
        """Names of queues that are in use, in order."""
        rows = await self._store.adapter.query(self._sql.names, (limit,))
        return [str(name) for (name,) in rows]

    async def told(self, limit: int) -> list[str]:
        """Names of queues that have options, in order."""
        rows = await self._store.adapter.query(self._sql.told, (limit,))
        return [str(name) for (name,) in rows]

    async def states(self, limit: int) -> list[QueueInfo]:
        """Queues that are in use, with their counts, in order of name."""
        found = []
        for name in await self.names(limit):
            stats, options = await self._queue.stats(name), await self.options(name)
            counts = msgspec.structs.asdict(stats)
            found.append(QueueInfo(name, paused=options.paused, **counts))
        return found

    async def forget_ids(self, limit: int) -> int:
        """Forget at most `limit` given ids whose time is over; how many there were."""
        (result,) = await self._commit(ForgetIds(limit))
        return result.rowcount

    def _message(self, row: Sequence[Value], queue: str) -> StoredMessage:
        _, message_id, value, attempts, most, priority, ready, visible, created, leased = row
        clock = self._store.clock
        now_ms = clock.now()
        ended = int(attempts or 0) >= int(most or 0)
        waits = int(visible or 0) > now_ms
        state = "processing" if leased and waits else "ended" if ended else "ready"
        return StoredMessage(
            str(message_id),
            msgspec.Raw(str(value).encode()),
            "delayed" if waits and not leased else state,
            int(attempts or 0),
            int(most or 0),
            int(priority or 0),
            int(ready or 0) - now_ms + clock.wall(),
            int(created or 0),
            queue,
        )

    async def _commit(
        self, effect: Effect, *, bounded: bool = True, once: Once | None = None
    ) -> Sequence[ResultSet]:
        return await self._store.write(of_effects((effect,), bounded=bounded), once)

"""The queue of one store as it runs: operations, and delivery to listeners."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from buntime_keyval.wire import encode_key
from buntime_keyval.wire.commits import MessageOptions

from buntime_plugin_keyval.engine.additions import Addition, MutationParsers
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.features.feature import Ground, Labelled, Part
from buntime_plugin_keyval.features.queue.dead_letters import StoredLetters
from buntime_plugin_keyval.features.queue.dispatcher import Dispatcher
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.features.queue.queues import StoredQueues
from buntime_plugin_keyval.model.messages import new_id, parse_message
from buntime_plugin_keyval.requests.permissions import QUEUE_SEND
from buntime_plugin_keyval.storage.message_effects import Enqueue

MOST_LABELLED = 100
"""The most queues that have metrics of their own."""


class QueuePart(Part):
    def __init__(self, ground: Ground) -> None:
        config, store = ground.config, ground.store
        self.config = config.queue
        self.store = store
        self.client_of = ground.client_of
        self.queue = Queue(store, lease_ms=self.config.lock_duration.milliseconds)
        self.queues = StoredQueues(store, self.queue)
        self.letters = StoredLetters(store, self.queue)
        self.dispatcher = Dispatcher(
            self.queue,
            store,
            sweep_ms=self.config.cleanup_interval.milliseconds,
            foreign_poll_ms=config.foreign_poll.milliseconds,
            shares=ground.listeners(),
        )

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"delivery": self.dispatcher.loop}

    @property
    def mutations(self) -> MutationParsers:
        """`enqueue`: send a message if the commit succeeds."""
        return {"enqueue": self._read_message}

    async def begin(self) -> None:
        await self.queue.begin()

    def start(self) -> None:
        self.dispatcher.start()

    def numbers(self) -> Mapping[str, float]:
        return {
            "queue_dlq_expired": self.letters.expired,
            "listeners": self.dispatcher.listener_count,
        }

    async def stored_numbers(self) -> Mapping[str, float]:
        stats = await self.queue.stats(None)
        return {
            "queue_pending": stats.pending,
            "queue_processing": stats.processing,
            "queue_dlq": stats.dlq,
            "queue_total": stats.total,
        }

    async def labelled_numbers(self) -> Labelled:
        """See `Part`. Queues that have options, the first ones by name."""
        numbers: dict[tuple[str, ...], float] = {}
        for name in await self.queues.told(MOST_LABELLED):
            stats = await self.queue.stats(name)
            for state in ("pending", "processing", "dlq"):
                numbers[name, state] = getattr(stats, state)
        return {"queue_messages": numbers}

    async def clean_up(self, limit: int) -> int:
        """Delete dead letters that are too old, and forget given ids whose time is over."""
        age_ms = self.config.dlq_max_age.milliseconds
        expired = await self.letters.expire(age_ms, limit) if age_ms else 0
        return expired + await self.queues.forget_ids(limit)

    async def end_streams(self) -> None:
        await self.dispatcher.close()

    async def close(self) -> None:
        await self.dispatcher.close()
        await self.queue.close()

    def message(self, value: str, options: MessageOptions) -> Addition:
        """An addition to a commit: a message with a canonical value."""
        return Addition(
            Enqueue(new_id() if options.id is None else options.id, value, options),
            size=len(value),
            writes=[encode_key(key) for key in options.keys_if_undelivered],
            committed=partial(self.queue.enqueued, options.queue),
            scope=QUEUE_SEND,
            resource=options.queue or None,
        )

    def _read_message(self, item: dict[str, Any], place: str, now_ms: int) -> Addition:
        return self.message(*parse_message(item, place, now_ms))

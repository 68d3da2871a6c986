"""Delivery to listeners: pushed when there is something, never polled per listener.

One task leases as many messages as the waiting listeners can take and hands them out in turn. It
sleeps until a commit brings messages, a listener can take one, the next delay or lease ends,
another worker of this host signals, or, because other processes write to the same queue,
`foreign_poll_ms` has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence

from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.peers import Peers
from buntime_plugin_keyval.engine.shares import Shares
from buntime_plugin_keyval.features.queue.listener import Ending, Listener
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model.clock import Clock
from buntime_plugin_keyval.model.messages import LeasedMessage

MAX_LEASE = 128
"""Messages that one commit leases."""


class Dispatcher:
    """Starts with `start` or the first listener, ends with `close`; each may be called twice."""

    def __init__(
        self,
        queue: Queue,
        *,
        peers: Peers,
        clock: Clock,
        sweep_ms: int,
        foreign_poll_ms: int,
        shares: Shares,
        logger: logging.Logger,
    ) -> None:
        """`sweep_ms` bounds the sleep without listeners; 0 leaves exhausted leases to dequeues."""
        self._queue = queue
        self._peers = peers
        self._clock = clock
        self._sweep_ms = sweep_ms
        self._foreign_poll_ms = foreign_poll_ms
        self.shares = shares
        self._logger = logger
        self.loop = Loop(
            self._step,
            "keyval-queue",
            logger=logger,
            complaint="The queue could not be read: %s",
            finishes_step=True,  # a lease that is being committed is to be handed out or returned
        )
        self._listeners: deque[Listener] = deque()
        self._holders: dict[str, Listener] = {}
        """Who has to know when a message is settled."""
        self._next_check = 0.0
        self._is_closing = False
        self._returns: set[asyncio.Task[None]] = set()

    @property
    def listener_count(self) -> int:
        """Open listeners, those of other workers included."""
        return int(self._peers.listeners.totals()[0])

    def start(self) -> None:
        """Begin to deliver."""
        if not self._is_closing:
            self._queue.observe(ready=self.wake, settled=self._settled)
            self.loop.start()

    async def close(self) -> None:
        """Close every listener, return what they leave, and stop."""
        self._is_closing = True
        for listener in tuple(self._listeners):
            listener.close()
        await self.loop.stop()
        while self._returns:
            await asyncio.wait(self._returns)

    def attach(
        self,
        *,
        prefetch: int | None = None,
        returns_unsettled: bool = True,
        client: str | None = None,
    ) -> Listener:
        """A new listener; with `prefetch` it never has more unsettled messages than that.

        Without `returns_unsettled` those keep their leases when it is closed. Raises
        `TooManyStreams` or `TooManyStreamsOfClient` when as many are open as are allowed.
        """
        self.shares.take(client)
        listener = Listener(
            self, prefetch=prefetch, returns_unsettled=returns_unsettled, client=client
        )
        if self._is_closing:
            listener.close()
        else:
            self._listeners.append(listener)
            self._count_listeners()
            self.start()
        return listener

    def drain(self, message_id: str) -> None:
        """Hand nothing more to the listener that has this message."""
        holder = self._holders.get(message_id)
        if holder is not None:
            holder.drain()

    def wake(self) -> None:
        """Look at the queue again."""
        self.loop.wake()

    def holds(self, message: LeasedMessage) -> bool:
        """Whether the lease of this message lasts."""
        return self._queue.holds(message)

    def given(self, message: LeasedMessage) -> None:
        """A consumer has this message."""
        self._queue.given(message)

    def released(self, message: LeasedMessage) -> None:
        """Nobody waits for this message to be settled any more."""
        self._holders.pop(message.id, None)

    def ended(self, listener: Listener, left: Ending) -> None:
        """Forget a closed listener and return its messages in the background."""
        self.shares.give(listener.client)
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)
            self._count_listeners()
        for message in (*left.unsent, *left.unsettled):
            self.released(message)
        self.give_back(left)

    def _count_listeners(self) -> None:
        """Say how many there are, and hear of other workers while there are any."""
        before = self._peers.listeners.own[0]
        self._peers.listeners.own[0] = len(self._listeners)
        if bool(before) != bool(self._listeners):
            self._peers.queue.listen(self._rung if self._listeners else None)

    def _rung(self) -> None:
        """Another worker has changed the queue."""
        self._next_check = 0.0
        self.wake()

    def _settled(self, message_id: str) -> None:
        holder = self._holders.pop(message_id, None)
        if holder is not None:
            holder.forget(message_id)
            self.wake()

    def give_back(self, left: Ending) -> None:
        """Return messages in the background."""
        if left.unsent or left.unsettled:
            task = asyncio.create_task(self._returned(left))
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)

    async def _returned(self, left: Ending) -> None:
        try:
            await self._queue.give_back(*left)
        except DatabaseError as error:
            # Their leases will run out: late, but nothing is lost.
            self._logger.warning("Messages of a listener could not be returned: %s", error)

    async def _step(self) -> float | None:
        await self._check_listeners()
        pause_ms = await self._deliver()
        return None if pause_ms is None else pause_ms / 1000

    async def _deliver(self) -> int | None:
        """Hand out what there is; milliseconds to sleep, None for until woken."""
        wanted = 0
        for listener in self._listeners:
            wanted += max(0, listener.capacity)
            if wanted >= MAX_LEASE:
                break
        now_ms = self._clock.now()
        visible, exhausted = await self._queue.next_event()
        if wanted and visible is not None and visible <= now_ms:
            messages = await self._queue.lease(min(wanted, MAX_LEASE))
            self._hand_out(messages)
            if messages:
                return 0
        if exhausted is not None and exhausted <= now_ms and self._sweep_ms:
            await self._queue.bury_exhausted()
            return 0
        events = [self._sweep_ms + now_ms] if self._sweep_ms else []
        if self._listeners:
            events.append(now_ms + self._foreign_poll_ms)
        if wanted and visible is not None:
            events.append(visible)
        if exhausted is not None and self._sweep_ms:
            events.append(exhausted)
        return max(1, min(events) - now_ms) if events else None

    def _hand_out(self, messages: Sequence[LeasedMessage]) -> None:
        """One message to each listener in turn, from where the last round ended."""
        waiting = deque(messages)
        idle = 0
        while waiting and idle < len(self._listeners):
            listener = self._listeners[0]
            self._listeners.rotate(-1)
            if listener.capacity > 0:
                message = waiting.popleft()
                self._settled(message.id)  # whoever had it before had it for too long
                self._holders[message.id] = listener
                listener.deliver(message)
                idle = 0
            else:
                idle += 1
        # Some are left if a listener closed while the lease was being committed.
        self.give_back(Ending(list(waiting), []))

    async def _check_listeners(self) -> None:
        """See to what no commit of this process tells: at most once in `foreign_poll_ms`.

        A listener is free again when another process settled its messages, or their leases ran
        out. What it does not take, because its client does not read, is for others.
        """
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + self._foreign_poll_ms / 1000
        for listener in self._listeners:
            stuck = listener.reclaim()
            for message in stuck:
                self.released(message)
            self.give_back(Ending(stuck, []))
        held = [message for listener in self._listeners for message in listener.unsettled()]
        if held:
            for message in await self._queue.no_longer_held(held):
                self._settled(message.id)

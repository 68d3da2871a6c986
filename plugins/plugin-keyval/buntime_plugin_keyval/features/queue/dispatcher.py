"""Delivery to listeners: pushed when there is something, never polled per listener.

One task leases as many messages as the waiting listeners of a queue can take and hands them out in
turn. It sleeps until a commit brings messages, a listener can take one, the next delay or lease
ends, or another worker of this host signals. Other processes may write to the same queues, so it
also asks the engine every `foreign_poll_ms` whether there was a commit. If there was one or the
engine cannot tell, one statement says which queues have messages. Only queues with listeners are
read, each of them when something may have happened to it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.loop import EARLY_SECONDS, Loop
from buntime_plugin_keyval.engine.rest import Rest
from buntime_plugin_keyval.engine.shares import Shares
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.queue.listener import Ending, Listener
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model.messages import LeasedMessage

MAX_LEASE = 128
"""The most messages that one commit leases."""

HELD_POLL_MS = 1000
"""Longest pause between two attempts at a queue that delivers nothing of what it has. Each attempt
is a commit, which is expensive on some engines. Changes by this process, or by others that signal
it, are noticed at once."""

_MOST_DOUBLINGS = 10


class _Line:
    """The listeners of one queue, and when to look at it."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.listeners: deque[Listener] = deque()
        self.is_woken = True
        """Whether to look at it at once."""
        self.due = float("inf")
        """When to look at it otherwise, by a monotonic clock."""
        self.is_empty = False
        """Whether it had no messages at the last look. It is then not looked at for a further
        listener before a commit brings a message."""
        self.in_vain = 0
        """How often in a row there were messages that could not be leased, since the queue is
        paused or has reached a limit."""

    def wanted(self) -> int:
        """The number of messages that its listeners can take now, at most `MAX_LEASE`."""
        wanted = 0
        for listener in self.listeners:
            wanted += max(0, listener.capacity)
            if wanted >= MAX_LEASE:
                return MAX_LEASE
        return wanted

    def next_free(self) -> Listener | None:
        """The next listener in turn that can take a message, or None."""
        for _ in range(len(self.listeners)):
            listener = self.listeners[0]
            self.listeners.rotate(-1)
            if listener.capacity > 0:
                return listener
        return None


class Dispatcher:
    """Leases messages and hands them to the listeners of this process.

    Starts with `start` or the first listener, and ends with `close`; both are idempotent.
    """

    def __init__(
        self, queue: Queue, store: Store, *, sweep_ms: int, foreign_poll_ms: int, shares: Shares
    ) -> None:
        """`sweep_ms` is the longest sleep without listeners; 0 leaves ended leases to dequeues."""
        self._queue = queue
        self._store = store
        self._peers = store.peers
        self._sweep_ms = sweep_ms
        self._foreign_poll_ms = foreign_poll_ms
        self.shares = shares
        self.loop = Loop(
            self._step,
            "keyval-queue",
            logger=store.logger,
            complaint="The queue could not be read: %s",
            finishes_step=True,  # so that messages being leased are handed out or returned
            is_still=self._is_still,
            rest=Rest(store.when_written, lambda: self._due() - time.monotonic()),
        )
        self._version: int | None = None
        """The version of the data before the last look at all queues; None if unknown."""
        self._first = _Line("")
        """The queue without a name. It exists with and without listeners: exhausted messages of all
        queues are buried in its turn."""
        self._lines = {"": self._first}
        self._holders: dict[str, Listener] = {}
        """The listener to tell when a message is settled, by the message's id."""
        self._next_check = 0.0
        self._is_rung = False
        """Whether another process has said that it changed a queue."""
        self._is_closing = False
        self._returns: set[asyncio.Task[None]] = set()

    @property
    def listener_count(self) -> int:
        """The number of open listeners, those of other workers included."""
        return int(self._peers.listeners.totals()[0])

    def start(self) -> None:
        """Begin to deliver."""
        if not self._is_closing:
            self._queue.observe(ready=self.wake, settled=self._settled)
            self.loop.start()

    async def close(self) -> None:
        """Close every listener, return what they leave, and stop."""
        self._is_closing = True
        for listener in self._listeners():
            listener.close()
        await self.loop.stop()
        while self._returns:
            await asyncio.wait(self._returns)

    def attach(
        self,
        queue: str = "",
        *,
        prefetch: int | None = None,
        returns_unsettled: bool = True,
        client: str | None = None,
    ) -> Listener:
        """Open a listener; with `prefetch` it never has more unsettled messages than that.

        Without `returns_unsettled` those keep their leases when it is closed. Raises
        `TooManyStreams` or `TooManyStreamsOfClient` if as many are open as are allowed.
        """
        self.shares.take(client)
        listener = Listener(
            self, queue, prefetch=prefetch, returns_unsettled=returns_unsettled, client=client
        )
        if self._is_closing:
            listener.close()
        else:
            self._lines.setdefault(queue, _Line(queue)).listeners.append(listener)
            self._count_listeners()
            self.start()
        return listener

    def drain(self, message_id: str) -> None:
        """Hand nothing more to the listener that has this message."""
        holder = self._holders.get(message_id)
        if holder is not None:
            holder.drain()

    def wake(self, queue: str | None = None) -> None:
        """Look at a queue again, since it may have messages; at all queues for None.

        None is also for messages of any queue that may have used up their attempts.
        """
        if queue is None:
            for line in self._lines.values():
                line.is_woken = True
        else:
            woken = self._lines.get(queue)
            if woken is None or not woken.listeners:
                return
            woken.is_woken = True
        self.loop.wake()

    def can_take(self, queue: str) -> None:
        """Look at a queue again, since a listener can take more messages."""
        line = self._lines.get(queue)
        if line is not None and not line.is_empty:
            self.wake(queue)

    def holds(self, message: LeasedMessage) -> bool:
        return self._queue.holds(message)

    def given(self, message: LeasedMessage) -> None:
        self._queue.given(message)

    def released(self, message: LeasedMessage) -> None:
        """Note that no listener needs to know any more when this message is settled."""
        self._holders.pop(message.id, None)

    def ended(self, listener: Listener, left: Ending) -> None:
        """Forget a closed listener and return its messages in the background."""
        self.shares.give(listener.client)
        line = self._lines.get(listener.queue)
        if line is not None and listener in line.listeners:
            line.listeners.remove(listener)
            if not line.listeners and line is not self._first:
                del self._lines[line.queue]
            self._count_listeners()
        for message in (*left.unsent, *left.unsettled):
            self.released(message)
        self.give_back(left)

    def _count_listeners(self) -> None:
        """Publish the number of listeners; hear other workers while there are any."""
        before = self._peers.listeners.own[0]
        count = self._peers.listeners.own[0] = sum(
            len(line.listeners) for line in self._lines.values()
        )
        if bool(before) != bool(count):
            self._peers.queue.listen(self._rung if count else None)

    def _listeners(self) -> list[Listener]:
        return [listener for line in self._lines.values() for listener in line.listeners]

    def _rung(self) -> None:
        """Find out in the next step which queue another process has changed."""
        self._is_rung = True
        self._next_check = 0.0
        self.loop.wake()

    def _settled(self, message_id: str) -> None:
        holder = self._holders.pop(message_id, None)
        if holder is not None:
            holder.forget(message_id)
            self.can_take(holder.queue)

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
            # Nothing is lost: they are delivered again once their leases run out.
            self._store.logger.warning("Messages of a listener could not be returned: %s", error)

    async def _step(self) -> float | None:
        await self._check_listeners()
        for line in tuple(self._lines.values()):
            if line.is_woken or line.due <= time.monotonic():
                line.is_woken = False
                try:
                    pause_ms = await self._deliver(line)
                except DatabaseError:
                    line.is_woken = True
                    raise
                line.due = float("inf")
                if pause_ms is not None:
                    line.due = time.monotonic() + pause_ms / 1000
        due = self._due() - time.monotonic()
        if self._peers.listeners.own[0]:
            due = min(due, self._foreign_poll_ms / 1000)
        return None if due == float("inf") else max(0, due)

    def _due(self) -> float:
        """When the next queue is to be looked at, by the monotonic clock."""
        return min(line.due for line in self._lines.values())

    def _is_still(self) -> bool:
        """Whether nothing is due, no listener has a message, and there was no commit."""
        if self._version is None or self._holders or self._due() <= time.monotonic():
            return False
        return self._version == self._store.data_version()

    async def _deliver(self, line: _Line) -> int | None:
        """Hand out the messages of a queue, one to each listener in turn.

        Returns the milliseconds until there may be more; None to wait until woken.
        """
        line.is_empty = False
        wanted = line.wanted()
        now_ms = self._store.clock.now()
        visible = await self._queue.next_visible(line.queue) if wanted else None
        if visible is None or visible > now_ms:
            line.in_vain = 0
            line.is_empty = bool(wanted) and visible is None
            return await self._sweep(line, now_ms, visible)
        self._store.hurry()  # consumers that ack a message have nothing to do before the next one
        messages = deque(await self._queue.lease(wanted, line.queue))
        if not messages:
            line.in_vain += 1  # other processes were faster, or options of the queue hold them back
            return await self._sweep(line, now_ms, None)
        line.in_vain = 0
        while messages and (listener := line.next_free()):
            message = messages.popleft()
            self._settled(message.id)  # a listener that had it before has lost its lease
            self._holders[message.id] = listener
            listener.deliver(message)
        # Some remain if a listener was closed while the lease was being committed.
        self.give_back(Ending(list(messages), []))
        return 0

    async def _sweep(self, line: _Line, now_ms: int, visible: int | None) -> int | None:
        """Bury exhausted messages; milliseconds until there may be something to hand out."""
        exhausted = await self._queue.next_exhausted() if line is self._first else None
        if exhausted is not None and exhausted <= now_ms and self._sweep_ms:
            await self._queue.bury_exhausted()
            return 0
        events = [self._sweep_ms + now_ms] if self._sweep_ms and line is self._first else []
        if line.listeners and line.in_vain:
            events.append(now_ms + self._poll_ms(line))
        if visible is not None:
            events.append(visible)
        if exhausted is not None and self._sweep_ms:
            events.append(exhausted)
        return max(1, min(events) - now_ms) if events else None

    def _poll_ms(self, line: _Line) -> int:
        """The longest time until a queue that holds messages back is looked at again."""
        poll_ms = self._foreign_poll_ms
        return max(poll_ms, min(poll_ms << min(line.in_vain, _MOST_DOUBLINGS), HELD_POLL_MS))

    async def _check_listeners(self) -> None:
        """Notice changes by other processes, at most once in `foreign_poll_ms`.

        If there was a commit, all queues with messages are looked at. A listener is free again once
        another process has settled its messages or their leases ran out. Messages that a listener
        does not take, because its client does not read, are returned for others.
        """
        now = time.monotonic()
        if now < self._next_check - EARLY_SECONDS:
            return
        # First these: what another process says from here on is looked for again.
        self._next_check = now + self._foreign_poll_ms / 1000
        is_rung, self._is_rung = self._is_rung, False
        version = self._store.data_version()
        if is_rung or version is None or version != self._version:
            try:
                await self._wake_lines(has_committed=is_rung or version is not None)
            except DatabaseError:
                self._is_rung = True  # nothing was found out
                raise
        self._version = version
        listeners = self._listeners()
        for listener in listeners:
            stuck = listener.reclaim()
            for message in stuck:
                self.released(message)
            self.give_back(Ending(stuck, []))
        held = [message for listener in listeners for message in listener.unsettled()]
        if held:
            for message in await self._queue.no_longer_held(held):
                self._settled(message.id)

    async def _wake_lines(self, *, has_committed: bool) -> None:
        """Look at the queues that have messages, because there was a commit or may have been one.

        If it only may have been, queues that hold messages back are left to pauses of their own.
        """
        lines = [line for line in self._lines.values() if has_committed or not line.in_vain]
        if self._first in lines and (has_committed or self._first.listeners):
            self._first.is_woken = True
        named = [line.queue for line in lines if not line.is_woken and line is not self._first]
        for queue in await self._queue.with_messages(named) if named else ():
            line = self._lines.get(queue)
            if line is not None:
                line.is_woken = True

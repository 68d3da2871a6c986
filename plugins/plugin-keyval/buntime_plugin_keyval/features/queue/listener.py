"""One consumer of a queue: the messages that it may take, and those that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.model.messages import LeasedMessage

READ_AHEAD = 16
"""The most unsent messages of a listener without a prefetch limit."""


class Ending(NamedTuple):
    """The messages that a closed listener gives back."""

    unsent: list[LeasedMessage]
    unsettled: list[LeasedMessage]


class Owner(Protocol):
    """The dispatcher, as a listener knows it."""

    def can_take(self, queue: str) -> None:
        """Note that a listener of this queue can take messages."""

    def holds(self, message: LeasedMessage) -> bool:
        """Whether the lease of this message lasts; if not, it is delivered to others."""

    def given(self, message: LeasedMessage) -> None:
        """Note that the consumer has this message."""

    def released(self, message: LeasedMessage) -> None:
        """Note that the listener need not know when this message is settled."""

    def give_back(self, left: Ending) -> None:
        """Return messages to the queue, for others."""

    def ended(self, listener: Listener, left: Ending) -> None:
        """Forget a closed listener, and return its messages to the queue."""


def _any_size(_: LeasedMessage) -> int:
    """No size: for callers that take one message at a time."""
    return 1


class Listener:
    """One consumer of a queue. Call `close` when it is no longer used.

    Messages are leased for it only while a call waits in `next` or `next_few`.
    """

    def __init__(
        self,
        owner: Owner,
        queue: str,
        *,
        prefetch: int | None,
        returns_unsettled: bool,
        client: str | None,
    ) -> None:
        self._owner = owner
        self.queue = queue
        """The name of the queue whose messages it takes."""
        self.client = client
        """The client whose share of streams it counts against; None if clients cannot be told
        apart."""
        self.prefetch = prefetch
        """The most messages it may hold at a time, unsettled ones included; None for no limit."""
        self.returns_unsettled = returns_unsettled
        """Whether unsettled messages go back to the queue when it is closed."""
        self._unsent: dict[str, LeasedMessage] = {}
        self._in_hand: dict[str, LeasedMessage] = {}
        """Returned by `next`, and perhaps not sent yet; without their values."""
        self._unsettled: dict[str, LeasedMessage] = {}
        """Sent and not settled; kept only with a prefetch limit, which needs them."""
        self._waiting = False
        self._moved = True
        self._draining = False
        self._arrived = Arrival()
        self.closed = False

    @property
    def capacity(self) -> int:
        """The number of messages that it can take now."""
        if not self._waiting or self._draining or self.closed:
            return 0
        if self.prefetch is None:
            return READ_AHEAD - len(self._unsent)
        return self.prefetch - len(self._unsent) - len(self._unsettled)

    async def next(self, timeout_s: float | None = None) -> LeasedMessage | None:
        """The next message; None after the timeout and once the listener is closed.

        It counts as delivered once `sent` or `next` is called.
        """
        messages = await self.next_few(timeout_s)
        return messages[0] if messages else None

    async def next_few(
        self,
        timeout_s: float | None = None,
        size: Callable[[LeasedMessage], int] = _any_size,
        most: int = 0,
    ) -> list[LeasedMessage]:
        """The next message, and further ones that are there as long as all fit into `most`.

        Empty after the timeout and once the listener is closed.
        """
        self.sent()
        few: list[LeasedMessage] = []
        while not few and await self._is_there(timeout_s):
            self._moved = True
            unsent = self._unsent
            while unsent:
                message = next(iter(unsent.values()))
                most -= size(message)
                if few and most < 0:
                    break
                del unsent[message.id]
                # The lease may be over: the process was suspended, or the consumer did not read.
                if self._owner.holds(message):
                    # Consumers may hold many messages for long: their values are not kept here.
                    self._in_hand[message.id] = message._replace(value="")
                    few.append(message)
                    if most <= 0:
                        break
                else:
                    self._owner.released(message)
                    self._owner.give_back(Ending([message], []))
        return few

    async def _is_there(self, timeout_s: float | None) -> bool:
        """Wait for a message; whether there is one to take."""
        if not self._unsent and not self.closed:
            self._waiting = True
            self._owner.can_take(self.queue)
            try:
                while not self._unsent and not self.closed:
                    if not await self._arrived.wait(timeout_s):
                        break
            finally:
                self._waiting = False
        return bool(self._unsent) and not self.closed

    def sent(self) -> None:
        """Note that the messages which `next` returned have reached the consumer."""
        if not self._in_hand:
            return
        in_hand, self._in_hand = self._in_hand, {}
        for message in in_hand.values():
            self._owner.given(message)
            if self.prefetch is None:
                self._owner.released(message)
            else:
                self._unsettled[message.id] = message

    def deliver(self, message: LeasedMessage) -> None:
        """Hand over a leased message."""
        self._unsent[message.id] = message
        self._arrived.tell()

    def drain(self) -> None:
        """Take no more messages, since its consumer is about to end."""
        self._draining = True

    def forget(self, message_id: str) -> None:
        """Drop a message that is settled or whose lease is over."""
        self._unsent.pop(message_id, None)
        self._unsettled.pop(message_id, None)
        self._in_hand.pop(message_id, None)

    def unsettled(self) -> list[LeasedMessage]:
        """The messages that were sent and not settled."""
        return list(self._unsettled.values())

    def reclaim(self) -> list[LeasedMessage]:
        """Give up the unsent messages if none was taken since the last call."""
        if self._moved or self._waiting:
            self._moved = False
            return []
        stuck, self._unsent = list(self._unsent.values()), {}
        return stuck

    def close(self) -> None:
        """Take no more messages. Unsent ones go back, and unsettled ones if `returns_unsettled`."""
        if self.closed:
            return
        self.closed = True
        self._arrived.tell()
        unsent = [*self._unsent.values(), *self._in_hand.values()]
        unsettled = self.unsettled()
        self._unsent, self._in_hand, self._unsettled = {}, {}, {}
        if not self.returns_unsettled:
            for message in unsettled:
                self._owner.released(message)
            unsettled = []
        self._owner.ended(self, Ending(unsent, unsettled))

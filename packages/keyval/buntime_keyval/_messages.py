"""The memory of a queue listener, and the stream that it follows. No I/O."""

from __future__ import annotations

from buntime_keyval._calls.keys import query_text
from buntime_keyval._calls.queue import Message, read_message
from buntime_keyval._core import StreamCall
from buntime_keyval._sse import ServerEvent
from buntime_keyval._watching import read_event
from buntime_keyval.wire import InvalidInput

_REMEMBERED = 1000

SHUTDOWN_ERROR = "The consumer stopped before it had processed the message"


class ListenPlan:
    """The stream of messages. The server sends only as many as may be unsettled at a time."""

    def __init__(self, concurrency: int, queue: str = "") -> None:
        self._last: str | None = None
        members = {"queue": queue, "prefetch": concurrency, "lease": True}
        self._target = f"/queue/listen?{query_text(members)}"

    def stream_call(self) -> StreamCall:
        """The stream to open now."""
        return StreamCall(self._target)

    def take(self, event: ServerEvent) -> Message | None:
        """The message of an event. Raises `InvalidResponse`."""
        if event.event != "message":
            return None
        message = read_event(event, read_message)
        self._last = message.id
        return message

    def place(self) -> object:
        """The last message: one that only comes again is no progress."""
        return self._last


class Seen:
    """Messages that come again although this listener has them, or is done with them.

    After a lost connection the server delivers unsettled messages again, perhaps while their
    handlers still run here, or because it never got the acknowledgement of a processed one.
    """

    def __init__(self) -> None:
        self._held: dict[str, str | None] = {}
        self._processed: dict[str, None] = {}

    def hold(self, message: Message) -> bool:
        """Begin with a message; False if it is held already, now by the lease of this delivery."""
        fresh = message.id not in self._held
        self._held[message.id] = message.lease
        return fresh

    def lease(self, message_id: str) -> str | None:
        """The lease of the last delivery of a held message."""
        return self._held.get(message_id)

    def release(self, message_id: str) -> bool:
        """End with a message; False if that was done before."""
        held = message_id in self._held
        self._held.pop(message_id, None)
        return held

    def processed(self, message_id: str) -> None:
        """The message was processed, which the server may not know."""
        self._processed[message_id] = None
        if len(self._processed) > _REMEMBERED:
            del self._processed[next(iter(self._processed))]

    def was_processed(self, message_id: str) -> bool:
        """Whether only its acknowledgement is missing."""
        return message_id in self._processed


def checked_concurrency(concurrency: object) -> int:
    """A number from 1 to 1000. Raises `InvalidInput`."""
    if (
        isinstance(concurrency, bool)
        or not isinstance(concurrency, int)
        or not 1 <= concurrency <= 1000
    ):
        raise InvalidInput(f"concurrency must be from 1 to 1000, received {concurrency!r:.50}")
    return concurrency

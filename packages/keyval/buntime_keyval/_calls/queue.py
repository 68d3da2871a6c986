"""Calls of the routes below `/queue`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from buntime_keyval._calls.keys import checked_limit
from buntime_keyval._core import Call, json_body, member, read_nothing
from buntime_keyval._entries import message_members, raw_value
from buntime_keyval._results import DeadLetter, EnqueueResult, QueueMessage, QueueStats
from buntime_keyval.wire import Duration, InvalidInput, KeyLike, untag
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.names import checked_queue
from buntime_keyval.wire.python_options import message_options, milliseconds

Message = QueueMessage[Any]
Letter = DeadLetter[Any]


class _Polled(msgspec.Struct):
    message: Message | None


_decode_enqueued = msgspec.json.Decoder(EnqueueResult).decode
_decode_message = msgspec.json.Decoder(Message).decode
_decode_polled = msgspec.json.Decoder(_Polled).decode
_decode_stats = msgspec.json.Decoder(QueueStats).decode
_decode_letter = msgspec.json.Decoder(Letter).decode
_decode_letters = msgspec.json.Decoder(list[Letter]).decode
_read_purged = member("deletedCount", int)


def enqueue(
    value: Any,
    delay: Duration | None,
    backoff_schedule: Sequence[Duration] | None,
    keys_if_undelivered: Sequence[KeyLike] | None,
    queue: str = "",
    priority: int = 0,
    id: str | None = None,
) -> Call[EnqueueResult]:
    """Send a message; with an id it is repeatable."""
    options = message_options(delay, backoff_schedule, keys_if_undelivered, queue, priority, id)
    body = json_body(value=raw_value(value), options=message_members(options) or None)
    return Call("POST", "/queue/enqueue", _decode_enqueued, body, repeatable=id is not None)


def poll(queue: str = "") -> Call[Message | None]:
    """Take one message of a queue.

    Not repeatable: the message of a lost answer is out of reach for a while.
    """
    return Call("GET", f"/queue/poll?lease=true{and_queue(queue)}", _read_polled)


def ack(
    message_id: str,
    lease: str | None,
    *,
    queue: str | None = None,
    strict: bool = False,
    drain: bool = False,
) -> Call[None]:
    """Remove a message; repeatable, unless `strict` asks for an error about a missing one.

    With `drain` the stream that brought it brings no more.
    """
    body = json_body(
        id=checked_id(message_id),
        lease=lease,
        queue=queue,
        strict=strict or None,
        drain=drain or None,
    )
    return Call("POST", "/queue/ack", read_nothing, body, repeatable=not strict)


def nack(
    message_id: str,
    lease: str | None,
    error: str | None,
    delay: Duration | None,
    *,
    queue: str | None = None,
    strict: bool = False,
    drain: bool = False,
) -> Call[None]:
    """Give a message back. Not repeatable: the next attempt may have begun by then."""
    pause = None if delay is None else milliseconds("delay", delay)
    body = json_body(
        id=checked_id(message_id),
        lease=lease,
        queue=queue,
        error=None if error is None else checked_error("error", error, as_written),
        delay=pause,
        strict=strict or None,
        drain=drain or None,
    )
    return Call("POST", "/queue/nack", read_nothing, body)


def release(
    message_id: str, lease: str | None, *, queue: str | None = None, drain: bool = False
) -> Call[None]:
    """Give a message back that was not begun: its delivery does not count as an attempt."""
    if not isinstance(lease, str) or not lease:
        raise InvalidInput(f"lease must be a non-empty string, received {lease!r:.50}")
    body = json_body(
        id=checked_id(message_id), lease=lease, queue=queue, attempted=False, drain=drain or None
    )
    return Call("POST", "/queue/nack", read_nothing, body)


def extend(
    message_id: str,
    lease: str | None,
    duration: Duration | None,
    *,
    queue: str | None = None,
    strict: bool = False,
) -> Call[None]:
    """Prolong the lease of a message; repeatable."""
    length = None if duration is None else milliseconds("duration", duration)
    if length == 0:
        raise InvalidInput("duration must be more than 0")
    body = json_body(
        id=checked_id(message_id), lease=lease, queue=queue, duration=length, strict=strict or None
    )
    return Call("POST", "/queue/extend", read_nothing, body, repeatable=True)


def stats(queue: str = "") -> Call[QueueStats]:
    """The numbers of a queue's messages."""
    return Call("GET", f"/queue/stats{of_queue(queue)}", _decode_stats, repeatable=True)


def list_dlq(limit: int, offset: int, queue: str = "") -> Call[list[Letter]]:
    """Dead letters, the newest failure first."""
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise InvalidInput(f"offset must not be negative, received {offset!r:.50}")
    target = f"/queue/dlq?limit={checked_limit(limit)}&offset={offset}{and_queue(queue)}"
    return Call("GET", target, _read_letters, repeatable=True)


def get_dlq(letter_id: str, queue: str = "") -> Call[Letter | None]:
    """Return one dead letter."""
    return Call(
        "GET",
        f"{_letter_target(letter_id)}{of_queue(queue)}",
        _read_letter,
        repeatable=True,
        absent=("Message not found in DLQ", None),
    )


def requeue_dlq(letter_id: str, queue: str = "") -> Call[EnqueueResult]:
    """Send a dead letter again."""
    target = f"{_letter_target(letter_id)}/requeue{of_queue(queue)}"
    return Call("POST", target, _decode_enqueued)


def delete_dlq(letter_id: str, queue: str = "") -> Call[None]:
    """Delete a dead letter."""
    target = f"{_letter_target(letter_id)}{of_queue(queue)}"
    return Call("DELETE", target, read_nothing, repeatable=True)


def purge_dlq(queue: str = "") -> Call[int]:
    """Delete all dead letters of a queue."""
    return Call("DELETE", f"/queue/dlq{of_queue(queue)}", _read_purged)


def read_message(content: bytes) -> Message:
    """A message of its JSON."""
    return _untagged(_decode_message(content))


def _untagged(message: Message) -> Message:
    return replace(message, value=untag(message.value))


def _read_polled(content: bytes) -> Message | None:
    message = _decode_polled(content).message
    return None if message is None else _untagged(message)


def _read_letter(content: bytes) -> Letter:
    return _letter(_decode_letter(content))


def _read_letters(content: bytes) -> list[Letter]:
    return [_letter(raw) for raw in _decode_letters(content)]


def _letter(raw: Letter) -> Letter:
    return replace(raw, value=untag(raw.value))


def identify(message: Message | str, lease: str | None) -> tuple[str, str | None, str | None]:
    """Id, lease and queue of a message that is given as such or by its id.

    The queue is None if it is unknown, and for the queue without a name. Raises `InvalidInput`.
    """
    if isinstance(message, QueueMessage):
        return message.id, lease or message.lease, message.queue or None
    return checked_id(message), lease, None


def checked_id(message_id: object) -> str:
    """The id of a message or a dead letter. Raises `InvalidInput`."""
    if not isinstance(message_id, str) or not message_id:
        raise InvalidInput(f"id must be a non-empty string, received {message_id!r:.50}")
    return message_id


def of_queue(queue: str) -> str:
    """The query that names a queue. Raises `InvalidInput`."""
    name = checked_queue("queue", queue)
    return f"?queue={quote(name, safe='')}" if name else ""


def and_queue(queue: str) -> str:
    """The same, appended to other parameters."""
    return of_queue(queue).replace("?", "&", 1)


def _letter_target(letter_id: str) -> str:
    return f"/queue/dlq/{quote(checked_id(letter_id), safe='')}"

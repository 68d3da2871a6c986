"""Answers of endpoints that are more than JSON text with status 200."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from buntime_host import NotDirect


class ClientGone(Exception):
    """The client has gone, so there is no answer."""


Gone = Callable[[], Coroutine[Any, Any, None]]
"""Waits until the client of a call has gone."""

Text = str | bytes
"""JSON; a long one as bytes of UTF-8."""


class Elsewhere(NotDirect):
    """Raised for another worker to answer, which has what the request is about."""

    def __init__(self, worker: int, here: Callable[[], Awaitable[Text]]) -> None:
        super().__init__(worker)
        self.worker = worker
        self.here = here
        """The answer of this worker if the other one is gone."""


Frame = bytes | tuple[bytes, ...]
"""One frame of an event stream; a large one in several pieces."""

Frames = AsyncGenerator[Frame, None]
"""The frames of an event stream."""


_LONG = 256 * 1024
"""The length, in characters or bytes, from which texts are not copied on the event loop: including
the allocation, copying 16 MB takes 25 ms."""


def flag_json(name: str, flag: bool) -> str:
    """A JSON object with one boolean."""
    return f'{{"{name}":{truth(flag)}}}'


def truth(flag: bool) -> str:
    return "true" if flag else "false"


def spliced(head: str, entries: Sequence[Text], tail: str) -> Text:
    """JSON with short entries in an array between `head` and `tail`; see `spliced_beside`."""
    # Tried without looking at each entry first, since nearly always all are texts.
    with suppress(TypeError):
        return f"{head}{','.join(entries)}{tail}"  # type: ignore[arg-type] # then that is an error
    return _spliced_bytes(head, entries, tail)


def are_long(entries: Sequence[Text]) -> bool:
    """Whether copying the entries takes long."""
    return sum(map(len, entries)) >= _LONG


async def spliced_beside(head: str, entries: Sequence[Text], tail: str) -> Text:
    """Do the same as `spliced` with entries that may be long, which a thread then copies.

    Bytes are joined without the interpreter's lock.
    """
    if not are_long(entries):
        return spliced(head, entries, tail)
    return await asyncio.to_thread(_spliced_bytes, head, entries, tail)


def _spliced_bytes(head: str, entries: Sequence[Text], tail: str) -> bytes:
    parts = [head.encode()]
    for entry in entries:
        parts += (entry if isinstance(entry, bytes) else entry.encode(), b",")
    parts[-1] = tail.encode()
    return b"".join(parts)

"""What an endpoint answers with when it is more than JSON text with status 200."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from buntime_host import NotDirect


class ClientGone(Exception):
    """Nobody waits for the answer any more, so there is none."""


Gone = Callable[[], Coroutine[Any, Any, None]]
"""Waits until nobody wants the answer to a call any more."""

Text = str | bytes
"""JSON; a long one as bytes of UTF-8."""


class Elsewhere(NotDirect):
    """Another worker has what the request is about: let it answer."""

    def __init__(self, worker: int, here: Callable[[], Awaitable[Text]]) -> None:
        super().__init__(worker)
        self.worker = worker
        self.here = here
        """The answer of this worker, if the other one is gone."""


Frame = bytes | tuple[bytes, ...]
"""Of an event stream; one that is large in several pieces."""

Frames = AsyncGenerator[Frame, None]
"""The frames of an event stream."""


_LONG = 256 * 1024
"""Characters, or bytes, that are not copied on the event loop: with the pages of memory that they
take, 16 MB are copied for 25 ms."""


def flag_json(name: str, flag: bool) -> str:
    """An object of one truth."""
    return f'{{"{name}":{truth(flag)}}}'


def truth(flag: bool) -> str:
    """True or false as JSON has it."""
    return "true" if flag else "false"


def spliced(head: str, entries: Sequence[Text], tail: str) -> Text:
    """JSON with entries between the brackets of an array, which are short; see `spliced_beside`."""
    # Not asked of each entry before: mostly there are texts alone.
    with suppress(TypeError):
        return f"{head}{','.join(entries)}{tail}"  # type: ignore[arg-type] # then that is an error
    return _spliced_bytes(head, entries, tail)


def are_long(entries: Sequence[Text]) -> bool:
    """Whether it takes long to copy them."""
    return sum(map(len, entries)) >= _LONG


async def spliced_beside(head: str, entries: Sequence[Text], tail: str) -> Text:
    """The same with entries that may be long: then a thread copies them, and keeps nobody waiting.

    Bytes are joined without the lock of the interpreter.
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

"""What an endpoint answers with when it is more than JSON text with status 200."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress

from buntime_host import NotDirect


class ClientGone(Exception):
    """Nobody waits for the answer any more, so there is none."""


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


def spliced(head: str, entries: Sequence[Text], tail: str) -> Text:
    """JSON with entries between the brackets of an array. What is long is copied once."""
    # Not asked of each entry before: mostly there are texts alone.
    with suppress(TypeError):
        return f"{head}{','.join(entries)}{tail}"  # type: ignore[arg-type] # then that is an error
    parts = [head.encode()]
    for entry in entries:
        parts += (entry if isinstance(entry, bytes) else entry.encode(), b",")
    parts[-1] = tail.encode()
    return b"".join(parts)

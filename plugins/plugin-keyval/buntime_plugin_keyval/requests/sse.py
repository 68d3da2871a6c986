"""Server-sent events: bare line feeds and one `data:` line for each event.

Clients of the first implementation split frames by line feeds alone and parse what one read gave
them, so a frame is never spread over two writes, though short ones may share one, unless it is
larger than any read: then a value in it is written as it is, and not copied for each of those who
get it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from buntime_host.access import Life
from starlette.types import Receive, Send

from buntime_plugin_keyval.requests.answers import Frame, Frames

OPENED = b""
"""What a generator of frames yields once nothing can refuse the stream any more; never sent."""

LARGE_BYTES = 64 * 1024
"""From which a piece is written on its own."""

PING = b"event: ping\ndata: \n\n"

HEADERS = [
    (b"content-type", b"text/event-stream"),
    # Whoever compresses it collects events until there is enough to compress.
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),  # a proxy that buffers would hold events back
]


def ping(event_id: str) -> bytes:
    """A heartbeat that says how far the client has come."""
    return f"event: ping\ndata: \nid: {event_id}\n\n".encode()


def frame(event: str, data: str, event_id: str) -> bytes:
    """One event; `data` is JSON text without line breaks."""
    return b"event: %b\ndata: %b\nid: %b\n\n" % (event.encode(), data.encode(), event_id.encode())


def frame_of_entries(event: str, entries: Sequence[Sequence[bytes]], event_id: str) -> Frame:
    """One event whose data is an array of entries, each in pieces of JSON.

    In pieces where one of them is large. Of several large ones it is put together: what is not
    written at once would be in memory, and not counted.
    """
    parts = [f"event: {event}\ndata: [".encode()]
    for entry in entries:
        parts += entry
        parts.append(b",")
    parts[-1] = f"]\nid: {event_id}\n\n".encode()
    large = [place for place, part in enumerate(parts) if len(part) > LARGE_BYTES]
    if len(large) != 1:
        return b"".join(parts)
    (place,) = large
    return b"".join(parts[:place]), parts[place], b"".join(parts[place + 1 :])


async def opened(frames: Frames, *, head: bool) -> Frames:
    """Run a generator up to its `OPENED`: it raises what refuses the stream, or has to be closed.

    A HEAD request, which takes no frames, ends it there.
    """
    await anext(frames)
    if head:
        await frames.aclose()
    return frames


async def send_events(receive: Receive, send: Send, frames: Frames, life: Life) -> None:
    """Send frames until they end, the client is gone, or it may not have them any more.

    The generator is closed in any case.
    """
    async with contextlib.aclosing(frames):
        over = asyncio.get_running_loop().create_future()
        take_back = life.when_over(lambda: None if over.done() else over.set_result(None))
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        gone = asyncio.create_task(_disconnected(receive))
        sending = asyncio.create_task(_send_all(send, frames, gone))
        try:
            await asyncio.wait({gone, sending, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            take_back()
            for task in (sending, gone):
                task.cancel()
            await asyncio.wait({sending, gone})
        if not sending.cancelled():
            sending.result()
        elif over.done():
            await send({"type": "http.response.body", "body": b""})


async def _send_all(send: Send, frames: Frames, gone: asyncio.Task[None]) -> None:
    async for data in frames:
        size = 0
        for piece in (data,) if isinstance(data, bytes) else data:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            size += len(piece)
        # Whoever takes the next frame says by that that this one was sent: a server drops frames
        # for a client that is gone without a word, so let that news arrive first.
        del data, piece  # what a client does not take is there once, in its connection
        await asyncio.sleep(0)
        if gone.done():
            return
        if size > LARGE_BYTES:
            # Nothing, but it waits as long as the client does not take what was sent before: only
            # then the next frame is made.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

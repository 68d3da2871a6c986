"""Server-sent events: bare line feeds and one `data:` line for each event.

Clients of the first implementation split frames by line feeds alone and parse the result of one
read. So a frame is never spread over two writes, though short ones may share one. A frame larger
than any read is the exception: a large value in it is written as it is, instead of being copied for
each client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from buntime_host.access import Life
from starlette.types import Receive, Send

from buntime_plugin_keyval.requests.answers import Frame, Frames

OPENED = b""
"""Yielded by a generator of frames once the stream can no longer be refused; never sent."""

LARGE_BYTES = 64 * 1024
"""The size from which a piece is written on its own."""

PING = b"event: ping\ndata: \n\n"

HEADERS = [
    (b"content-type", b"text/event-stream"),
    # A compressing proxy would hold events back until there are enough to compress.
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),  # a proxy that buffers would hold events back
]


def ping(event_id: str) -> bytes:
    """A heartbeat with the client's bookmark as its id."""
    return f"event: ping\ndata: \nid: {event_id}\n\n".encode()


def frame(event: str, data: str, event_id: str) -> bytes:
    """The frame of one event; `data` is JSON without line breaks."""
    return b"event: %b\ndata: %b\nid: %b\n\n" % (event.encode(), data.encode(), event_id.encode())


def frame_of_entries(event: str, entries: Sequence[Sequence[bytes]], event_id: str) -> Frame:
    """The frame of one event whose data is an array of entries, each in pieces of JSON.

    It stays in pieces if one entry is large. With several large ones it is joined: pieces that are
    not written at once would take memory that is not counted.
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
    """Run a generator up to `OPENED`. It raises if the stream is refused; otherwise close it.

    For a HEAD request, which has no frames, it is ended there.
    """
    await anext(frames)
    if head:
        await frames.aclose()
    return frames


async def send_events(receive: Receive, send: Send, frames: Frames, life: Life) -> None:
    """Send frames until they end, the client is gone, or it may not have them any more.

    The generator is always closed.
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
        # Asking for the next frame means that this one was sent. But a server silently drops
        # frames for a client that is gone, so that news gets a chance to arrive first.
        del data, piece  # what a slow client has not read is kept once, in its connection
        await asyncio.sleep(0)
        if gone.done():
            return
        if size > LARGE_BYTES:
            # Sends nothing, but waits until the client has read what was sent before; only then
            # is the next frame made.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

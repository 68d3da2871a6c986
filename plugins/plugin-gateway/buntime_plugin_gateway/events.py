"""The numbers of the gateway as an event stream, once a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from buntime_host import Principal
from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.responses import Response

SECONDS = 1.0


def leave_signals_alone() -> None:
    """Keep the library from ending streams when the process gets a signal.

    It would patch uvicorn for the whole process, and cancel what is being sent. Streams of
    `event_stream` end properly by themselves when the host announces its shutdown.
    """
    AppStatus.enable_automatic_graceful_drain = False


def event_stream(
    tell: Callable[[], dict[str, Any]], principal: Principal, closing: asyncio.Event
) -> Response:
    """A stream with an event at once and then every second, until the host or credential ends."""
    return EventSourceResponse(_told(tell, principal, closing), sep="\n")


async def _told(
    tell: Callable[[], dict[str, Any]], principal: Principal, closing: asyncio.Event
) -> AsyncIterator[dict[str, str]]:
    over = asyncio.Event()
    take_back = principal.life.when_over(over.set)
    ended = [asyncio.ensure_future(event.wait()) for event in (over, closing)]
    try:
        while not (over.is_set() or closing.is_set()):
            yield {"data": msgspec.json.encode(tell()).decode()}
            await asyncio.wait(ended, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        take_back()
        for waiting in ended:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

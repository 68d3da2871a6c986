"""Following an event stream for ever: reconnecting, with pauses, until cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from buntime_keyval._async.concurrency import sleep
from buntime_keyval._async.reports import report
from buntime_keyval._async.session import AsyncSession
from buntime_keyval._errors import KvError
from buntime_keyval._follow import FollowPlan, Reconnects
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._retries import is_passing
from buntime_keyval._sse import EventParser

T = TypeVar("T")


async def follow(
    session: AsyncSession,
    plan: FollowPlan[T],
    deliver: Callable[[T], Awaitable[None]],
    on_error: ErrorHandler | None,
) -> None:
    """Deliver the events of a plan's streams. Raises a `KvError` that will not pass."""
    reconnects = Reconnects()
    while True:
        try:
            async with session.stream(plan.stream_call()) as chunks:
                reconnects.opened()
                parser = EventParser()
                async for chunk in chunks:
                    events = parser.feed(chunk)
                    session.heard_of(parser.position)
                    for event in events:
                        item = plan.take(event)
                        if item is not None:
                            await deliver(item)
        except KvError as error:
            if not is_passing(error):
                raise
            await report(error, on_error)
        await sleep(reconnects.pause(plan.place()))

# Made by scripts/unasync from _async/follow.py: change that one.
"""Following an event stream for ever: reconnecting, with pauses, until cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from buntime_keyval._errors import KvError
from buntime_keyval._follow import FollowPlan, Reconnects
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._retries import is_passing
from buntime_keyval._sse import EventParser
from buntime_keyval._sync.concurrency import sleep
from buntime_keyval._sync.reports import report
from buntime_keyval._sync.session import Session

T = TypeVar("T")


def follow(
    session: Session,
    plan: FollowPlan[T],
    deliver: Callable[[T], None],
    on_error: ErrorHandler | None,
) -> None:
    """Deliver the events of a plan's streams. Raises a `KvError` that will not pass."""
    reconnects = Reconnects()
    while True:
        try:
            with session.stream(plan.stream_call()) as chunks:
                reconnects.opened()
                parser = EventParser()
                for chunk in chunks:
                    events = parser.feed(chunk)
                    session.heard_of(parser.position)
                    for event in events:
                        item = plan.take(event)
                        if item is not None:
                            deliver(item)
        except KvError as error:
            if not is_passing(error):
                raise
            report(error, on_error)
        sleep(reconnects.pause(plan.place()))

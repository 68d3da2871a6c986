"""Feeds of watches and queue listeners: the streams and polls of an API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from buntime_keyval._async.concurrency import sleep
from buntime_keyval._async.follow import follow
from buntime_keyval._async.reports import report
from buntime_keyval._async.session import AsyncSession
from buntime_keyval._async.watch import Feed
from buntime_keyval._calls import queue as calls
from buntime_keyval._calls.keys import Entry
from buntime_keyval._calls.queue import Message
from buntime_keyval._errors import KvError
from buntime_keyval._follow import Reconnects
from buntime_keyval._messages import ListenPlan
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._retries import is_passing
from buntime_keyval._watching import PollPlan, WatchPlan
from buntime_keyval.wire import Duration


def watch_feed(
    session: AsyncSession,
    plan: WatchPlan | PollPlan,
    poll_seconds: float,
    on_error: ErrorHandler | None,
) -> Feed:
    """The batches that a plan brings."""

    async def feed(deliver: Callable[[list[Entry]], Awaitable[None]]) -> None:
        if isinstance(plan, WatchPlan):
            await follow(session, plan, deliver, on_error)
        reconnects = Reconnects()
        while isinstance(plan, PollPlan):
            try:
                entries, more = plan.take(await session.send(plan.call()))
            except KvError as error:
                if not is_passing(error):
                    raise
                await report(error, on_error)
                await sleep(reconnects.pause())
                continue
            reconnects.opened()
            if entries:
                await deliver(entries)
            await sleep(0 if more else poll_seconds)

    return feed


class ApiMessages:
    """The messages of an API, as `AsyncMessages`."""

    def __init__(
        self,
        session: AsyncSession,
        queue: str,
        *,
        concurrency: int,
        poll_seconds: float | None,
        on_error: ErrorHandler | None,
    ) -> None:
        """Without `poll_seconds`, reads a stream."""
        self._session = session
        self._queue = queue
        self._of = queue or None
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds
        self._on_error = on_error

    async def feed(
        self, has_room: Callable[[], Awaitable[bool]], deliver: Callable[[Message], Awaitable[bool]]
    ) -> None:
        if self._poll_seconds is not None:
            await self._poll(self._poll_seconds, has_room, deliver)
            return

        async def take(message: Message) -> None:
            await deliver(message)

        await follow(
            self._session, ListenPlan(self._concurrency, self._queue), take, self._on_error
        )

    async def ack(self, message_id: str, *, draining: bool) -> None:
        # Without a lease: it is processed, whichever consumer has it by now.
        await self._session.send(calls.ack(message_id, None, queue=self._of, drain=draining))

    async def nack(
        self,
        message_id: str,
        lease: str | None,
        error: str | None,
        delay: Duration | None,
        *,
        draining: bool,
    ) -> None:
        call = calls.nack(message_id, lease, error, delay, queue=self._of, drain=draining)
        await self._session.send(call)

    async def release(self, message_id: str, lease: str | None, *, draining: bool) -> None:
        if lease is not None:
            call = calls.release(message_id, lease, queue=self._of, drain=draining)
            await self._session.send(call)

    async def extend(self, message_id: str, lease: str | None, duration: Duration | None) -> None:
        await self._session.send(calls.extend(message_id, lease, duration, queue=self._of))

    async def _poll(
        self,
        poll_seconds: float,
        has_room: Callable[[], Awaitable[bool]],
        deliver: Callable[[Message], Awaitable[bool]],
    ) -> None:
        reconnects = Reconnects()
        while await has_room():
            try:
                message = await self._session.send(calls.poll(self._queue))
            except KvError as error:
                if not is_passing(error):
                    raise
                await report(error, self._on_error)
                await sleep(reconnects.pause())
                continue
            reconnects.opened()
            if message is None:
                await sleep(poll_seconds)
            else:
                await deliver(message)

"""Large results: few of them are in hand at a time, from their first row to their last byte.

A statement that reads may give little. Where it would give more, it is run again when it is its
turn, and the turn is over when the transport has the answer, which counts it from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from buntime_database import DatabaseUnavailable, MoreThanAsked, SessionResult
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SMALL_BYTES = 256 * 1024
"""What the results of one request may have in all without waiting for a turn."""

MOST_IN_HAND = 2
"""Each takes several times its size: in SQLite, as rows, as JSON."""


MOST_FETCHING = 4
"""Cursors of websockets that may be asked for rows at a time."""

SENT_SECONDS = 2.0
"""For which others wait for a websocket whose client does not take what was sent before."""


class TooManyLargeResults(DatabaseUnavailable):
    """Others have large results in hand, and have had them for as long as a request waits."""

    code = "TOO_MANY_LARGE_RESULTS"


class LargeResults:
    """The large results that are in hand in this process."""

    def __init__(self, *, seconds: float) -> None:
        """`seconds` is how long a request waits for its turn."""
        self._free = asyncio.Semaphore(MOST_IN_HAND)
        self._cursors = asyncio.Semaphore(MOST_FETCHING)
        self._seconds = seconds

    def hand(self) -> Hand:
        """What a request that begins has in hand: nothing."""
        return Hand(self)

    async def take(self) -> None:
        """Wait for the turn. Raises `TooManyLargeResults`."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise TooManyLargeResults(
                f"{MOST_IN_HAND} results of more than {SMALL_BYTES} bytes are on their way, which"
                " are the most; try again"
            ) from error

    def give(self) -> None:
        """Let the next one have its turn."""
        self._free.release()

    @asynccontextmanager
    async def fetching(self) -> AsyncIterator[None]:
        """The turn of a websocket's cursor: that its rows are large is known when they are there.

        Raises `TooManyLargeResults`.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._cursors.acquire()
        except TimeoutError as error:
            raise TooManyLargeResults(
                f"{MOST_FETCHING} cursors are being read, which are the most; try again"
            ) from error
        try:
            yield
        finally:
            self._cursors.release()


class Hand:
    """The results of one request."""

    def __init__(self, results: LargeResults) -> None:
        self._results = results
        self._bytes = 0
        self.is_large = False
        """Whether it has a turn."""

    async def run(self, execute: Callable[[int | None], Awaitable[SessionResult]]) -> SessionResult:
        """The result of a statement.

        `execute` runs it, and is told how many bytes it may give, if it only reads; None for as
        many as ever. Raises `TooManyLargeResults`, and what it raises.
        """
        left = SMALL_BYTES - self._bytes
        if left > 0 and not self.is_large:
            try:
                result = await execute(left)
            except MoreThanAsked:
                await self._take()
                result = await execute(None)
        else:
            await self._take()
            result = await execute(None)
        self._bytes += result.size
        return result

    def fetching(self) -> AbstractAsyncContextManager[None]:
        """See `LargeResults`."""
        return self._results.fetching()

    async def _take(self) -> None:
        if not self.is_large:
            await self._results.take()
            self.is_large = True

    async def send(self, sending: Coroutine[Any, Any, None]) -> None:
        """Send an answer over a websocket; others wait for a slow client only for a moment."""
        if not self.is_large:
            await sending
            return
        task = asyncio.create_task(sending)
        try:
            await asyncio.wait({task}, timeout=SENT_SECONDS)
            self.empty()
            await task
        finally:
            task.cancel()

    def empty(self) -> None:
        """The request is over. Safe to call again."""
        if self.is_large:
            self.is_large = False
            self._results.give()


def hand_of(request: Request) -> Hand:
    """What a request has in hand."""
    hand: Hand = request.state.hand
    return hand


class InHand(Response):
    """A response that is in hand until the transport has it."""

    def __init__(self, response: Response, hand: Hand) -> None:  # nothing of its own to render
        self._response = response
        self._hand = hand

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await self._response(scope, receive, send)
        finally:
            self._hand.empty()

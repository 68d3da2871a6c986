"""Large results: few of them are in memory at a time, from their first row to their last byte.

A statement, or a transaction, may return little. If it would return more, its writes are undone and
it is run again in its turn. The turn ends when the transport has the answer, which counts it from
then on. A request that has the write lock never waits for long: the holder of a turn may be waiting
for that lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from buntime_database import (
    Column,
    DatabaseError,
    DatabaseUnavailable,
    MoreThanAsked,
    SessionResult,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

SMALL_BYTES = 256 * 1024
"""Bytes that the results of one request may have in all without waiting for a turn."""

COLUMN_BYTES = 40
"""Bytes of a column or a parameter beside its name in an answer."""

MOST_IN_HAND = 2
"""Each takes several times its size: in SQLite, as rows, as JSON."""


LOCKED_SECONDS = 1.0
"""Seconds that a request with the write lock waits for a turn; the holder of one may be waiting for
that lock."""

MOST_FETCHING = 4
"""Cursors of websockets that may be asked for rows at a time."""

MOST_WRITING = 4
"""Writes at a time that cannot be undone, and may give back much: then that is there already."""

SENT_SECONDS = 2.0
"""Seconds that others wait for a client that does not read its answer, or for a slow statement."""

MOST_MAKING = 2
"""Pieces of responses that are made and sent at a time."""

MOST_SLOW = 2
"""Responses with a large piece that was not read for that long: SQLite keeps the row meanwhile."""


class TooManyLargeResults(DatabaseUnavailable):
    """Others have large results in memory, and have had them for as long as a request waits."""

    code = "TOO_MANY_LARGE_RESULTS"


class WrittenWithoutResult(DatabaseError):
    """A write was carried out, but its result is too large for an answer.

    Only where that cannot be undone; elsewhere it is refused with nothing written.
    """

    code = "WRITTEN_WITHOUT_RESULT"

    def __init__(self, error: DatabaseError) -> None:
        """`error` says why."""
        super().__init__(f"the write was carried out, but what it gives back cannot be: {error}")


def answer_bytes(result: SessionResult) -> int:
    """About the size of a result: a statement without rows may have 2,000 columns."""
    return result.size + columns_bytes(result.columns)


def columns_bytes(columns: Sequence[Column]) -> int:
    """The part of its columns."""
    names = sum(len(column.name) + len(column.decltype or "") for column in columns)
    return names + COLUMN_BYTES * len(columns)


class LargeResults:
    """The large results that are in hand in this process."""

    def __init__(self, *, seconds: float) -> None:
        """`seconds` is how long a request waits for its turn."""
        self._free = asyncio.Semaphore(MOST_IN_HAND)
        self._cursors = asyncio.Semaphore(MOST_FETCHING)
        self._writing = asyncio.Semaphore(MOST_WRITING)
        self._making = asyncio.Semaphore(MOST_MAKING)
        self._slow: dict[asyncio.Task[bool], Callable[[], bool]] = {}
        self._seconds = seconds

    def hand(self) -> Hand:
        """The state of a request that begins: no results."""
        return Hand(self)

    async def take(self, *, holds_lock: bool = False) -> None:
        """Wait for the turn. Raises `TooManyLargeResults`."""
        try:
            seconds = min(LOCKED_SECONDS, self._seconds) if holds_lock else self._seconds
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise TooManyLargeResults(
                f"{MOST_IN_HAND} results of more than {SMALL_BYTES} bytes are on their way, which"
                " are the most; try again"
            ) from error

    def give(self) -> None:
        """Let the next one have its turn."""
        self._free.release()

    def fetching(self) -> AbstractAsyncContextManager[None]:
        """The turn of a websocket's cursor: that its rows are large is known when they are there.

        Raises `TooManyLargeResults`.
        """
        return self._one_of(self._cursors, f"{MOST_FETCHING} cursors are being read")

    def writing(self) -> AbstractAsyncContextManager[None]:
        """The turn of a write that cannot be undone. Raises `TooManyLargeResults`."""
        told = f"{MOST_WRITING} writes that give back rows are under way on servers"
        return self._one_of(self._writing, told)

    @asynccontextmanager
    async def _one_of(self, turns: asyncio.Semaphore, told: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                await turns.acquire()
        except TimeoutError as error:
            raise TooManyLargeResults(f"{told}, which are the most; try again") from error
        try:
            yield
        finally:
            turns.release()

    async def making(
        self, step: Callable[[], Coroutine[Any, Any, bool]], has_large: Callable[[], bool]
    ) -> bool:
        """Do a step of a response in its turn, and return its result.

        Others wait for it only for a moment. If it takes longer, `has_large` says whether it has
        made a large piece: if there are several of these, the first one is ended. Raises
        `TooManyLargeResults`.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._making.acquire()
        except TimeoutError as error:
            raise TooManyLargeResults(
                f"{MOST_MAKING} pieces of results are on their way, which are the most; try again"
            ) from error
        task = asyncio.create_task(step())
        try:
            try:
                await asyncio.wait({task}, timeout=SENT_SECONDS)
            finally:
                self._making.release()
            self._slow[task] = has_large
            large = [other for other, is_large in self._slow.items() if is_large()]
            for other in large[: max(0, len(large) - MOST_SLOW)]:
                other.cancel()
            await asyncio.wait({task})
        finally:
            self._slow.pop(task, None)
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            raise TooManyLargeResults(
                "the large rows of this result were not taken, and others wait with theirs"
            )
        return task.result()


class Hand:
    """The results of one request."""

    def __init__(self, results: LargeResults) -> None:
        self._results = results
        self._bytes = 0
        self.is_large = False
        """Whether it has a turn."""

    async def run(
        self,
        execute: Callable[[int | None], Awaitable[SessionResult]],
        holds_lock: Callable[[], bool] = lambda: False,
    ) -> SessionResult:
        """The result of a statement.

        `execute` runs it, with the number of bytes that it may return, if that can be undone; None
        for the usual limit. `holds_lock` says whether others wait for a transaction of the same
        client. Raises `TooManyLargeResults`, and the exceptions of `execute`.
        """
        result = await self._in_turn(execute, holds_lock)
        self._bytes += answer_bytes(result)
        return result

    async def run_all(
        self, execute: Callable[[int | None], Awaitable[list[SessionResult]]]
    ) -> list[SessionResult]:
        """The results of a transaction, which have so many bytes together; see `run`."""
        results = await self._in_turn(execute)
        self._bytes += sum(result.size for result in results)
        return results

    async def _in_turn(
        self,
        execute: Callable[[int | None], Awaitable[T]],
        holds_lock: Callable[[], bool] = lambda: False,
    ) -> T:
        left = SMALL_BYTES - self._bytes
        if left > 0 and not self.is_large:
            try:
                return await execute(left)
            except MoreThanAsked:
                pass  # its results are freed before the wait for others
        await self._take(holds_lock=holds_lock())
        return await execute(None)

    async def written(self, write: Callable[[], Awaitable[T]], size_of: Callable[[T], int]) -> T:
        """The result of a write that cannot be undone; within `run` or `run_all`.

        A large one waits for its turn once it exists, before it is made into an answer. Raises
        `TooManyLargeResults` before anything is written, and `WrittenWithoutResult` afterwards.
        """
        async with self._results.writing():
            given = await write()
            if self._bytes + size_of(given) > SMALL_BYTES:
                try:
                    await self._take(holds_lock=False)
                except TooManyLargeResults as error:
                    raise WrittenWithoutResult(error) from error
        return given

    def fetching(self) -> AbstractAsyncContextManager[None]:
        """See `LargeResults`."""
        return self._results.fetching()

    def in_pieces(
        self, pieces: AsyncGenerator[bytes, None], failed: Callable[[DatabaseUnavailable], bytes]
    ) -> InPieces:
        """A response of these pieces; `failed` makes the last one where others have no room."""
        return InPieces(self._results, pieces, failed)

    async def _take(self, *, holds_lock: bool) -> None:
        if not self.is_large:
            await self._results.take(holds_lock=holds_lock)
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
    """The results of a request."""
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


class InPieces(Response):
    """A response whose pieces are made one after the other, each when the previous one was taken.

    The size of a piece is unknown before it exists, so few are made at a time.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self,
        results: LargeResults,
        pieces: AsyncGenerator[bytes, None],
        failed: Callable[[DatabaseUnavailable], bytes],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers()
        self._results = results
        self._pieces = pieces
        self._failed = failed
        self._has_large = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - see ASGI
        """See ASGI. Ends, and the statement with it, when the client has gone."""
        gone = asyncio.create_task(_disconnected(receive))
        sending = asyncio.create_task(self._send_all(send))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.wait({sending, gone})
            await self._pieces.aclose()
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        last = b""
        try:
            while await self._results.making(lambda: self._step(send), lambda: self._has_large):
                pass
        except TooManyLargeResults as error:
            await self._pieces.aclose()
            last = self._failed(error)
        await send({"type": "http.response.body", "body": last})

    async def _step(self, send: Send) -> bool:
        """Make and send the next piece; False if there is none."""
        self._has_large = False
        piece = await anext(self._pieces, None)
        if piece is None:
            return False
        self._has_large = len(piece) > SMALL_BYTES
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        del piece
        # Send an empty piece, which waits until the client has taken the previous ones.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

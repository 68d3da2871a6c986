"""Everything that writes, one request at a time, and group commit over the network.

What arrives while a request is under way shares the next one, so that the time of a round trip
and the server's commit are paid once for many writes. A write is acknowledged only after the
server has answered that it committed.

A request is never repeated unless the server said that it committed nothing of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic, perf_counter

from buntime_database import (
    Batch,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
)

from buntime_plugin_database.counters import BATCHES, COMMIT_SECONDS, COMMITS, Counters
from buntime_plugin_database.libsql.plan import (
    Encoded,
    Outcome,
    encode_batch,
    make_request,
    read_answer,
)
from buntime_plugin_database.libsql.transport import Json

MAX_GROUP_BATCHES = 256
MAX_GROUP_BYTES = 1024 * 1024
"""Writes that share one transaction: together they hold the server's lock for milliseconds."""


class _Job:
    __slots__ = ("batch", "deadline", "done")

    def __init__(self, batch: Encoded, done: asyncio.Future[Outcome], deadline: float) -> None:
        self.batch = batch
        self.done = done
        self.deadline = deadline


class Writer:
    """Serialises the writes of one adapter."""

    def __init__(
        self,
        send: Callable[[list[Json]], Awaitable[Json]],
        *,
        timeout_seconds: float,
        counters: Counters,
    ) -> None:
        """`send` carries a request to the primary; it raises `DatabaseError`."""
        self._send = send
        self._timeout_seconds = timeout_seconds
        self._pending: deque[_Job] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._closed = False
        self.counters = counters

    async def batch_each(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Commit each batch, together with whatever else waits; outcomes in the given order.

        A write whose caller goes away is left out, unless it is already on its way.
        """
        if self._closed:
            raise DatabaseClosed("the database is closed")
        loop = asyncio.get_running_loop()
        outcomes = [self._submit(batch, loop) for batch in batches]
        if self._pending and self._draining is None:
            # As a task it starts in the next turn of the loop, with all that this turn brings.
            self._draining = loop.create_task(self._drain())
        return list(await asyncio.gather(*outcomes))

    async def close(self) -> None:
        """Let every accepted write finish. Idempotent."""
        self._closed = True
        while self._draining is not None:
            await asyncio.shield(self._draining)

    def _submit(self, batch: Batch, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Outcome]:
        done: asyncio.Future[Outcome] = loop.create_future()
        try:
            encoded = encode_batch(batch)
        except DatabaseError as error:
            done.set_result(error)
        except Exception as error:  # noqa: BLE001 - whatever the caller gave us is its mistake
            refused = InvalidStatement(f"{type(error).__name__}: {error}")
            refused.__cause__ = error
            done.set_result(refused)
        else:
            if encoded.steps:
                deadline = monotonic() + self._timeout_seconds
                self._pending.append(_Job(encoded, done, deadline))
            else:
                done.set_result([])
        return done

    async def _drain(self) -> None:
        group: list[_Job] = []
        try:
            while self._pending:
                group = self._take()
                if group:
                    await self._commit(group)
        except BaseException as error:
            _conclude(group, OutcomeUnknown(f"the write was given up on its way: {error!r}"))
            given_up = DatabaseUnavailable(f"the write was given up and not sent: {error!r}")
            _conclude(self._pending, given_up)
            self._pending.clear()
            raise
        finally:
            self._draining = None

    def _take(self) -> list[_Job]:
        """The next writes that can share a transaction; what may scan is alone in its own."""
        group: list[_Job] = []
        size = 0
        now = monotonic()
        while self._pending and len(group) < MAX_GROUP_BATCHES:
            job = self._pending[0]
            if group and not (group[0].batch.bounded and job.batch.bounded):
                break
            if group and size + job.batch.size > MAX_GROUP_BYTES:
                break
            self._pending.popleft()
            if job.done.done():
                continue
            if now > job.deadline:
                _conclude([job], DatabaseUnavailable("the write waited too long and was not sent"))
                continue
            group.append(job)
            size += job.batch.size
        return group

    async def _commit(self, group: list[_Job]) -> None:
        batches = [job.batch for job in group]
        request = make_request(batches)
        started = perf_counter()
        try:
            answer = await self._send(request.steps)
        except InvalidStatement as refused:
            # The server parses all before it runs any, and says of none which one was wrong.
            if len(group) > 1:
                await self._commit_alone(group)
            else:
                _conclude(group, refused)
            return
        except DatabaseError as error:
            _conclude(group, error)
            return
        outcomes = read_answer(request, batches, answer)
        if outcomes is None:
            await self._commit_alone(group)
        elif isinstance(outcomes, DatabaseError):
            _conclude(group, outcomes)
        else:
            count = self.counters.own
            count[COMMITS] += 1
            count[BATCHES] += len(group)
            count[COMMIT_SECONDS] += perf_counter() - started
            for job, outcome in zip(group, outcomes, strict=True):
                _conclude([job], outcome)

    async def _commit_alone(self, group: list[_Job]) -> None:
        for job in group:
            if not job.done.done():
                await self._commit([job])


def _conclude(jobs: Iterable[_Job], outcome: Outcome) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_result(outcome)

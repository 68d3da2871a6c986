"""Writes that wait for their turn to be sent to a server, and their outcomes.

One request at a time is under way. Writes that arrive meanwhile share the next one, so that the
time of a round trip and the server's commit are paid once for many writes.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from buntime_database import (
    Batch,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
)

from buntime_plugin_database.shared.counters import BATCHES, COMMIT_SECONDS, COMMITS, Counters
from buntime_plugin_database.shared.grouping import BatchOutcome, Grouping
from buntime_plugin_database.shared.witness import Told

MAX_GROUP_BATCHES = 256
MAX_GROUP_BYTES = 1024 * 1024
"""Writes that share one transaction: together they hold the server's lock for milliseconds."""

ASK_PAUSE_SECONDS = (0.02, 0.5)
"""The first and the longest pause between two questions to a server that does not answer."""


class Sendable(Protocol):
    """A batch that is checked and ready to be sent."""

    @property
    def is_empty(self) -> bool: ...

    @property
    def bounded(self) -> bool: ...

    @property
    def size(self) -> int:
        """Bytes of its texts, roughly."""


E = TypeVar("E", bound=Sendable)


class Unsent(Generic[E]):
    """One batch, and its waiter."""

    __slots__ = ("batch", "deadline", "done")

    def __init__(self, batch: E, done: asyncio.Future[BatchOutcome], deadline: float) -> None:
        self.batch = batch
        self.done = done
        self.deadline = deadline

    def conclude(self, outcome: BatchOutcome) -> None:
        """Conclude it, unless that has happened."""
        if not self.done.done():
            self.done.set_result(outcome)


class ServerWrites(ABC, Generic[E]):
    """The writes of one adapter, in the order in which they came; the engine commits them."""

    def __init__(
        self, encode: Callable[[Batch], E], *, timeout_seconds: float, counters: Counters
    ) -> None:
        """`encode` raises what is wrong with a batch.

        `timeout_seconds` is how long a write may wait for its turn, and how long the server is
        asked for the outcome of one whose answer was lost.
        """
        self._encode = encode
        self._timeout_seconds = timeout_seconds
        self._grouping = Grouping[Unsent[E]](self._commit_jobs, _give_up, _share)
        self.closed = False
        self.counters = counters

    @abstractmethod
    async def _commit(self, group: list[Unsent[E]]) -> None:
        """Send a group, until it is known what became of it, and conclude each of it."""

    async def batch_each(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit each batch, together with other waiting ones; return outcomes in the given order.

        A write whose caller has gone is left out, unless it is already on its way.
        """
        if self.closed:
            raise DatabaseClosed("the database is closed")
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(self._submit(batch, loop) for batch in batches)))

    async def close(self) -> None:
        """Let every accepted write finish. Idempotent."""
        self.closed = True
        await self._grouping.finish()

    def still_wanted(
        self, group: Iterable[Unsent[E]], too_late: DatabaseUnavailable
    ) -> list[Unsent[E]]:
        """The writes that are not concluded and whose time is not over; the others get an error."""
        wanted = []
        now = monotonic()
        for job in group:
            if job.done.done():
                continue
            if now > job.deadline:
                job.conclude(too_late)
            else:
                wanted.append(job)
        return wanted

    async def find_out(self, ask: Callable[[float], Awaitable[Told]]) -> Told | None:
        """Ask what became of the last group, until the server says it; None if it does not.

        `ask` gets the seconds that are left for an answer, and raises `DatabaseError`.
        """
        deadline = monotonic() + self._timeout_seconds
        pause, longest = ASK_PAUSE_SECONDS
        while (left := deadline - monotonic()) > 0:
            try:
                return await ask(left)
            except DatabaseError as error:
                if self.closed:
                    break
                if isinstance(error, DatabaseUnavailable) and not isinstance(error, DatabaseBusy):
                    self._refuse_waiting(error)
            await asyncio.sleep(min(pause, max(deadline - monotonic(), 0)))
            pause = min(2 * pause, longest)
        return None

    def count(self, batches: int, seconds: float) -> None:
        """Count that so many were committed together, in that time."""
        count = self.counters.own
        count[COMMITS] += 1
        count[BATCHES] += batches
        count[COMMIT_SECONDS] += seconds

    def _submit(
        self, batch: Batch, loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[BatchOutcome]:
        done: asyncio.Future[BatchOutcome] = loop.create_future()
        try:
            encoded = self._encode(batch)
        except DatabaseError as error:
            done.set_result(error)
        except Exception as error:  # noqa: BLE001 - whatever the caller gave us is its mistake
            refused = InvalidStatement(f"{type(error).__name__}: {error}")
            refused.__cause__ = error
            done.set_result(refused)
        else:
            if encoded.is_empty:
                done.set_result([])
            else:
                deadline = monotonic() + self._timeout_seconds
                self._grouping.add(Unsent(encoded, done, deadline))
        return done

    async def _commit_jobs(self, jobs: list[Unsent[E]]) -> None:
        group = self.still_wanted(
            jobs, DatabaseUnavailable("the write waited too long and was not sent")
        )
        if group:
            await self._commit(group)

    def _refuse_waiting(self, error: DatabaseUnavailable) -> None:
        """Waiting writes have not been sent, and do not wait for a server that is gone."""
        conclude(self._grouping.waiting, DatabaseUnavailable(str(error)))
        self._grouping.waiting.clear()


def conclude(jobs: Iterable[Unsent[E]], outcome: BatchOutcome) -> None:
    """Conclude all of them alike, except those that were concluded."""
    for job in jobs:
        job.conclude(outcome)


def _share(job: Unsent[E]) -> float:
    """A batch that may scan is alone in its transaction."""
    batch = job.batch
    return max(1 / MAX_GROUP_BATCHES, batch.size / MAX_GROUP_BYTES) if batch.bounded else 1


def _give_up(
    group: Sequence[Unsent[E]], waiting: Sequence[Unsent[E]], error: BaseException
) -> None:
    conclude(group, OutcomeUnknown(f"the write was given up on its way: {error!r}"))
    conclude(waiting, DatabaseUnavailable(f"the write was given up and not sent: {error!r}"))

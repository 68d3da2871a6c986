"""Everything that writes, one request at a time, and group commit over the network.

What arrives while a request is under way shares the next one, so that the time of a round trip
and the server's commit are paid once for many writes. A write is acknowledged only after the
server has answered that it committed.

If the answer is lost, the server is asked what became of the request (see `witness`), and only if
it committed nothing, and cannot any more, the writes are sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic, perf_counter, time
from typing import Protocol

from buntime_database import (
    Batch,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
)

from buntime_plugin_database.engines.libsql.plan import (
    Encoded,
    encode_batch,
    make_request,
    read_answer,
    recall,
)
from buntime_plugin_database.engines.libsql.transport import Json
from buntime_plugin_database.engines.libsql.witness import TablesMissing, Told, Witness
from buntime_plugin_database.shared.counters import BATCHES, COMMIT_SECONDS, COMMITS, Counters
from buntime_plugin_database.shared.grouping import BatchOutcome, Grouping

MAX_GROUP_BATCHES = 256
MAX_GROUP_BYTES = 1024 * 1024
"""Writes that share one transaction: together they hold the server's lock for milliseconds."""


MAX_CAUTION = 63
"""Groups that have a savepoint for each write because one failed before: 1, then 3, 7, …"""

ASK_PAUSE_SECONDS = (0.02, 0.5)
"""The first and the longest pause between two questions to a server that does not answer."""

BUSY_PAUSE_SECONDS = (0.005, 0.05)
"""Between two attempts to get the server's lock: at random, so that hosts do not move in step."""


class Ask(Protocol):
    """Carries a question to the primary on a connection of its own; raises `DatabaseError`."""

    def __call__(self, steps: list[Json], *, most_seconds: float) -> Awaitable[Json]: ...


class _Job:
    __slots__ = ("batch", "deadline", "done")

    def __init__(self, batch: Encoded, done: asyncio.Future[BatchOutcome], deadline: float) -> None:
        self.batch = batch
        self.done = done
        self.deadline = deadline


class BatchWriter:
    """Serialises the writes of one adapter."""

    def __init__(
        self,
        send: Callable[[list[Json]], Awaitable[Json]],
        ask: Ask,
        *,
        timeout_seconds: float,
        counters: Counters,
    ) -> None:
        """`send` carries a request to the primary; it raises `DatabaseError`.

        `timeout_seconds` is how long a write may wait for its turn, and how long the server is
        asked what became of one whose answer was lost.
        """
        self._send = send
        self._ask = ask
        self._witness: Witness | None = None
        self._caution = 0
        self._cautious_groups = 0
        """Groups that still get savepoints; `_caution` is how many there were at the last time."""
        self._timeout_seconds = timeout_seconds
        self._grouping = Grouping[_Job](self._commit_jobs, _give_up, _share)
        self._closed = False
        self.counters = counters

    async def batch_each(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit each batch, together with whatever else waits; outcomes in the given order.

        A write whose caller goes away is left out, unless it is already on its way.
        """
        if self._closed:
            raise DatabaseClosed("the database is closed")
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(self._submit(batch, loop) for batch in batches)))

    async def close(self) -> None:
        """Let every accepted write finish. Idempotent."""
        self._closed = True
        await self._grouping.finish()

    def _submit(
        self, batch: Batch, loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[BatchOutcome]:
        done: asyncio.Future[BatchOutcome] = loop.create_future()
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
                self._grouping.add(_Job(encoded, done, deadline))
            else:
                done.set_result([])
        return done

    async def _commit_jobs(self, jobs: list[_Job]) -> None:
        group = self._still_wanted(
            jobs, DatabaseUnavailable("the write waited too long and was not sent")
        )
        if group:
            await self._commit(group)

    async def _commit(
        self, group: list[_Job], *, has_savepoints: bool = False, has_tables: bool = False
    ) -> None:
        """Send a group until it is known what became of it, and conclude it.

        `has_tables` says that the witness's tables were just made.
        """
        batches = [job.batch for job in group]
        has_savepoints = has_savepoints or (len(group) > 1 and self._is_cautious())
        if self._witness is None:
            self._witness = Witness()  # here, since no two processes may share it
        request = make_request(batches, self._witness, _now_ms(), has_savepoints=has_savepoints)
        started = perf_counter()
        outcomes: Sequence[BatchOutcome | None] | None
        try:
            outcomes = read_answer(request, batches, await self._send(request.steps))
        except OutcomeUnknown as lost:
            told = await self._find_out(self._witness)
            if told is None:
                _conclude(group, lost)
                return
            outcomes = recall(request, batches, told)
        except TablesMissing as missing:
            if has_tables:
                _conclude(group, missing)
                return
            self._witness.forget_tables()
            await self._commit(group, has_tables=True)
            return
        except InvalidStatement as refused:
            # The server parses all before it runs any, and says of none which one was wrong.
            if len(group) > 1:
                await self._commit_alone(group)
            else:
                _conclude(group, refused)
            return
        except DatabaseBusy as busy:
            await self._commit_later(group, busy, has_savepoints=has_savepoints)
            return
        except DatabaseError as error:
            _conclude(group, error)
            return
        if outcomes is None:
            await self._commit_again(group, has_savepoints=has_savepoints)
            return
        is_written = any(outcome is not None for outcome in outcomes)
        if is_written:
            self._count(len(group), perf_counter() - started)
        for job, outcome in zip(group, outcomes, strict=True):
            if outcome is not None:
                _conclude([job], outcome)
        left = self._still_wanted(
            group, DatabaseUnavailable("the server was lost, nothing was written")
        )
        if is_written:
            await self._commit_alone(left)
        elif left:
            await self._commit(left, has_savepoints=has_savepoints)

    def _count(self, batches: int, seconds: float) -> None:
        count = self.counters.own
        count[COMMITS] += 1
        count[BATCHES] += batches
        count[COMMIT_SECONDS] += seconds

    def _is_cautious(self) -> bool:
        if not self._cautious_groups:
            return False
        self._cautious_groups -= 1
        return True

    async def _commit_later(
        self, group: list[_Job], busy: DatabaseBusy, *, has_savepoints: bool
    ) -> None:
        """Send a group once more that others kept from the server's lock: nothing was written.

        A server waits for the lock by itself, but not in the order of arrival, so that among
        busy hosts one may come away with nothing for some time.
        """
        pause = random.uniform(*BUSY_PAUSE_SECONDS)  # noqa: S311 - spreads attempts, no secret
        await asyncio.sleep(pause)
        left = [] if self._closed else self._still_wanted(group, busy)
        if left:
            await self._commit(left, has_savepoints=has_savepoints)
        else:
            _conclude(group, busy)

    async def _commit_again(self, group: list[_Job], *, has_savepoints: bool) -> None:
        """Find the write that failed and made its whole group fail."""
        if has_savepoints:
            await self._commit_alone(group)
            return
        self._caution = min(2 * self._caution + 1, MAX_CAUTION)
        self._cautious_groups = self._caution
        await self._commit(group, has_savepoints=True)

    async def _commit_alone(self, group: list[_Job]) -> None:
        for job in group:
            if not job.done.done():
                await self._commit([job])

    async def _find_out(self, witness: Witness) -> Told | None:
        """Ask what became of the last group, until the server says it; None if it does not."""
        deadline = monotonic() + self._timeout_seconds
        pause, longest = ASK_PAUSE_SECONDS
        while (left := deadline - monotonic()) > 0:
            try:
                answer = await self._ask(witness.question(_now_ms()), most_seconds=left)
                return witness.read_reply(answer)
            except DatabaseError as error:
                if self._closed:
                    break
                if isinstance(error, DatabaseUnavailable) and not isinstance(error, DatabaseBusy):
                    self._refuse_pending(error)
            await asyncio.sleep(min(pause, max(deadline - monotonic(), 0)))
            pause = min(2 * pause, longest)
        return None

    def _refuse_pending(self, error: DatabaseUnavailable) -> None:
        """What waits has not been sent, and is not kept waiting for a server that is gone."""
        _conclude(self._grouping.waiting, DatabaseUnavailable(str(error)))
        self._grouping.waiting.clear()

    def _still_wanted(self, group: Iterable[_Job], too_late: DatabaseUnavailable) -> list[_Job]:
        """The writes that nobody concluded and whose time is not over; the others get an error."""
        wanted = []
        now = monotonic()
        for job in group:
            if job.done.done():
                continue
            if now > job.deadline:
                _conclude([job], too_late)
            else:
                wanted.append(job)
        return wanted


def _share(job: _Job) -> float:
    """What may scan is alone in its transaction."""
    batch = job.batch
    return max(1 / MAX_GROUP_BATCHES, batch.size / MAX_GROUP_BYTES) if batch.bounded else 1


def _give_up(group: Sequence[_Job], waiting: Sequence[_Job], error: BaseException) -> None:
    _conclude(group, OutcomeUnknown(f"the write was given up on its way: {error!r}"))
    _conclude(waiting, DatabaseUnavailable(f"the write was given up and not sent: {error!r}"))


def _conclude(jobs: Iterable[_Job], outcome: BatchOutcome) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_result(outcome)


def _now_ms() -> int:
    return int(time() * 1000)

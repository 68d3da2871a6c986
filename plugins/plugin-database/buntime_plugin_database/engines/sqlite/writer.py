"""The one connection that writes, and group commit on it.

Writes that arrive while a commit is in flight join the next one: one `BEGIN IMMEDIATE`, one
`COMMIT`; a batch that fails is rolled back alone, and the others are committed. A write is
acknowledged only after its COMMIT has returned.

Where the work runs follows from what it costs. Bounded batches take microseconds, less than a
hop to a thread, so they run on the event loop and only COMMIT, which waits for the disk, goes to
the writer thread. Anything that may scan runs in that thread up to its COMMIT.

The holder of the turn is alone on the connection: even a task that is cancelled waits for its work
in the thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import islice
from time import perf_counter
from typing import NamedTuple, TypeVar

import apsw
from buntime_database import (
    Batch,
    DatabaseClosed,
    DatabaseFull,
    DatabaseLost,
    ResultSet,
    TransactionMisuse,
    Value,
)

from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.deadline import Deadline, DeadlineWatch
from buntime_plugin_database.engines.sqlite.group import GroupRun
from buntime_plugin_database.engines.sqlite.queue import LockQueue
from buntime_plugin_database.engines.sqlite.room import Room, makes_room, size_of
from buntime_plugin_database.engines.sqlite.statements import run
from buntime_plugin_database.engines.sqlite.thread import WorkThread
from buntime_plugin_database.engines.sqlite.transaction import SqliteTransaction
from buntime_plugin_database.shared.counters import BATCHES, COMMIT_SECONDS, COMMITS, Counters
from buntime_plugin_database.shared.grouping import BatchOutcome, Grouping

T = TypeVar("T")

MAX_GROUP_BATCHES = 256
"""Batches that share one commit, so that running them inline never holds the loop for long."""
INLINE_SECONDS = 0.01
"""Seconds that a group runs inline; the rest goes on in the thread. Even a short statement may take
long, where it replaces a value of megabytes."""
LOCK_POLL_SECONDS = (0.001, 0.005)
"""First and longest pause between two attempts to get another process's lock.

Short, because a process that writes without pause frees its lock for moments only.
"""

# A context variable and not the current task: a task that a transaction starts and waits for
# would wait for the end of that very transaction.
_inside: ContextVar[tuple[tuple[Writer, SqliteTransaction], ...]] = ContextVar("inside", default=())


class _Job(NamedTuple):
    batches: tuple[Batch, ...]
    done: asyncio.Future[list[BatchOutcome]]


class Writer:
    """Serialises everything that writes to one database."""

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        condition: FileCondition,
        room: Room | None = None,
        queue: LockQueue | None = None,
        busy_timeout_ms: int,
        statement_timeout_ms: int,
        threaded: bool,
        counters: Counters,
    ) -> None:
        self.connection = connection
        """Touch it only with the turn, or while nothing writes."""
        self._cursor = connection.cursor()
        """Shared by all groups: making one costs more than a third of a short statement."""
        self.condition = condition
        self._room = room
        self._queue = queue or LockQueue()
        self._tight = False
        self._shrinkings = 0
        self._busy_timeout_seconds = busy_timeout_ms / 1000
        self._deadline = Deadline(connection, statement_timeout_ms / 1000)
        self._watch = DeadlineWatch(self._deadline.look)
        # Without a thread (an in-memory database) no disk has to be waited for: all runs inline.
        self._thread = WorkThread("sqlite-writer") if threaded else None
        self._grouping = Grouping[_Job](self._commit_jobs, _cancel, _share)
        self.turn = asyncio.Lock()
        """Held while anything is written by this writer."""
        self.when_written: Callable[[], None] | None = None
        """Called after each commit, while the disk has room."""
        self._closed = False
        self.counters = counters

    def is_free_for(self, batches: Sequence[Batch]) -> bool:
        """Whether nothing else is being written or waits, and so many may be one group."""
        if self._grouping.is_busy or self.turn.locked():
            return False
        return len(batches) <= MAX_GROUP_BATCHES

    async def join(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit each, together with whatever else waits, or this turn of the loop brings.

        Outcomes are in the given order.
        """
        job = _Job(tuple(batches), asyncio.get_running_loop().create_future())
        self._grouping.add(job)
        return await job.done

    async def commit(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit batches as one group; return outcomes in the given order.

        While the disk is nearly full, only batches for which there is room, or which make some.
        """
        async with self.turn:
            # Otherwise, waiters for the lock in other processes would never get it from a writer
            # without pause: now they get it between two groups.
            await asyncio.sleep(0)
            room = self._room
            if room is None:
                return await self._commit_group(batches)
            tight = room.is_tight()
            if tight != self._tight:
                self._tight = tight
                room.keep_log_short(self.connection)
            if tight:
                outcomes = await self._commit_admitted(room, batches)
            else:
                outcomes = await self._commit_group(batches)
            for outcome in outcomes:
                if type(outcome) is DatabaseFull:
                    await self._recover(room, batches, outcomes)
                    break
            if room.wants_reserve():
                await self.in_thread(room.give_back, self.connection)
            return outcomes

    async def transaction(self, fn: Callable[[SqliteTransaction], Awaitable[T]]) -> T:
        """Run `fn` while no other write can happen; commit if it returns, else roll back."""
        self.refuse_unfit()
        async with self.turn:
            with self.condition.translated():
                await self._begin()
            transaction = SqliteTransaction(self._run_inside)
            outside = _inside.set((*_inside.get(), (self, transaction)))
            try:
                result = await fn(transaction)
                transaction.open = False
                with self.condition.translated():
                    self.condition.check_commit()
                    await self.in_thread(self._commit)
                    self._note_written()
            except BaseException as error:
                transaction.open = False
                await self.in_thread(self._abandon)
                if self._room is not None and isinstance(error, DatabaseFull):
                    await self.in_thread(self._room.give_up, self.connection)
                raise
            finally:
                _inside.reset(outside)
            return result

    async def _run_inside(self, sql: str, args: Sequence[Value]) -> ResultSet:
        with self.condition.translated():
            return await self.in_thread(self._run_checked, sql, args, interrupt=True)

    def _run_checked(self, sql: str, args: Sequence[Value]) -> ResultSet:
        self.check_transaction()
        return run(self.connection, sql, args)

    async def reading(self, read: Callable[[], T]) -> T:
        """Run a read on this connection, outside any transaction that others have open."""
        self.refuse_unfit()
        async with self.turn:
            self.connection.pragma("query_only", True)
            try:
                return read()
            finally:
                self.connection.pragma("query_only", False)

    @asynccontextmanager
    async def excluding_others(self) -> AsyncIterator[None]:
        """Within the turn, no other writer of any process writes. Raises `DatabaseError`."""
        with self.condition.translated():
            await self._begin()
        try:
            yield
        finally:
            self._abandon()

    async def in_thread(self, work: Callable[..., T], *args: object, interrupt: bool = False) -> T:
        """Run `work` in the writer thread, or inline where there is none.

        Ends only when `work` has ended. If the task is cancelled meanwhile, `interrupt` makes
        SQLite end the running statement.
        """
        if self._thread is None:
            return work(*args)
        when_cancelled = self.connection.interrupt if interrupt else None
        result, failure = await self._thread.submit(partial(work, *args), when_cancelled)
        if failure is not None:
            raise failure
        return result  # type: ignore[no-any-return] # what `work` returned

    def check_transaction(self) -> None:
        """Raise `TransactionMisuse` if SQLite has ended the transaction by itself.

        Some errors do that: a full disk, INSERT OR ROLLBACK, an interrupt. Code that catches one
        and goes on would write outside of any transaction.
        """
        if not self.connection.in_transaction:
            raise TransactionMisuse("the transaction was rolled back when a statement failed")

    def refuse_unfit(self) -> None:
        """Raise for what must not wait for the turn: `DatabaseClosed` and `TransactionMisuse`."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        self.refuse_nesting()

    def refuse_nesting(self) -> None:
        """Raise `TransactionMisuse` inside a transaction, where waiting for the turn never ends."""
        for writer, transaction in _inside.get():
            if transaction.open and writer is self:
                raise TransactionMisuse(
                    "a transaction is open here: use the transaction object, not the adapter"
                )

    async def close(self) -> None:
        """Finish the writes that were accepted and close the connection. Idempotent."""
        self.refuse_nesting()
        self._closed = True
        await self._grouping.finish()
        async with self.turn:
            await self.in_thread(self.condition.close, self.connection)
            if self._thread is not None:
                self._thread.close()
                self._thread = None

    async def _commit_jobs(self, jobs: list[_Job]) -> None:
        outcomes = iter(await self.commit([batch for job in jobs for batch in job.batches]))
        for job in jobs:
            own = list(islice(outcomes, len(job.batches)))
            if not job.done.done():  # the caller may have been cancelled meanwhile
                job.done.set_result(own)

    async def _commit_admitted(self, room: Room, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Refuse batches for which there is no room, commit the rest, and return free pages."""
        fits = await self._fitting(room, batches)
        admitted = [batch for batch, fit in zip(batches, fits, strict=True) if fit]
        done = iter(await self._commit_group(admitted)) if admitted else iter(())
        outcomes: list[BatchOutcome] = [next(done) if fit else room.refuse() for fit in fits]
        if room.has_much_unused(self.connection):
            await self.in_thread(room.give_back, self.connection)
        return outcomes

    async def _fitting(self, room: Room, batches: Sequence[Batch]) -> list[bool]:
        """The batches that may run: those that make room, and others as there is room for them."""
        try:
            self.condition.check_commit()
        except DatabaseLost:
            return [True] * len(batches)  # the commit will report it
        fits = self._fitting_now(room, batches)
        if not all(fits):
            await self.in_thread(room.give_back, self.connection)
            fits = self._fitting_now(room, batches)
        return fits

    def _fitting_now(self, room: Room, batches: Sequence[Batch]) -> list[bool]:
        size = 0
        fits = []
        for batch in batches:
            fit = makes_room(batch)
            if not fit:
                more = size + size_of(batch)
                fit = room.admits(self.connection, more)
                size = more if fit else size
            fits.append(fit)
        return fits

    async def _recover(
        self, room: Room, batches: Sequence[Batch], outcomes: list[BatchOutcome]
    ) -> None:
        """SQLite found no room: give up the reserve, and do again what makes some."""
        await self.in_thread(room.give_up, self.connection)
        for index, batch in enumerate(batches):
            if type(outcomes[index]) is DatabaseFull and makes_room(batch):
                (outcomes[index],) = await self._commit_group([batch])

    async def _commit_group(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        started = perf_counter()
        try:
            await self._begin()
        except Exception as error:  # noqa: BLE001 - every kind of it becomes an outcome
            return [self.condition.translate(error) for _ in batches]
        try:
            group = GroupRun(self.connection, self._cursor, batches, self.condition.translate)
            outcomes = None
            if all(batch.bounded for batch in batches):
                outcomes = group.run(perf_counter() + INLINE_SECONDS)
            if outcomes is None:
                patient = any(batch.patient for batch in batches)
                with self._watch:
                    outcomes = await self.in_thread(self._finish_and_commit, group, patient)
            else:
                await self.in_thread(self._commit)
        except Exception as error:  # noqa: BLE001 - every kind of it becomes an outcome
            self._abandon()
            if len(batches) == 1:
                return [self.condition.translate(error)]
        except BaseException:
            self._abandon()
            raise
        else:
            count = self.counters.own
            count[COMMITS] += 1
            count[BATCHES] += len(batches)
            count[COMMIT_SECONDS] += perf_counter() - started
            self._note_written()
            return outcomes
        # One of them failed the group; alone, each gets its own outcome.
        return [(await self._commit_group([batch]))[0] for batch in batches]

    async def _begin(self) -> None:
        """Take the write lock; while another process has it, ask again until the timeout."""
        self.condition.check_commit()
        if self.condition.shrinkings != self._shrinkings:
            self._shrinkings = self.condition.shrinkings
            self.connection.pragma("shrink_memory")
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")  # see _abandon
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            await self._begin_later()

    async def _begin_later(self) -> None:
        patience = max(self._busy_timeout_seconds, self._queue.patience)
        give_up = time.monotonic() + patience
        pause, longest = LOCK_POLL_SECONDS
        try:
            while True:
                self._queue.writer_asks()
                await asyncio.sleep(pause)
                try:
                    self.connection.execute("BEGIN IMMEDIATE")
                except apsw.BusyError:
                    if time.monotonic() >= give_up:
                        raise
                else:
                    return
                pause = min(2 * pause, longest)
        finally:
            self._queue.writer_is_done()

    def _finish_and_commit(self, group: GroupRun, patient: bool) -> list[BatchOutcome]:
        with self._deadline.running(patient=patient):
            outcomes = group.run()
        self._commit()
        return outcomes or []

    def _commit(self) -> None:
        self.check_transaction()
        self.connection.execute("COMMIT")

    def _note_written(self) -> None:
        if self.when_written is not None and not self._tight:
            self.when_written()

    def _abandon(self) -> None:
        """Roll back an open transaction.

        If that fails, the next one to begin tries again and reports it: here it would hide the
        error that led to it.
        """
        with suppress(apsw.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")


def _cancel(group: Sequence[_Job], waiting: Sequence[_Job], _: BaseException) -> None:
    for job in (*group, *waiting):
        job.done.cancel()


def _share(job: _Job) -> float:
    return len(job.batches) / MAX_GROUP_BATCHES

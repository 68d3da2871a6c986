"""All writes: group commit, and transactions one after the other.

PostgreSQL lets writers work side by side, so a guard of one could hold while another makes it
untrue. A write of more than a single statement therefore takes a lock of its schema first, across
all processes, as a statement of its own: later statements see everything that was committed before.

Each commit leaves a note of itself (see `notes`). If its answer is lost, the server is asked for
that note, and the commit is run again only if nothing was written.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic, perf_counter
from typing import Any, TypeVar

import asyncpg
from buntime_database import (
    Batch,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    Guard,
    GuardFailed,
    OutcomeUnknown,
    ResultSet,
    Statement,
    Transaction,
    TransactionMisuse,
    Value,
)

from buntime_plugin_database.engines.postgres.connections import (
    GRACE_SECONDS,
    MAX_RESTARTS,
    LinkPool,
    opening,
    run_alone,
)
from buntime_plugin_database.engines.postgres.errors import AGAIN, DRIVER_ERRORS, is_lost, translate
from buntime_plugin_database.engines.postgres.links import Link, Restart
from buntime_plugin_database.engines.postgres.notes import CommitNotes, Note
from buntime_plugin_database.engines.postgres.plan import Steps, checked_batch, checked_step
from buntime_plugin_database.engines.postgres.statements import parse
from buntime_plugin_database.engines.postgres.transactions import PostgresTransaction, inside
from buntime_plugin_database.shared.counters import Counters
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.server_writes import (
    ASK_PAUSE_SECONDS,
    ServerWrites,
    Unsent,
    conclude,
)
from buntime_plugin_database.shared.witness import Told

T = TypeVar("T")

MAX_ATTEMPTS = 6
"""Pause of a transaction that does not get its locks."""
AGAIN_PAUSE_SECONDS = (0.002, 0.02)

_NOTHING = ResultSet((), [], 0)
# The lock is one of the database: another one of the same server has its own. Functions of users
# that write take it in the same words.
_TAKE = parse(
    "SELECT pg_advisory_xact_lock(hashtextextended('buntime ' || current_schema(), 0)),"
    " set_config('statement_timeout', $1, true)"
)


class _Lost(Exception):
    """The answer of a commit was lost; it may have been carried out."""

    def __init__(self, note: Note, found: Any) -> None:
        super().__init__(str(note))
        self.note = note
        """Its note, if it was carried out."""
        self.found = found
        """Its results, if it was carried out."""


_Jobs = list[Unsent[Steps]]


class SchemaWriter(ServerWrites[Steps]):
    """Serialises the writes of one schema, those of other processes included."""

    def __init__(self, pool: LinkPool, schema: str, counters: Counters) -> None:
        timeout = pool.options.timeout_seconds
        super().__init__(checked_batch, timeout_seconds=timeout, counters=counters)
        self._pool = pool
        self._schema = schema
        self._options = pool.options
        self._notes = CommitNotes(schema)

    async def batch_each(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit each batch, together with whatever else waits; outcomes in the given order."""
        self.refuse_nesting()
        if len(batches) == 1 and batches[0].repeatable and len(batches[0].steps) == 1:
            self._refuse_closed()
            return [await self._repeat(batches[0].steps[0])]
        return await super().batch_each(batches)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        """See `Adapter.transaction`."""
        self.refuse_nesting()
        self._refuse_closed()
        tried = False
        while True:
            entered = False

            async def work(link: Link) -> T:
                nonlocal entered
                with self._translated():
                    await self._begin(link, patient=False)
                    entered = True
                return await self._run_inside(link, fn)

            try:
                return await self._pool.run(work)
            except _Lost as lost:
                await self._make_sure(lost)
                found: T = lost.found
                return found
            except DatabaseUnavailable as error:
                if entered or tried or not is_lost(error.__cause__ or error):
                    raise
                tried = True  # the connection had ended while it was idle

    def refuse_nesting(self) -> None:
        """Raise `TransactionMisuse` inside a transaction, where waiting for the lock never ends."""
        if any(one.open and one.owner is self for one in inside.get()):
            raise TransactionMisuse(
                "a transaction is open here: use the transaction object, not the adapter"
            )

    async def close(self) -> None:
        """Let every accepted write finish. Idempotent."""
        self.refuse_nesting()
        await super().close()

    def _refuse_closed(self) -> None:
        if self.closed:
            raise DatabaseClosed("the database is closed")

    async def _repeat(self, statement: Statement | Guard) -> BatchOutcome:
        """One statement that may be run again: one round trip, until there is an answer."""
        try:
            step = checked_step(statement)
        except DatabaseError as error:
            return error
        started = perf_counter()
        deadline = monotonic() + self._options.timeout_seconds
        pause, longest = ASK_PAUSE_SECONDS
        attempts = 0
        is_sent = False
        while True:
            attempts += 1
            try:
                result = await run_alone(self._pool, self._schema, step.sql, step.args, writes=True)
            except DRIVER_ERRORS as error:
                failure: DatabaseError = translate(error, self._pool.server)
                is_sent = is_sent or is_lost(error)
                if not is_lost(error) and not (_is_again(error) and attempts < MAX_ATTEMPTS):
                    return failure
            except DatabaseError as error:
                failure = error
                if not (is_sent and isinstance(error, DatabaseUnavailable)):
                    return failure
            else:
                self.count(1, perf_counter() - started)
                return [result]
            if monotonic() + pause > deadline or self.closed:
                return _unknown(failure) if is_sent else failure
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads attempts
            pause = min(2 * pause, longest)

    async def _commit(self, group: _Jobs) -> None:
        """Run a group until it is known what became of it, and conclude it."""
        attempts = restarts = 0
        while group:
            started = perf_counter()
            try:
                outcomes = await self._pool.run(partial(self._attempt, group))
            except Restart as restart:
                restarts += 1
                if restarts <= MAX_RESTARTS + len(group):
                    continue
                failure = translate(restart.reason, self._pool.server)
            except _Lost as lost:
                try:
                    await self._make_sure(lost)
                except DatabaseUnavailable as nothing:  # was written
                    group = self.still_wanted(group, nothing)
                    continue
                except DatabaseError as error:
                    conclude(group, error)
                    return
                self._done(group, lost.found, started)
                return
            except DRIVER_ERRORS as error:
                attempts += 1
                failure = translate(error, self._pool.server)
                if is_lost(error) and attempts == 1:
                    continue  # it had ended while it was idle
                if _is_again(error) and attempts < MAX_ATTEMPTS:
                    await asyncio.sleep(random.uniform(*AGAIN_PAUSE_SECONDS))  # noqa: S311 - as above
                    continue
            except DatabaseError as error:
                failure = error
            else:
                self._done(group, outcomes, started)
                return
            if len(group) > 1 and not isinstance(failure, DatabaseUnavailable):
                for job in group:
                    await self._commit([job])
            else:
                conclude(group, failure)
            return

    async def _attempt(self, group: _Jobs, link: Link) -> list[BatchOutcome]:
        """One transaction. Raises an error that fails all of it."""
        execute = link.connection.execute
        await self._begin(link, patient=any(job.batch.patient for job in group))
        outcomes: list[BatchOutcome] = []
        for place, job in enumerate(group):
            if len(group) == 1:
                outcomes.append(await self._run_steps(link, job.batch))
                break
            await execute("RELEASE batch; SAVEPOINT batch" if place else "SAVEPOINT batch")
            try:
                outcomes.append(await self._run_steps(link, job.batch))
                continue
            except DatabaseError as error:
                outcomes.append(error)
            except DRIVER_ERRORS as error:
                if is_lost(error) or _is_again(error):
                    raise
                outcomes.append(translate(error, self._pool.server))
            await execute("ROLLBACK TO batch")
        await self._end(link, self._notes.of_group(), outcomes)
        return outcomes

    async def _run_steps(self, link: Link, batch: Steps) -> list[ResultSet]:
        results: list[ResultSet] = []
        for index, step in enumerate(batch.steps):
            result = await link.run(self._schema, step.sql, step.args)
            if step.is_guard:
                if result.rows != [(1,)]:
                    raise GuardFailed(index)
                result = _NOTHING
            results.append(result)
        return results

    async def _run_inside(self, link: Link, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        async def run(sql: str, args: Sequence[Value]) -> ResultSet:
            step = checked_step(Statement(sql, args))
            with self._translated():
                return await link.run(self._schema, step.sql, step.args)

        transaction = PostgresTransaction(self, run)
        outside = inside.set((*inside.get(), transaction))
        try:
            result = await fn(transaction)
        finally:
            transaction.open = False
            inside.reset(outside)
        with self._translated():
            await self._end(link, self._notes.of_transaction(), result)
        return result

    async def _begin(self, link: Link, *, patient: bool) -> None:
        """Begin a transaction and wait for the lock."""
        options = self._options
        if not self._notes.are_kept:
            await self._keep_notes(link)
        limit = 0 if patient else round(options.statement_seconds * 1000)
        try:
            await link.connection.execute(opening(options, self._schema, writes=True, patient=True))
        except asyncpg.FeatureNotSupportedError as error:
            raise DatabaseUnavailable(
                f"{self._pool.server} is a standby, which only reads: name the primary, or add"
                " target_session_attrs=read-write to the URL"
            ) from error
        async with asyncio.timeout(options.timeout_seconds + GRACE_SECONDS):
            await link.run(self._schema, _TAKE, (str(limit),))

    async def _keep_notes(self, link: Link) -> None:
        """Make the table of notes, at the first write of this adapter."""
        try:
            await link.connection.execute(self._notes.preparation)
        except (asyncpg.UniqueViolationError, asyncpg.ReadOnlySQLTransactionError):
            return  # another process makes it; or a standby, which shows in a moment
        self._notes.are_kept = True

    async def _end(self, link: Link, note: Note, found: object) -> None:
        """Commit. Raises `_Lost` if there is no answer."""
        try:
            await link.connection.execute(f"{self._notes.leaving(note)}; COMMIT")
        except asyncpg.InFailedSQLTransactionError as error:
            raise TransactionMisuse(
                "a statement of the transaction failed, so nothing of it was written"
            ) from error
        except asyncpg.UndefinedTableError as error:  # a tenant that was deleted and made again
            self._notes.are_kept = False
            raise Restart(error) from error
        except DRIVER_ERRORS as error:
            if is_lost(error):
                raise _Lost(note, found) from error
            raise
        except asyncio.CancelledError as error:
            raise _Lost(note, found) from error

    async def _make_sure(self, lost: _Lost) -> None:
        """Return if a transaction was carried out whose answer was lost.

        Raises `DatabaseUnavailable` if it was not, `OutcomeUnknown` if the server does not tell.
        """
        self._pool.forget_idle()
        told = await self.find_out(partial(self._ask, lost.note))
        if told is None:
            raise _unknown(lost.__cause__ or lost)
        if not told.was_committed:
            raise DatabaseUnavailable("the server was lost, nothing was written")

    async def _ask(self, note: Note, seconds: float) -> Told:  # noqa: ARG002 - a connection has limits of its own
        """Whether a commit left its note.

        Asked with the lock, which the transaction has until its end: a COMMIT that is still on its
        way cannot be carried out afterwards.
        """

        async def ask(link: Link) -> ResultSet:
            await self._begin(link, patient=False)
            result = await link.run(self._schema, self._notes.question, (note.writer, note.number))
            await link.connection.execute("ROLLBACK")
            return result

        try:
            with self._translated():
                found = await self._pool.run(ask)
        except DatabaseBusy as busy:
            raise DatabaseBusy(f"the transaction is under way: {busy}") from busy
        return Told(bool(found.rows), {})

    def _done(self, group: _Jobs, outcomes: Sequence[BatchOutcome], started: float) -> None:
        self.count(len(group), perf_counter() - started)
        for job, outcome in zip(group, outcomes, strict=True):
            job.conclude(outcome)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Restart as restart:
            raise translate(restart.reason, self._pool.server) from restart.reason
        except DRIVER_ERRORS as error:
            raise translate(error, self._pool.server) from error


def _is_again(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) in AGAIN


def _unknown(error: BaseException) -> OutcomeUnknown:
    unknown = OutcomeUnknown(f"{error}; the write may have been carried out")
    unknown.__cause__ = error
    return unknown

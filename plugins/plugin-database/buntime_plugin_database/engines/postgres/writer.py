"""Everything that writes: group commit, and transactions one after the other.

PostgreSQL lets writers work side by side, so a guard of one could hold while another makes it
untrue. What writes more than a single statement therefore takes a lock of its schema first, in
all processes, as a statement of its own: what comes behind it sees all that was committed before.

A transaction knows its number before it commits. If the answer is lost, the server is asked what
became of that number, and only if nothing was written it is run again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from time import monotonic, perf_counter
from typing import Any, NamedTuple, TypeVar

import asyncpg
from buntime_database import (
    Batch,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    Guard,
    GuardFailed,
    InvalidStatement,
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
    Link,
    LinkPool,
    Restart,
    opening,
    run_alone,
)
from buntime_plugin_database.engines.postgres.errors import (
    AGAIN,
    DRIVER_ERRORS,
    is_lost,
    translate,
)
from buntime_plugin_database.engines.postgres.statements import Sql, guard, parse
from buntime_plugin_database.engines.postgres.values import Arguments, check
from buntime_plugin_database.shared.counters import BATCHES, COMMIT_SECONDS, COMMITS, Counters
from buntime_plugin_database.shared.grouping import BatchOutcome, Grouping

T = TypeVar("T")

MAX_GROUP_BATCHES = 256
MAX_ATTEMPTS = 6
"""Of a transaction that others keep from its locks."""
AGAIN_PAUSE_SECONDS = (0.002, 0.02)
ASK_PAUSE_SECONDS = (0.02, 0.5)
"""The first and the longest pause between two questions to a server that does not answer."""

_NOTHING = ResultSet((), [], 0)
# The lock is one of the database: another one of the same server has its own. Functions of users
# that write take it in the same words.
_TAKE = parse(
    "SELECT pg_advisory_xact_lock(hashtextextended('buntime ' || current_schema(), 0)),"
    " pg_current_xact_id()::text, set_config('statement_timeout', $1, true)"
)
_ASK = parse("SELECT pg_xact_status($1::text::xid8)")
_inside: ContextVar[tuple[tuple[SchemaWriter, PostgresTransaction], ...]] = ContextVar(
    "inside_postgres", default=()
)


class _Lost(Exception):
    """The answer of a commit was lost; it may have been carried out."""

    def __init__(self, number: str, found: Any) -> None:
        super().__init__(number)
        self.number = number
        """Of the transaction."""
        self.found = found
        """What it gave if it was."""


class _Step(NamedTuple):
    sql: Sql
    args: Arguments
    is_guard: bool


class _Job(NamedTuple):
    steps: tuple[_Step, ...]
    bounded: bool
    patient: bool
    repeatable: bool
    done: asyncio.Future[BatchOutcome]
    deadline: float


class SchemaWriter:
    """Serialises the writes of one schema, those of other processes included."""

    def __init__(self, pool: LinkPool, schema: str, counters: Counters) -> None:
        self.counters = counters
        self._pool = pool
        self._schema = schema
        self._options = pool.options
        self._grouping = Grouping[_Job](self._commit, _give_up, _share)
        self._closed = False

    async def batch_each(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        """Commit each batch, together with whatever else waits; outcomes in the given order."""
        self.refuse_nesting()
        self._refuse_closed()
        return list(await asyncio.gather(*map(self._submit, batches)))

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
                    number = await self._begin(link, patient=False)
                    entered = True
                return await self._run_inside(link, number, fn)

            try:
                return await self._pool.run(work)
            except _Lost as lost:
                await self._make_sure(lost)
                found: T = lost.found
                return found
            except DatabaseUnavailable as error:
                if entered or tried or not is_lost(error.__cause__ or error):
                    raise
                tried = True  # the connection had ended while nobody used it

    def refuse_nesting(self) -> None:
        """Raise `TransactionMisuse` inside a transaction, where waiting for the lock never ends."""
        for writer, transaction in _inside.get():
            if transaction.open and writer is self:
                raise TransactionMisuse(
                    "a transaction is open here: use the transaction object, not the adapter"
                )

    async def close(self) -> None:
        """Let every accepted write finish. Idempotent."""
        self.refuse_nesting()
        self._closed = True
        await self._grouping.finish()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise DatabaseClosed("the database is closed")

    def _submit(self, batch: Batch) -> Awaitable[BatchOutcome]:
        done: asyncio.Future[BatchOutcome] = asyncio.get_running_loop().create_future()
        try:
            steps = tuple(map(_step, batch.steps))
        except DatabaseError as error:
            done.set_result(error)
        except Exception as error:  # noqa: BLE001 - whatever the caller gave us is its mistake
            refused = InvalidStatement(f"{type(error).__name__}: {error}")
            refused.__cause__ = error
            done.set_result(refused)
        else:
            deadline = monotonic() + self._options.timeout_seconds
            job = _Job(steps, batch.bounded, batch.patient, batch.repeatable, done, deadline)
            if not steps:
                done.set_result([])
            elif batch.repeatable and len(steps) == 1 and not steps[0].is_guard:
                return self._repeat(job)
            else:
                self._grouping.add(job)
        return done

    async def _repeat(self, job: _Job) -> BatchOutcome:
        """One statement that may be run again: one round trip, until there is an answer."""
        (step,) = job.steps
        sent = False
        started = perf_counter()
        pause, longest = ASK_PAUSE_SECONDS
        attempts = 0
        while True:
            attempts += 1
            try:
                result = await run_alone(self._pool, self._schema, step.sql, step.args, writes=True)
            except DRIVER_ERRORS as error:
                state = getattr(error, "sqlstate", None)
                if is_lost(error):
                    sent = True
                elif state not in AGAIN or attempts > MAX_ATTEMPTS:
                    return translate(error, self._pool.server)
                failure = translate(error, self._pool.server)
            except DatabaseUnavailable as error:
                if not sent:
                    return error
                failure = error
            except DatabaseError as error:
                return error
            else:
                self._count(1, perf_counter() - started)
                return [result]
            if monotonic() + pause > job.deadline or self._closed:
                return _unknown(failure) if sent else failure
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads attempts
            pause = min(2 * pause, longest)

    async def _commit(self, jobs: list[_Job]) -> None:
        await self._commit_group([job for job in jobs if not job.done.done()])

    async def _commit_group(self, group: list[_Job]) -> None:
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
                cause = restart.__cause__
                failure = translate(
                    cause if isinstance(cause, Exception) else restart, self._pool.server
                )
            except _Lost as lost:
                try:
                    await self._make_sure(lost)
                except DatabaseUnavailable as nothing:  # was written
                    group = _still_wanted(group, nothing)
                    continue
                except DatabaseError as error:
                    _conclude(group, error)
                    return
                self._done(group, lost.found, started)
                return
            except DRIVER_ERRORS as error:
                attempts += 1
                failure = translate(error, self._pool.server)
                if is_lost(error) and attempts == 1:
                    continue  # it had ended while nobody used it
                if getattr(error, "sqlstate", None) in AGAIN and attempts < MAX_ATTEMPTS:
                    await asyncio.sleep(random.uniform(*AGAIN_PAUSE_SECONDS))  # noqa: S311 - as above
                    continue
            except DatabaseError as error:
                failure = error
            else:
                self._done(group, outcomes, started)
                return
            if len(group) > 1 and not isinstance(failure, DatabaseUnavailable):
                for job in group:
                    await self._commit_group([job])
            else:
                _conclude(group, failure)
            return

    async def _attempt(self, group: Sequence[_Job], link: Link) -> list[BatchOutcome]:
        """One transaction. Raises what fails all of it."""
        execute = link.connection.execute
        number = await self._begin(link, patient=any(job.patient for job in group))
        outcomes: list[BatchOutcome] = []
        for place, job in enumerate(group):
            if len(group) == 1:
                outcomes.append(await self._run_steps(link, job))
                break
            await execute("RELEASE batch; SAVEPOINT batch" if place else "SAVEPOINT batch")
            try:
                outcomes.append(await self._run_steps(link, job))
                continue
            except DatabaseError as error:
                outcomes.append(error)
            except DRIVER_ERRORS as error:
                if is_lost(error) or getattr(error, "sqlstate", None) in AGAIN:
                    raise
                outcomes.append(translate(error, self._pool.server))
            await execute("ROLLBACK TO batch")
        await self._end(link, number, outcomes)
        return outcomes

    async def _run_steps(self, link: Link, job: _Job) -> list[ResultSet]:
        results: list[ResultSet] = []
        for index, step in enumerate(job.steps):
            result = await link.run(self._schema, step.sql, step.args)
            if step.is_guard:
                if result.rows != [(1,)]:
                    raise GuardFailed(index)
                result = _NOTHING
            results.append(result)
        return results

    async def _run_inside(
        self, link: Link, number: str, fn: Callable[[Transaction], Awaitable[T]]
    ) -> T:
        transaction = PostgresTransaction(self, link)
        outside = _inside.set((*_inside.get(), (self, transaction)))
        try:
            result = await fn(transaction)
        finally:
            transaction.open = False
            _inside.reset(outside)
        with self._translated():
            await self._end(link, number, result)
        return result

    async def run_in(self, link: Link, sql: str, args: Sequence[Value]) -> ResultSet:
        """Run one statement of an open transaction."""
        step = _step(Statement(sql, args))
        with self._translated():
            return await link.run(self._schema, step.sql, step.args)

    async def _begin(self, link: Link, *, patient: bool) -> str:
        """Begin a transaction and wait for the lock; the number of the transaction."""
        options = self._options
        limit = 0 if patient else round(options.statement_seconds * 1000)
        try:
            await link.connection.execute(opening(options, self._schema, writes=True, patient=True))
        except asyncpg.FeatureNotSupportedError as error:
            raise DatabaseUnavailable(
                f"{self._pool.server} is a standby, which only reads: name the primary, or add"
                " target_session_attrs=read-write to the URL"
            ) from error
        async with asyncio.timeout(options.timeout_seconds + GRACE_SECONDS):
            ((_, number, _),) = (await link.run(self._schema, _TAKE, (str(limit),))).rows
        return str(number)

    async def _end(self, link: Link, number: str, found: object) -> None:
        """Commit. Raises `_Lost` if there is no answer."""
        try:
            status = await link.connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            if is_lost(error):
                raise _Lost(number, found) from error
            raise
        except asyncio.CancelledError as error:
            raise _Lost(number, found) from error
        if status != "COMMIT":
            raise TransactionMisuse(
                "a statement of the transaction failed, so nothing of it was written"
            )

    async def _make_sure(self, lost: _Lost) -> None:
        """Return if a transaction was carried out whose answer was lost.

        Raises `DatabaseUnavailable` if it was not, `OutcomeUnknown` if the server does not tell.
        """
        told = await self._find_out(lost.number)
        if told == "aborted":
            raise DatabaseUnavailable("the server was lost, nothing was written")
        if told != "committed":
            raise _unknown(lost.__cause__ or lost)

    async def _find_out(self, number: str) -> str | None:
        """What became of a transaction; None if it cannot be told."""
        deadline = monotonic() + self._options.timeout_seconds
        pause, longest = ASK_PAUSE_SECONDS
        self._pool.forget_idle()
        while monotonic() < deadline:
            try:
                result = await run_alone(self._pool, self._schema, _ASK, (number,))
                told = result.rows[0][0]
                if told != "in progress":
                    return None if told is None else str(told)
            except (DatabaseError, *DRIVER_ERRORS) as error:
                if self._closed and isinstance(error, DatabaseClosed):
                    return None
                failure = translate(error, self._pool.server)
                if isinstance(failure, DatabaseUnavailable):
                    self._refuse_pending(failure)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
        return None

    def _refuse_pending(self, error: DatabaseUnavailable) -> None:
        """What waits has not been sent, and is not kept waiting for a server that is gone."""
        _conclude(self._grouping.waiting, DatabaseUnavailable(str(error)))
        self._grouping.waiting.clear()

    def _done(
        self, group: Sequence[_Job], outcomes: Sequence[BatchOutcome], started: float
    ) -> None:
        self._count(len(group), perf_counter() - started)
        for job, outcome in zip(group, outcomes, strict=True):
            _conclude([job], outcome)

    def _count(self, batches: int, seconds: float) -> None:
        count = self.counters.own
        count[COMMITS] += 1
        count[BATCHES] += batches
        count[COMMIT_SECONDS] += seconds

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Restart as restart:
            cause = restart.__cause__ or restart
            raise translate(
                cause if isinstance(cause, Exception) else restart, self._pool.server
            ) from cause
        except DRIVER_ERRORS as error:
            raise translate(error, self._pool.server) from error


class PostgresTransaction:
    """An open transaction; statements one at a time."""

    def __init__(self, writer: SchemaWriter, link: Link) -> None:
        self.open = True
        self._writer = writer
        self._link = link
        self._turn = asyncio.Lock()

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        """Run one statement and return its rows as dictionaries."""
        return (await self.execute_result(sql, args)).as_dicts()

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        """Run one statement and return its first row, or None."""
        rows = await self.execute(sql, args)
        return rows[0] if rows else None

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Run one statement and return rows, column names and counts.

        After one that failed in the server all further ones fail, and nothing is written.
        """
        async with self._turn:
            if not self.open:
                raise TransactionMisuse("the transaction has ended")
            return await self._writer.run_in(self._link, sql, args)


def _step(step: object) -> _Step:
    if isinstance(step, Guard):
        checked = _Step(parse(guard(step.condition)), step.args, True)
    elif isinstance(step, Statement):
        checked = _Step(parse(step.sql), step.args, False)
    else:
        raise InvalidStatement(f"a batch has statements and guards, not {step!r:.80}")
    check(step.args)
    return checked


def _share(job: _Job) -> float:
    """What may scan is alone in its transaction."""
    return 1 / MAX_GROUP_BATCHES if job.bounded and not job.patient else 1


def _give_up(group: Sequence[_Job], waiting: Sequence[_Job], error: BaseException) -> None:
    _conclude(group, OutcomeUnknown(f"the write was given up on its way: {error!r}"))
    _conclude(waiting, DatabaseUnavailable(f"the write was given up and not sent: {error!r}"))


def _still_wanted(group: Sequence[_Job], too_late: DatabaseUnavailable) -> list[_Job]:
    now = monotonic()
    _conclude((job for job in group if now > job.deadline), too_late)
    return [job for job in group if not job.done.done()]


def _conclude(jobs: Iterable[_Job], outcome: BatchOutcome) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_result(outcome)


def _unknown(error: BaseException) -> OutcomeUnknown:
    unknown = OutcomeUnknown(f"{error}; the write may have been carried out")
    unknown.__cause__ = error
    return unknown

"""The one way to write: load what the write needs, decide in Python, commit one guarded batch.

Writes that arrive while a commit is in flight are decided together against one view: the
committed rows that any of them needs, overlaid with what the ones before it decided. Each then
becomes a batch of its own, guarded by what it saw, so that

* concurrent read-modify-writes of one key succeed together instead of failing each other,
* a write that fails takes only those with it that built on it, and these decide again,
* a writer in another process is noticed by the guards, and the decision is made again.

The engine needs no interactive transaction for that, and a group costs it one commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeVar

import msgspec
from buntime_database import (
    Batch,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    Guard,
    GuardFailed,
    OutcomeUnknown,
    ResultSet,
    Statement,
)

from buntime_plugin_keyval.engine.decisions import Decision, Settled, SetValue, View, Write
from buntime_plugin_keyval.engine.once import Once, Replays
from buntime_plugin_keyval.engine.peers import Peers
from buntime_plugin_keyval.model.changes import Change, Subscriber
from buntime_plugin_keyval.model.clock import Clock, Moment, moment_of
from buntime_plugin_keyval.model.errors import IdempotencyKeyReused, LimitExceeded, outcome_unknown
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS
from buntime_plugin_keyval.model.versionstamps import Stamps, just_after
from buntime_plugin_keyval.storage import reads
from buntime_plugin_keyval.storage.changelog import newest_stamp, read_appended
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.effects import (
    Effect,
    EntryEffect,
    NoteStamp,
    Put,
    Remove,
    StampedEffect,
    stamp_of_commit,
)
from buntime_plugin_keyval.storage.message_effects import Enqueue
from buntime_plugin_keyval.storage.ranges import single
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.replays import Keeping, keep_sql
from buntime_plugin_keyval.storage.selection import EVERYTHING

T = TypeVar("T")


class Record(Protocol):
    """What takes note of how long an operation took."""

    def __call__(self, operation: str, seconds: float, *, failed: bool = False) -> None: ...


def _record_nothing(operation: str, seconds: float, *, failed: bool = False) -> None:
    """For whoever measures nothing."""


_FIRST = (0,)

MAX_GROUP = 128
"""Writes that are decided and committed together."""

REGATHER_SHARE = 2.0
REGATHER_SECONDS = 0.001
"""How long a group waits for the writers that were just answered, who may be about to write again:
for this many times what their commit took, and never longer than this.

Without it, half of the writers wait while the other half is committed, and two small groups follow
each other for ever where one large group would do.
"""

LONG_NUMBER_DIGITS = 1000
"""Digits from which a number takes more than a moment to be read or written as decimal."""

MAX_GROUP_BYTES = 8 * 1024 * 1024
"""Bytes of values that the writes of one group bring or read, unless one alone has more."""

MAX_REGATHER_BACKOFF = 63
"""Groups that do not wait because the writers did not come back in time before: 1, then 3, 7, …"""

LATE_GROUPS = 256
"""Groups whose commits get their versionstamps from the database, after one whose own were older
than what others had committed meanwhile. Such stamps cost more than those that a process makes,
and less than to make a commit again, as often as others are faster."""

MAX_ATTEMPTS = 100
"""Times that a write is decided before it gives way to faster writers of other processes."""


class _Job:
    """A write on its way to its commit."""

    __slots__ = (
        "attempts",
        "decision",
        "done",
        "error",
        "first_steps",
        "is_firm",
        "once",
        "operation",
        "record",
        "replays",
        "size",
        "started",
        "steps",
        "versionstamp",
        "write",
    )

    def __init__(
        self,
        write: Write[Any] | SetValue,
        done: asyncio.Future[Any],
        once: Once | None,
        replays: Replays,
        operation: str,
        record: Record,
    ) -> None:
        self.write = write
        self.once = once
        if once is not None:
            replays.begin(once)
            self.replays = replays
        self.done = done
        self.attempts = 0
        self.operation = operation
        """What its time is a sample of; empty if whoever waits for it measures."""
        if operation:
            self.record = record
            self.started = perf_counter()

    def start(self, versionstamp: str, is_firm: bool) -> None:
        """Begin a decision, forgetting an earlier one."""
        self.versionstamp = versionstamp
        self.is_firm = is_firm
        """Whether the commit has this versionstamp, or fails."""
        self.decision: Decision[Any] | None = None
        self.error: Exception | None = None
        self.steps: Sequence[Guard | Statement] = ()
        self.first_steps: Sequence[int] = ()
        """Where in the steps each effect begins."""
        self.size = 0
        """Of the values that it stores."""

    def is_bounded(self) -> bool:
        """Whether an embedded engine may run it on the event loop."""
        return self.write.bounded and max(self.size, self.write.size) <= LONG_VALUE

    def fail(self, error: BaseException) -> None:
        if self.once is not None:
            self.replays.end(self.once)
        if self.operation:
            self.record(self.operation, perf_counter() - self.started, failed=True)
        if not self.done.done():
            self.done.set_exception(error)

    def succeed(self, result: Any) -> None:
        """Tell the caller; a caller that was cancelled meanwhile is not there any more."""
        if self.once is not None:
            self.replays.end(self.once)
        if self.operation:
            self.record(self.operation, perf_counter() - self.started)
        if not self.done.done():
            self.done.set_result(result)

    def given_stamp(self, results: list[ResultSet]) -> str | None:
        """The versionstamp that the commit has got, where a result of it tells."""
        effects = self.decision.effects if self.decision is not None else ()
        for effect, result in zip(effects, results, strict=True):
            if isinstance(effect, StampedEffect) and result.rows:
                return str(result.rows[0][0])
        return None

    def conclude(self, results: list[ResultSet], settled: Settled) -> None:
        """Tell the caller what came of it."""
        decision = self.decision
        if decision is None:
            self.fail(self.error or RuntimeError("the write was never decided"))
        elif decision.conclude is None:
            made = self.versionstamp
            self.succeed(settled.get(made, made) if settled else made)
        else:
            self.succeed(None if self.done.done() else decision.conclude(results, settled))


class Committer:
    """Decides and commits writes in the order in which they came."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        logger: logging.Logger,
        peers: Peers | None = None,
        most_bytes: int = DEFAULT_LIMITS.commit_bytes,
        record: Record = _record_nothing,
    ) -> None:
        """`most_bytes` are those of the values that one commit may read; `record` is told of each
        write with an operation, how long it took and whether it failed."""
        self._record = record
        self._is_embedded = db.adapter.capabilities.embedded
        self._db = db
        self._adapter = db.adapter
        self.replays = Replays(db, clock)
        self._peers = peers
        self._clock = clock
        self._most_bytes = most_bytes
        self._stamps = Stamps()
        self._knows_newest_stamp = False
        self._late_groups = 0
        self._logger = logger
        self._pending: list[_Job] = []
        self._draining: asyncio.Task[None] | None = None
        self._subscribers: list[Subscriber] = []
        self._settling: set[asyncio.Task[None]] = set()
        self._regather_backoff = 0
        self._backoff_groups = 0
        """Groups that still do not wait, of the `_regather_backoff` of the last time."""

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with the changes of every commit; returns what ends that."""
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    async def commit(self, write: Write[T], once: Once | None = None) -> T:
        """Commit a write and return what it concluded; durable when this returns.

        With `once`, what it concluded the first time. Raises what the decision raised, or a
        `DatabaseError`; nothing was written then, unless it is an `OutcomeUnknown`.
        """
        return await self.submit(write, once)  # type: ignore[no-any-return] # what it concluded

    def submit(
        self, write: Write[Any] | SetValue, once: Once | None = None, operation: str = ""
    ) -> asyncio.Future[Any]:
        """The same, for whoever does not wait for it as a task; a sample of `operation`.

        Raises `RequestUnderWay`.
        """
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._pending.append(_Job(write, done, once, self.replays, operation, self._record))
        if self._draining is None:
            # As a task it starts in the next turn of the loop, with all that this turn brings.
            self._draining = loop.create_task(self._drain())
        return done

    async def begin(self) -> int:
        """Learn of the commits before; the time of the newest, epoch milliseconds, 0 for none.

        Happens by itself before the first commit. Raises `DatabaseError`.
        """
        self._stamps.learn(await newest_stamp(self._db))
        self._knows_newest_stamp = True
        return self._stamps.newest_ms

    async def close(self) -> None:
        """Wait until everything that was submitted is committed and its subscribers are done."""
        while self._draining is not None:
            await self._draining
        while self._settling:
            await asyncio.wait(self._settling)

    async def _drain(self) -> None:
        group: list[_Job] = []
        try:
            while self._pending:
                group = self._take()
                started = perf_counter()
                await self._commit_group(group)
                await self._regather(len(group), perf_counter() - started)
        except BaseException as error:
            for job in (*group, *self._pending):
                job.fail(error)
            self._pending.clear()
            raise
        finally:
            self._draining = None

    async def _regather(self, answered: int, commit_seconds: float) -> None:
        """Let those that were answered join those that wait, if they are of that kind."""
        expected = min(len(self._pending) + answered, MAX_GROUP)
        if not self._pending or len(self._pending) >= expected:
            return
        if self._backoff_groups:
            self._backoff_groups -= 1
            return
        give_up = perf_counter() + min(REGATHER_SHARE * commit_seconds, REGATHER_SECONDS)
        while len(self._pending) < expected and perf_counter() < give_up:  # noqa: ASYNC110 - no event says that nobody comes
            # A turn of the loop, which brings requests in. Its timers know milliseconds only.
            await asyncio.sleep(0)
        came_back = len(self._pending) >= expected
        self._regather_backoff = (
            0 if came_back else min(2 * self._regather_backoff + 1, MAX_REGATHER_BACKOFF)
        )
        self._backoff_groups = self._regather_backoff

    def _take(self) -> list[_Job]:
        """The next writes that can share a commit."""
        size = total = 0
        for job in self._pending[:MAX_GROUP]:
            total += job.write.size
            if not job.write.bounded or (total > MAX_GROUP_BYTES and size):
                size = size or 1
                break
            size += 1
        group = self._pending[:size]
        del self._pending[:size]
        for job in group:
            if job.done.done():  # it was cancelled
                job.succeed(None)
        return [job for job in group if not job.done.done()]

    async def _commit_group(self, group: list[_Job]) -> None:
        at = moment_of(self._clock)
        now_ms = at.now_ms
        try:
            if not self._knows_newest_stamp:
                await self.begin()
            # There may be many that look at nothing: these need not be asked what.
            looking = [job for job in group if not isinstance(job.write, SetValue)]
            rows = await self._load(group, now_ms) if looking else {}
        except DatabaseError as error:
            for job in group:
                job.fail(error)
            return
        is_firm = not self._late_groups
        if not is_firm:
            self._late_groups -= 1
        pending: set[bytes] = set()  # keys that a write of this group is about to change
        decide = partial(self._decide_all, group, at, is_firm, rows, pending)
        if any(job.write.is_long for job in looking) or any(map(_is_long, rows.values())):
            await asyncio.get_running_loop().run_in_executor(None, decide)
        else:
            decide()
        writing = [job for job in group if job.steps]
        outcomes: list[list[ResultSet] | DatabaseError] = []
        if writing:
            batches = [self._batch(job) for job in writing]
            try:
                outcomes = await self._adapter.batch_each(batches)
            except DatabaseError as error:  # the adapter was closed
                outcomes = [error] * len(batches)
        if self._peers is not None:
            self._peers.committed(_committed(writing, outcomes))
        again: list[_Job] = []
        settled: dict[str, str] = {}
        newest = ""
        told = iter(outcomes)
        for job in group:
            outcome = next(told) if job.steps else []
            failed = isinstance(outcome, DatabaseError) or job.decision is None
            if failed and job.once is not None and await self._replay(job, job.once):
                continue
            if isinstance(outcome, DatabaseError):
                if self._is_out_of_date(job, outcome):
                    again.append(job)
                elif isinstance(outcome, OutcomeUnknown):
                    job.fail(outcome_unknown(outcome))
                else:
                    job.fail(outcome)
                continue
            if is_firm and not self._subscribers and isinstance(job.write, SetValue):
                job.conclude(outcome, settled)
                continue
            results = [outcome[index] for index in job.first_steps]
            if not is_firm:
                newest = self._settle_stamp(job, results, settled, newest)
            if self._subscribers and job.steps:
                await self._publish(job, results, settled, now_ms)
            else:
                job.conclude(results, settled)
        self._decide_again(again)

    async def _load(self, group: list[_Job], now_ms: int) -> dict[bytes, Row]:
        """The rows that the writes look at.

        Takes writes out of the group, for a later one, when they would read too much together.
        """
        rows: dict[bytes, Row] = {}
        needed = {key for job in group for key in job.write.reads}
        if needed:
            rows, sizes = await reads.get_many_short(self._db, needed, now_ms)
            if sizes:
                long = self._share(group, sizes)
                rows |= await reads.get_many_long(self._db, long, now_ms, fresh=True)
        stamps = {key for job in group for key in job.write.stamps} - needed
        if stamps:
            rows |= await reads.get_many_stamps(self._db, stamps, now_ms)
        return rows

    def _share(self, group: list[_Job], sizes: Mapping[bytes, int]) -> set[bytes]:
        """The keys of long values that the group reads; it keeps no more writes than that suits."""
        long: set[bytes] = set()
        total = 0
        later = []
        for job in tuple(group):
            own = {key for key in job.write.reads if key in sizes} - long
            size = sum(sizes[key] for key in own)
            if size > self._most_bytes:
                what = f"Values to read too large: {size} bytes"
                job.fail(LimitExceeded(what, "commitBytes", self._most_bytes))
                group.remove(job)
            elif size and total and total + size > MAX_GROUP_BYTES:
                later.append(job)
                group.remove(job)
            else:
                total += size
                long |= own
        self._pending[:0] = later
        return long

    def _decide_all(
        self,
        group: Sequence[_Job],
        at: Moment,
        is_firm: bool,
        rows: dict[bytes, Row],
        pending: set[bytes],
    ) -> None:
        for job in group:
            self._decide(job, at, is_firm, rows, pending)

    def _is_out_of_date(self, job: _Job, error: DatabaseError) -> bool:
        """Whether a write failed because others were faster, and is to be decided again."""
        if isinstance(error, GuardFailed):
            return error.index >= len(job.write.guards)
        if not isinstance(error, ConstraintViolation):
            return False
        if job.is_firm:
            self._late_groups = LATE_GROUPS
            return True
        # What was kept under its key was there, and has been forgotten since.
        return job.once is not None

    async def _replay(self, job: _Job, once: Once) -> bool:
        """Conclude a write that failed as it was concluded before, if it was."""
        try:
            kept = await self.replays.find(once)
        except IdempotencyKeyReused as error:
            job.fail(error)
            return True
        except DatabaseError:
            return False
        if kept is None or job.write.recall is None:
            return False
        job.succeed(job.write.recall(kept))
        return True

    def _settle_stamp(
        self, job: _Job, results: list[ResultSet], settled: dict[str, str], newest: str
    ) -> str:
        """Note what became of a late stamp; the newest stamp of the group so far."""
        text = job.versionstamp
        given = job.given_stamp(results)
        if given is None:  # it changes nothing, so that no other commit knows its stamp
            given = text if text > newest else just_after(newest)
        if given != text:
            settled[text] = given
            self._stamps.learn(given)
            self._late_groups = LATE_GROUPS
        return given

    def _decide(
        self, job: _Job, at: Moment, is_firm: bool, rows: dict[bytes, Row], pending: set[bytes]
    ) -> None:
        write = job.write
        if isinstance(write, SetValue):
            put = self._decide_set(job, write, at, is_firm)
            _apply(put, job.versionstamp, rows, pending)
            return
        versionstamp = self._stamps.make(at.now_ms)
        view = View(self._db.sql, at, versionstamp, rows, pending)
        job.start(versionstamp, is_firm)
        try:
            job.decision = write.decide(view)
        except Exception as error:  # noqa: BLE001 - goes to the caller, whatever it is
            job.error = error
        effects = job.decision.effects if job.decision is not None else ()
        keeping = _keeping(self._db.sql, job, at.now_ms)
        if not effects and not view.saw_pending() and keeping is None:
            return  # nothing to write, and what it rests on is committed
        steps: list[Guard | Statement] = []
        first_steps: list[int] = []
        job.steps, job.first_steps = steps, first_steps
        steps.extend(job.write.guards)
        steps.extend(view.guards())
        for effect in effects:
            first_steps.append(len(steps))
            statements = effect.statements(self._db.sql, versionstamp, at, is_firm)
            if keeping is not None and job.write.has_counts:
                statements = keeping.among(statements, is_first=effect is effects[0])
            steps.extend(statements)
            job.size += _apply(effect, versionstamp, rows, pending)
        if keeping is not None and not (effects and job.write.has_counts):
            steps.extend(keeping.end())

    def _decide_set(self, job: _Job, write: SetValue, at: Moment, is_firm: bool) -> Put:
        """Decide the write of one value, which looks at nothing; what it does."""
        versionstamp = self._stamps.make(at.now_ms)
        job.start(versionstamp, is_firm)
        put = write.put(at)
        job.decision = Decision((put,), None)
        job.steps = put.statements(self._db.sql, versionstamp, at, is_firm)
        job.first_steps = _FIRST
        job.size = write.size
        once = job.once
        if once is not None:
            texts = keep_sql(self._db.sql, is_firm=is_firm)
            row = (once.key, once.fingerprint, versionstamp, "null", at.now_ms)
            job.steps = (*job.steps, *texts.keep(row))
        return put

    def _batch(self, job: _Job) -> Batch:
        if self._is_embedded or job.decision is None:
            is_idle = job.decision is not None and job.decision.conclude is None
            nothing = is_idle and job.is_firm and not self._subscribers
            return Batch(job.steps, job.is_bounded(), () if nothing else None)
        placed = list(zip(job.decision.effects, job.first_steps, strict=True))
        if not job.is_firm:
            stamp = stamp_of_commit(self._db.sql, job.versionstamp)
            recalls = {step: stamp for effect, step in placed if isinstance(effect, StampedEffect)}
            return Batch(job.steps, job.is_bounded(), job.first_steps, recalls)
        # What a Put gives is of use to those alone who are told of its change.
        idle = NoteStamp if self._subscribers else Put | NoteStamp
        wanted = [step for effect, step in placed if not isinstance(effect, idle)]
        return Batch(job.steps, job.is_bounded(), wanted)

    async def _publish(
        self, job: _Job, results: list[ResultSet], settled: Settled, now_ms: int
    ) -> None:
        """Tell the subscribers, then the caller."""
        waits: list[Awaitable[None]] = []
        changes, before = await self._changes(job, results, settled, now_ms)
        if changes:
            for subscriber in tuple(self._subscribers):
                wait = subscriber(changes, before)
                if wait is not None:
                    waits.append(wait)
        if waits:
            # Not awaited here: a subscriber may write, and its write needs this very loop.
            task = asyncio.create_task(self._settle(job, results, settled, waits))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        else:
            job.conclude(results, settled)

    async def _settle(
        self,
        job: _Job,
        results: list[ResultSet],
        settled: Settled,
        waits: list[Awaitable[None]],
    ) -> None:
        for outcome in await asyncio.gather(*waits, return_exceptions=True):
            if isinstance(outcome, BaseException):
                self._logger.error("A subscriber failed after a commit", exc_info=outcome)
        job.conclude(results, settled)

    async def _changes(
        self, job: _Job, results: list[ResultSet], settled: Settled, now_ms: int
    ) -> tuple[list[Change], int | None]:
        """What the commit changed; keys that only the database knows are read from its log.

        All of it, or nothing: whoever is told of a commit is told of the whole of it. And the place
        that all of it is behind, with nothing in between, unless that is not known.
        """
        log = self._db.sql.log
        made = job.versionstamp
        stamp = settled.get(made, made)
        effects = job.decision.effects if job.decision is not None else ()
        changes: list[Change] = []
        before: int | None = None
        for effect, result in zip(effects, results, strict=True):
            appended = log.appended(result) if isinstance(effect, EntryEffect) else None
            if appended is None:
                continue
            if not changes:
                before = appended.before
            if isinstance(effect, Put):
                key = effect.key
                if effect.is_stamped and stamp != made:
                    key = key.replace(made.encode(), stamp.encode())
                changes.append(Change(appended.last, key, "set", stamp, now_ms, effect.value))
            else:
                try:
                    changes += await read_appended(self._db, appended)
                except DatabaseError:
                    # The commit stands. Who follows the log finds them there.
                    self._logger.exception("Committed changes could not be read back")
                    return [], None
        return changes, before

    def _decide_again(self, jobs: list[_Job]) -> None:
        for job in jobs:
            job.attempts += 1
        spent = [job for job in jobs if job.attempts >= MAX_ATTEMPTS]
        for job in spent:
            job.fail(DatabaseBusy(f"other writers were faster {MAX_ATTEMPTS} times"))
        self._pending[:0] = [job for job in jobs if job.attempts < MAX_ATTEMPTS]


def _keeping(sql: Dialect, job: _Job, now_ms: int) -> Keeping | None:
    """What keeps the result of a write that may be repeated."""
    if job.once is None or job.decision is None:
        return None
    told = job.decision.told
    row = (
        job.once.key,
        job.once.fingerprint,
        job.versionstamp,
        "null" if told is None else msgspec.json.encode(told).decode(),
        now_ms,
    )
    return Keeping(row, sql, job.is_firm)


def _committed(
    jobs: list[_Job], outcomes: list[list[ResultSet] | DatabaseError]
) -> Iterator[Effect]:
    """The effects that came about, or may have."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        came_about = isinstance(outcome, (list, OutcomeUnknown))
        if job.decision is not None and came_about:
            yield from job.decision.effects


def _is_long(row: Row) -> bool:
    """Whether what a mutation makes of a value may take long: a large number, or a long text."""
    size = len(row.value)
    return size > LONG_VALUE or (size > LONG_NUMBER_DIGITS and row.value.startswith('{"'))


def _apply(effect: Effect, versionstamp: str, rows: dict[bytes, Row], pending: set[bytes]) -> int:
    """Let the writes behind this one in the group see what it does; the size of what it stores."""
    if isinstance(effect, Put):
        pending.add(effect.key)
        rows[effect.key] = Row(effect.value, versionstamp, effect.expires_at, effect.metadata)
        return len(effect.value)
    if isinstance(effect, Enqueue):
        return len(effect.value)
    if isinstance(effect, Remove):
        keys = effect.keys
        if effect.condition is not EVERYTHING:
            pass  # whether it holds the database knows, and then the guards of those behind
        elif keys == single(keys.start):
            pending.add(keys.start)
            rows.pop(keys.start, None)
        else:
            gone = [key for key in rows if keys.start <= key < keys.end]
            pending.update(gone)
            for key in gone:
                del rows[key]
    return 0

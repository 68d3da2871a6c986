"""The one way to write: load what the write needs, decide in Python, commit one guarded batch.

Writes that arrive while a commit is in flight are decided together against one view: the committed
rows that any of them needs, overlaid with the decisions before it. Each then becomes a batch of its
own, guarded by the state that it saw, so that

* concurrent read-modify-writes of one key succeed together instead of failing each other,
* a write that fails takes only those with it that built on it, and these decide again,
* a writer in another process is noticed by the guards, and the decision is made again.

The engine needs no interactive transaction for that, and a group costs it one commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import TypeVar

from buntime_database import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    GuardFailed,
    OutcomeUnknown,
    ResultSet,
)

from buntime_plugin_keyval.engine.closed import why_closed
from buntime_plugin_keyval.engine.deciding import Deciding, takes_long
from buntime_plugin_keyval.engine.decisions import PlainWrite, SetValue, Write
from buntime_plugin_keyval.engine.jobs import WriteJob, conclude_all
from buntime_plugin_keyval.engine.once import Once, Replays
from buntime_plugin_keyval.engine.packing import DecidedGroup, KeyTaken, Packing
from buntime_plugin_keyval.engine.peers import Peers
from buntime_plugin_keyval.engine.plain import PlainChanges
from buntime_plugin_keyval.engine.publishing import Publisher
from buntime_plugin_keyval.engine.recorder import Recorder
from buntime_plugin_keyval.engine.regathering import Regathering
from buntime_plugin_keyval.model.changes import Subscriber
from buntime_plugin_keyval.model.clock import Clock, moment_of
from buntime_plugin_keyval.model.errors import (
    IdempotencyKeyReused,
    LimitExceeded,
    RequestUnderWay,
    outcome_unknown,
)
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS
from buntime_plugin_keyval.model.versionstamps import Stamps, just_after
from buntime_plugin_keyval.storage import reads
from buntime_plugin_keyval.storage.changelog import newest_stamp
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.moving import is_closed
from buntime_plugin_keyval.storage.effects import Effect
from buntime_plugin_keyval.storage.reads import Row

T = TypeVar("T")

MAX_GROUP = 128
"""Writes that are decided and committed together."""

MAX_GROUP_BYTES = 8 * 1024 * 1024
"""Bytes of values that the writes of one group bring or read, unless one alone has more."""

LATE_GROUPS = 256
"""Groups whose commits get their versionstamps from the database, after one whose own were older
than those that others had committed meanwhile. Such stamps cost more than those that a process
makes, and less than making a commit again each time that others are faster."""

_LOOKING_AT_NOTHING = (SetValue, PlainWrite)

MAX_ATTEMPTS = 100
"""Times that a write is decided before it gives way to faster writers of other processes."""


class Committer:
    """Decides and commits writes in the order in which they came."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        logger: logging.Logger,
        recorder: Recorder,
        peers: Peers | None = None,
        most_bytes: int = DEFAULT_LIMITS.commit_bytes,
    ) -> None:
        """`most_bytes` limits the values that one commit may read; `recorder` gets the time and the
        outcome of each write with an operation.
        """
        self._recorder = recorder
        self._db = db
        self._commit_together = db.sql.committing(db.adapter)
        self.replays = Replays(db, clock)
        self._packing = Packing(db, self.replays)
        self._publisher = Publisher(db, logger)
        self._peers = peers if peers is not None and peers.are_there else None
        self._clock = clock
        self._most_bytes = most_bytes
        self._stamps = Stamps()
        self._knows_newest_stamp = False
        self._late_groups = 0
        self._pending: list[WriteJob] = []
        self._regathering = Regathering(self._pending, MAX_GROUP)
        self._draining: asyncio.Task[None] | None = None
        self._concluded: Callable[[], None] = lambda: None

    def observe(self, concluded: Callable[[], None]) -> None:
        """Call a function when the futures of a group have results, before anybody sees these."""
        self._concluded = concluded

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with the changes of every commit; returns what ends that."""
        return self._publisher.subscribe(subscriber)

    async def commit(self, write: Write[T], once: Once | None = None) -> T:
        """Commit a write and return its conclusion; durable when this returns.

        With `once`, the conclusion of the first time. Raises the exceptions of the decision, or a
        `DatabaseError`; nothing was written then, unless it is an `OutcomeUnknown`.
        """
        return await self.submit(write, once)

    def submit(
        self,
        write: Write[T] | SetValue | PlainChanges | PlainWrite[T],
        once: Once | None = None,
        operation: str = "",
    ) -> asyncio.Future[T]:
        """The same, for callers that do not wait for it in a task.

        It is on its way when this returns, and a sample of `operation`, if that has a name. Raises
        `RequestUnderWay`.
        """
        replays = self.replays
        if once is not None:
            replays.begin(once)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        started = perf_counter() if operation else 0.0
        job = WriteJob(write, done, once, replays, operation, self._recorder, started)
        self._pending.append(job)
        if self._draining is None:
            # A task starts in the next turn of the loop, with all writes of this turn.
            self._draining = loop.create_task(self._drain())
        return done

    def hurry(self) -> None:
        """Commit the writes just submitted without waiting for others, which may depend on them."""
        self._regathering.hurry()

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
        await self._publisher.close()

    async def _drain(self) -> None:
        """Load, decide, commit and conclude, one group after the other."""
        group: list[WriteJob] = []
        try:
            while self._pending:
                await self._regathering.wait()
                group = self._take()
                started = perf_counter()
                decided = await self._decide(group)
                if decided is None:
                    continue
                outcomes: Sequence[Outcome] | None = None if decided.writing else ()
                pack = self._packing.pack
                while outcomes is None:
                    packed = pack(decided)
                    commit = self._commit_together or self._db.adapter.batch_each
                    try:
                        outcomes = packed.unpack(await commit(packed.batches))
                    except DatabaseError as error:  # the adapter was closed
                        outcomes = [error] * len(decided.writing)
                    pack = self._packing.pack_each
                await self._conclude(decided, outcomes)
                self._concluded()
                self._regathering.answered(len(group), perf_counter() - started)
        except BaseException as error:
            for job in (*group, *self._pending):
                job.fail(error)
            self._pending.clear()
            raise
        finally:
            self._draining = None

    def _take(self) -> list[WriteJob]:
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

    async def _decide(self, group: list[WriteJob]) -> DecidedGroup | None:
        """Load the rows that the writes read, and decide them; None if loading failed.

        Writes that are concluded before that are taken out of the group.
        """
        at = moment_of(self._clock)
        now_ms = at.now_ms
        keyed = [(job, once) for job in group if (once := job.once) is not None]
        after = await self._tell_again(group, keyed) if keyed else None
        try:
            if not self._knows_newest_stamp:
                await self.begin()
            # There may be many that look at nothing: these need not be asked what.
            looking = [job for job in group if type(job.write) not in _LOOKING_AT_NOTHING]
            rows = await self._load(group, now_ms) if looking else {}
            holds_stamp = any(job.write.holds_stamp for job in looking)
            if holds_stamp and self._late_groups:
                self._stamps.learn(await newest_stamp(self._db))
        except DatabaseError as error:
            for job in group:
                job.fail(error)
            return None
        is_firm = holds_stamp or not self._late_groups
        if not is_firm:
            self._late_groups -= 1
        deciding = Deciding(
            self._db.sql, self._stamps, at, rows, is_firm=is_firm, is_looked_at=bool(looking)
        )
        if takes_long(looking, rows):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, deciding.decide_all, group)
        else:
            deciding.decide_all(group)
        writing = [job for job in group if job.is_writing]
        # Once for all: a write that arrives during the commit finds it in the log.
        is_followed = bool(self._publisher.subscribers)
        return DecidedGroup(group, writing, after, now_ms, is_firm, is_followed)

    async def _conclude(self, decided: DecidedGroup, outcomes: Sequence[Outcome]) -> None:
        """Tell what came of each write, or decide it again; those that wrote have an outcome."""
        if self._peers is not None:
            self._peers.committed(_committed(decided.writing, outcomes))
        told = iter(outcomes)
        is_quiet = decided.is_firm and not decided.is_followed
        common: list[tuple[WriteJob, Sequence[ResultSet]]] = []
        others: list[tuple[WriteJob, Outcome]] = []
        for job in decided.group:
            outcome = next(told) if job.is_writing else []
            if is_quiet and job.decision is not None and isinstance(outcome, list):
                common.append((job, outcome))
            else:
                others.append((job, outcome))
        conclude_all(common, self._recorder)
        if others:
            await self._conclude_others(decided, others)

    async def _conclude_others(
        self, decided: DecidedGroup, jobs: Sequence[tuple[WriteJob, Outcome]]
    ) -> None:
        """Continue with writes that failed, have late stamps, or changes to be published."""
        is_firm, is_followed = decided.is_firm, decided.is_followed
        again: list[WriteJob] = []
        refused: list[WriteJob] = []
        settled: dict[str, str] = {}
        newest = ""
        for job, outcome in jobs:
            if isinstance(outcome, KeyTaken):
                self.replays.fall_behind()
                again.append(job)
                continue
            failed = isinstance(outcome, DatabaseError) or job.decision is None
            if failed and job.once is not None and await self._replay(job, job.once):
                continue
            if isinstance(outcome, DatabaseError):
                if is_closed(outcome):
                    refused.append(job)
                elif self._is_out_of_date(job, outcome, is_firm=is_firm):
                    again.append(job)
                elif isinstance(outcome, OutcomeUnknown):
                    job.fail(outcome_unknown(outcome))
                elif isinstance(outcome, GuardFailed) and job.write.may_refuse:
                    job.succeed(None)
                else:
                    job.fail(outcome)
                continue
            results = [outcome[index] for index in job.first_steps]
            if not is_firm:
                newest = self._settle_stamp(job, results, settled, newest)
            if is_followed and job.changes_entries:
                await self._publisher.publish(job, results, settled, decided.now_ms)
            else:
                job.conclude(results, settled)
        if refused:
            again += await self._tell_closed(refused)
        self._decide_again(again)

    async def _tell_closed(self, jobs: Sequence[WriteJob]) -> Sequence[WriteJob]:
        """Fail writes that were refused because the store is closed; return those to be decided
        again.
        """
        try:
            failure: DatabaseError | None = await why_closed(self._db, self._clock)
        except DatabaseError as error:
            failure = error
        if failure is None:
            return jobs
        for job in jobs:
            job.fail(failure)
        return ()

    async def _tell_again(
        self, group: list[WriteJob], keyed: Sequence[tuple[WriteJob, Once]]
    ) -> int:
        """Conclude writes of a group that were made before, and take them out of it.

        `keyed` are those with keys. Returns the place up to which the results under these are
        known.
        """
        after = 0
        failure: DatabaseError | None = None
        try:
            after = await self.replays.look()
        except DatabaseError as error:
            failure = error
        if failure is None and not self.replays.known_of([once for _, once in keyed]):
            return after
        for job, once in keyed:
            try:
                if failure is not None:
                    raise failure
                kept = await self.replays.read(once) if self.replays.is_known(once) else None
                if kept is None or job.write.recall is None:
                    continue
                job.succeed(job.write.recall(kept))
            except (DatabaseError, IdempotencyKeyReused, RequestUnderWay) as error:
                job.fail(error)
            group.remove(job)
        return after

    async def _load(self, group: list[WriteJob], now_ms: int) -> dict[bytes, Row]:
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
            rows |= await reads.get_many_stamps(self._db, stamps, now_ms, fresh=True)
        return rows

    def _share(self, group: list[WriteJob], sizes: Mapping[bytes, int]) -> set[bytes]:
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

    def _is_out_of_date(self, job: WriteJob, error: DatabaseError, *, is_firm: bool) -> bool:
        """Whether a write failed because others were faster, and is to be decided again."""
        if isinstance(error, GuardFailed):
            return error.index >= len(job.write.guards)
        if not isinstance(error, ConstraintViolation) or not is_firm:
            return False
        self._late_groups = LATE_GROUPS
        return True

    async def _replay(self, job: WriteJob, once: Once) -> bool:
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
        self, job: WriteJob, results: list[ResultSet], settled: dict[str, str], newest: str
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

    def _decide_again(self, jobs: list[WriteJob]) -> None:
        for job in jobs:
            job.attempts += 1
        spent = [job for job in jobs if job.attempts >= MAX_ATTEMPTS]
        for job in spent:
            job.fail(DatabaseBusy(f"other writers were faster {MAX_ATTEMPTS} times"))
        self._pending[:0] = [job for job in jobs if job.attempts < MAX_ATTEMPTS]


def _committed(jobs: Sequence[WriteJob], outcomes: Sequence[Outcome]) -> Iterator[Effect]:
    """The effects that came about, or may have."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        came_about = isinstance(outcome, (list, OutcomeUnknown))
        if job.decision is not None and came_about:
            yield from job.decision.effects

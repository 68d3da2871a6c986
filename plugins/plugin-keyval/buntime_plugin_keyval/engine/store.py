"""The store: every operation on encoded keys and canonical values, for HTTP and Python alike.

`faces/local/` puts Python values on top of it, `faces/http/` JSON bodies. Both check their input;
the store takes it as correct.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from buntime_database import Adapter, DatabaseError, Guard, OutcomeUnknown, ResultSet, Statement
from buntime_host import Workers
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, Mutation
from buntime_keyval.wire.stamps import may_hold_stamp

from buntime_plugin_keyval.engine import writes
from buntime_plugin_keyval.engine.additions import Addition, Requirement
from buntime_plugin_keyval.engine.closed import why_closed
from buntime_plugin_keyval.engine.commit import Committer
from buntime_plugin_keyval.engine.decisions import SetValue
from buntime_plugin_keyval.engine.forwarding import Forwarding, Methods
from buntime_plugin_keyval.engine.once import Once, Replays
from buntime_plugin_keyval.engine.peers import Peers
from buntime_plugin_keyval.engine.plain import plain_changes
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store_reads import StoreReads
from buntime_plugin_keyval.engine.turns import Turns
from buntime_plugin_keyval.engine.writes import Committed
from buntime_plugin_keyval.model.changes import Change, Place, Subscriber
from buntime_plugin_keyval.model.clock import Clock, SystemClock, moment_of
from buntime_plugin_keyval.model.conditions import Conditions
from buntime_plugin_keyval.model.errors import LimitExceeded, outcome_unknown
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits, check_key
from buntime_plugin_keyval.model.options import expiry
from buntime_plugin_keyval.model.where import OfPattern, Wanted
from buntime_plugin_keyval.storage import changelog, reads, states
from buntime_plugin_keyval.storage.dialects.moving import is_closed
from buntime_plugin_keyval.storage.maintenance import patient_batch
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange, single, subtree
from buntime_plugin_keyval.storage.selection import Selection
from buntime_plugin_keyval.storage.states import Catch, Reading

if TYPE_CHECKING:
    from buntime_plugin_keyval.storage.sealing import Sealing

T = TypeVar("T")

EXPIRY_BATCH = 500
EXPIRY_ROUNDS = 10
"""Most commits that remove expired entries met by a read, before it goes on without that."""

REMOVED_TOGETHER = 200
"""Entries that were found and are removed by one statement: with one for each, ten thousand take
seconds in which no other write happens."""

_SIMPLE = 32
"""Arguments of a filter that a write may test by itself."""


class Store(StoreReads):
    """One key-value store in one database."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        logger: logging.Logger,
        clock: Clock | None = None,
        workers: Workers | None = None,
        limits: Limits = DEFAULT_LIMITS,
        sealing: Sealing | None = None,
        logged: DisjointRanges | None = None,
    ) -> None:
        """`workers` are the processes that serve this store together, by default this one.

        With `sealing`, values are encrypted where it demands that, and values of `logged` keys are
        in the change log as well.
        """
        workers = workers or Workers.alone()
        clock = clock or SystemClock(shared=workers.numbers("keyval.clock", 1))
        super().__init__(
            adapter, clock=clock, workers=workers, limits=limits, sealing=sealing, logged=logged
        )
        self.logger = logger
        self.turns = Turns()
        """Turns of long work on the loop."""
        self.peers = Peers(workers, adapter)
        self._committer = Committer(
            self.db,
            clock=self.clock,
            logger=logger,
            peers=self.peers if self.peers.are_there else None,
            most_bytes=limits.commit_bytes,
            recorder=self.recorder,
        )
        self.write = self._committer.submit
        """For writes of other kinds, by parts of the plugin with decisions of their own."""
        self.hurry = self._committer.hurry
        """See `Committer`."""
        self.forwarding: Forwarding | None = None
        """Lets one of several workers commit for all, where that is useful."""
        if workers.count > 1 and adapter.capabilities.embedded:
            methods: Methods = {
                "set": self.set,
                "delete": self.delete,
                "atomic_commit": self.commit,
            }
            self.forwarding = Forwarding(workers, methods, self.recorder)
            self._committer.observe(self.forwarding.answer)
        self._most_key = adapter.capabilities.max_key_bytes
        self._expiring: Callable[[int], None] = lambda _: None

    async def begin(self) -> None:
        """Go on with the time of the store where it ended, if the clock was set back since.

        So whatever waits does so no longer than it was to. Raises `DatabaseError`.
        """
        self.clock.not_before(await self._committer.begin())
        if self.forwarding is not None:
            self.forwarding.start()

    def set(
        self,
        key: bytes,
        key_json: str,
        value: str,
        options: EntryOptions = NO_OPTIONS,
        once: Once | None = None,
    ) -> asyncio.Future[str]:
        """Store a value; the result is the new versionstamp, or with `once` that of the first time.

        It is on its way when this returns. Raises `RequestUnderWay`, and `InvalidInput` for a key
        that is too long for the database.
        """
        if self._most_key is not None:
            check_key(key, self._most_key)
        if self.forwarding is not None:
            given = key, key_json, value, options
            sent = self.forwarding.send(len(value), "set", given, once)
            if sent is not None:
                return sent
        write = SetValue(key, key_json, value, options, len(value))
        written = self._committer.submit(
            writes.set_stamped(write) if may_hold_stamp(value) else write, once, "set"
        )
        if options is not NO_OPTIONS:
            written.add_done_callback(partial(self._was_set, options))
        return written

    def _was_set(self, options: EntryOptions, written: asyncio.Future[str]) -> None:
        if not written.cancelled() and written.exception() is None:
            self._announce_expiry([options])

    def delete(
        self,
        keys: Sequence[bytes],
        *,
        exact: bool,
        where: Wanted | None = None,
        once: Once | None = None,
    ) -> Awaitable[int]:
        """Delete keys, with all that extend them unless `exact`; the number of entries deleted.

        All of it is one commit, and an entry that several keys name counts once. A future, on its
        way already, for one key if it is `exact`.
        """
        if exact and len(keys) == 1 and where is None:
            if self.forwarding is not None:
                sent = self.forwarding.send(0, "delete", (keys,), once, exact=True)
                if sent is not None:
                    return sent
            if once is None:
                return self._committer.submit(writes.remove_key(keys[0]), None, "delete")
            write = writes.remove([single(keys[0])], bounded=True)
            return self._committer.submit(write, once, "delete")
        ranges = [single(key) if exact else subtree(key) for key in keys]
        return self.delete_ranges(ranges, where=where, once=once)

    def delete_if(
        self, key: bytes, conditions: Conditions, *, exact: bool, once: Once | None = None
    ) -> asyncio.Future[int]:
        """The same for one key if the condition holds, and otherwise `PreconditionFailed` as the
        result.
        """
        keys = single(key) if exact else subtree(key)
        write = writes.remove([keys], bounded=exact, required=((key, conditions),))
        return self._committer.submit(write, once, "delete")

    @measured("delete")
    async def delete_ranges(
        self,
        ranges: Sequence[KeyRange],
        *,
        limit: int | None = None,
        where: Wanted | None = None,
        once: Once | None = None,
    ) -> int:
        """Delete the entries in the ranges, or their first ones; return how many were deleted."""
        if not ranges:
            return 0
        if isinstance(where, OfPattern):
            return await self._delete_fitting(where, ranges, limit, once)
        now_ms = self.clock.now()
        condition = self.condition(where, ranges)
        if limit is not None or condition.recheck is not None or len(condition.args) > _SIMPLE:
            # Entries that SQL cannot select, or not quickly, are read first, and removed unless
            # they changed in between: a long write would make all others wait. So are the first
            # entries, so that writes of others do not change which ones these are.
            found: dict[bytes, str] = {}
            for keys in ranges:
                left = sys.maxsize if limit is None else limit - len(found)
                if left:
                    selection = Selection(keys, left, condition=condition)
                    found |= await reads.list_stamps(self.db, selection, now_ms)
            return await self._remove(found, once)
        bounded = len(ranges) == 1 and await reads.is_small(self.db, ranges[0])
        return await self._committer.commit(
            writes.remove(ranges, condition=condition, bounded=bounded), once
        )

    async def _delete_fitting(
        self, where: OfPattern, ranges: Sequence[KeyRange], limit: int | None, once: Once | None
    ) -> int:
        """The same for entries whose keys match a pattern, which are found first."""
        found: dict[bytes, str] = {}
        for keys in ranges:
            left = sys.maxsize if limit is None else limit - len(found)
            found |= await self.fitting(where, keys, fresh=True).stamps(left)
        return await self._remove(found, once)

    async def _remove(self, found: Mapping[bytes, str], once: Once | None) -> int:
        """Remove entries, unless they have other versionstamps by now; how many were removed."""
        rows = sorted(found.items())
        parts = [rows[at : at + REMOVED_TOGETHER] for at in range(0, len(rows), REMOVED_TOGETHER)]
        if len(parts) > 1:  # one text of SQL for all of them: the last one says some rows again
            parts[-1] += parts[-1][-1:] * (REMOVED_TOGETHER - len(parts[-1]))
        have_stamps = self.sql.writes.have_stamps
        removed = [
            (KeyRange(part[0][0], single(part[-1][0]).end), have_stamps(part)) for part in parts
        ]
        return await self._committer.commit(writes.remove_rows(removed, len(rows)), once)

    def commit(
        self,
        checks: Sequence[EngineCheck | Requirement],
        mutations: Sequence[Mutation | Addition],
        also_read: Sequence[bytes] = (),
        once: Once | None = None,
        required: Sequence[tuple[bytes, Conditions]] = (),
        *,
        has_results: bool = False,
    ) -> asyncio.Future[Committed | None]:
        """Apply the mutations if the checks hold; the result is None if they do not.

        Conditions in `required` have to hold, or `PreconditionFailed` is the result. With
        `has_results` it has the results of the mutations. It also has the rows of `also_read` from
        just before. It is on its way when this returns. Raises `LimitExceeded` and
        `RequestUnderWay`.
        """
        self.check_number(len(checks) + len(mutations))
        if self.forwarding is not None:
            size = _size_sent(checks, mutations)
            given = checks, mutations, also_read
            more = {"required": required, "has_results": has_results}
            sent = self.forwarding.send(size, "atomic_commit", given, once, **more)
            if sent is not None:
                return sent
        if not (checks or also_read or required or has_results):
            plain = plain_changes(mutations, self.limits, self._most_key)
            if plain is not None:
                return self._committer.submit(plain, once, "atomic_commit")
        tells = {m.committed for m in mutations if isinstance(m, Addition)}
        lives = [
            options
            for m in mutations
            if isinstance(m, Mutation)
            for options in (m.options, m.on_create)
            if options is not NO_OPTIONS
        ]
        committed = partial(self._committed, lives, tells) if lives or tells else None
        write = writes.commit(
            checks,
            mutations,
            also_read,
            limits=self.limits,
            most_key=self._most_key,
            committed=committed,
            required=required,
            has_results=has_results,
        )
        return self._committer.submit(write, once, "atomic_commit")

    def _committed(
        self, lives: Sequence[EntryOptions], tells: Iterable[Callable[[], None]]
    ) -> None:
        """The consequences of a commit."""
        self._announce_expiry(lives)
        for tell in tells:
            tell()

    def check_key(self, key: bytes) -> None:
        """Refuse a key that is too long for the database with `InvalidInput`."""
        check_key(key, self._most_key)

    def check_number(self, number: int) -> None:
        """Refuse so many mutations and checks in one commit with `LimitExceeded`."""
        if number > self.limits.mutations:
            raise LimitExceeded(
                f"Too many mutations and checks: {number}", "mutations", self.limits.mutations
            )

    async def expire(self, limit: int) -> int:
        """Remove at most `limit` expired entries; their number. Measured only if it fails."""
        started = perf_counter()
        try:
            return await self._committer.commit(writes.expire(limit))
        except DatabaseError:
            self.recorder.record("cleanup", perf_counter() - started, failed=True)
            raise

    async def changes(
        self, after: int, *, limit: int, keys: KeyRange | None = None, fresh: bool = False
    ) -> list[Change]:
        """Changes behind a place in the log, oldest first; `fresh` for all that were committed."""
        return await changelog.read_changes(self.db, after, limit=limit, keys=keys, fresh=fresh)

    async def count_changes(self) -> int:
        """The number of changes in the log."""
        return await changelog.count_changes(self.db)

    async def knows(self, place: Place) -> bool:
        """Whether the log has all changes behind a place."""
        return await changelog.knows(self.db, place)

    def data_version(self) -> int | None:
        return self.adapter.data_version()

    def when_written(self, call: Callable[[], None]) -> bool:
        return self.adapter.when_written(call)

    async def totals(self) -> tuple[int, int]:
        """The number of entries, and the bytes of their keys and values."""
        return await reads.totals(self.db, self.clock.now())

    async def newest_place(self, *, fresh: bool = False) -> Place:
        """The place behind the newest change."""
        return await changelog.newest_place(self.db, fresh=fresh)

    async def states(
        self, keys: Sequence[bytes], ranges: Sequence[KeyRange], *, limit: int
    ) -> Reading:
        """The keys, then the first entries of the ranges, and the place in the log that they are
        of.

        An expiry counts once it is in the log, like every other change: so it is written there
        first.
        """
        for _ in range(EXPIRY_ROUNDS):
            now_ms = self.clock.now()
            reading = await states.read_states(
                self.db, keys, ranges, self.long_reads, limit=limit, now_ms=now_ms
            )
            if not any(state.is_expired for state in reading.states):
                return reading
            await self._remove_expired()
        found = [state for state in reading.states[len(keys) :] if not state.is_expired]
        return reading._replace(states=[*reading.states[: len(keys)], *found])

    async def news(
        self, after: Place, until: Place | None, concerns: Callable[[bytes], object]
    ) -> Catch | None:
        """The changes behind a place; None if the log does not have it, or `until`.

        For expired entries, see `states`.
        """
        for _ in range(EXPIRY_ROUNDS):
            now_ms = self.clock.now()
            catch = await states.read_news(
                self.db, after, until, concerns, self.long_reads, now_ms=now_ms
            )
            if catch is None or not any(news.state.is_expired for news in catch.news):
                break
            await self._remove_expired()
        return catch

    @measured("list")
    async def poll(
        self, given: Mapping[bytes, str], ranges: Sequence[KeyRange], *, limit: int
    ) -> list[tuple[bytes, str, str | None]]:
        """The entries of ranges for a client that knows versionstamps; see `read_poll`."""
        return await states.read_poll(
            self.db, given, ranges, self.long_reads, limit=limit, now_ms=self.clock.now()
        )

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Hand every commit's changes to `subscriber`; returns what ends that."""
        return self._committer.subscribe(subscriber)

    def on_expiry(self, listener: Callable[[int], None]) -> None:
        """Tell `listener` when an entry that was just written expires (epoch milliseconds)."""
        self._expiring = listener

    @property
    def replays(self) -> Replays:
        """The results of writes that their callers may repeat."""
        return self._committer.replays

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        """Commit what concerns no entry, past the decisions. Raises as `Adapter.batch` does."""
        try:
            return await patient_batch(self.adapter, steps)
        except OutcomeUnknown as error:
            raise outcome_unknown(error) from error
        except DatabaseError as error:
            if not is_closed(error):
                raise
            reason = await why_closed(self.db, self.clock)
            if reason is not None:
                raise reason from error
        return await patient_batch(self.adapter, steps)

    async def close(self) -> None:
        """Let every accepted write finish. The adapter stays open: it is not ours."""
        if self.forwarding is not None:
            await self.forwarding.close()
        await self._committer.close()

    async def _remove_expired(self) -> None:
        for _ in range(EXPIRY_ROUNDS):
            if await self.expire(EXPIRY_BATCH) < EXPIRY_BATCH:
                return

    def _announce_expiry(self, written: Sequence[EntryOptions]) -> None:
        if not written:
            return
        at = moment_of(self.clock)
        ends = [end for options in written if (end := expiry(options, at)) is not None]
        if ends:
            self._expiring(min(ends))


def _size_sent(
    checks: Sequence[EngineCheck | Requirement], mutations: Sequence[Mutation | Addition]
) -> float:
    """About how many bytes of values a commit brings; no number is as many where it has functions
    of this process.
    """
    if not all(type(it) is EngineCheck for it in checks):
        return math.inf
    size = 0
    for it in mutations:
        if not isinstance(it, Mutation):
            return math.inf
        if isinstance(it.operand, str):
            size += len(it.operand)
    return size

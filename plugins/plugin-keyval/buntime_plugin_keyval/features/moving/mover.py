"""Moves a store to another database while its processes write to it.

Entries are copied in order of key, and writes made meanwhile are taken from the change log. The
target has as much of the log as was carried out there, so that it knows after every commit how far
it is, and an interrupted move goes on from there. Once the end of the log is near, all entries have
been compared, and the tables that the log does not cover are copied too, the source is closed for a
moment, for the last changes of each. See `storage/moves.py` for the marks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import NamedTuple

import msgspec
from buntime_database import GuardFailed, Statement, Value
from buntime_keyval.wire import key_to_json
from buntime_keyval.wire.keys import decode_key

from buntime_plugin_keyval.features.moving import checks, copying
from buntime_plugin_keyval.features.moving.comparing import compare_behind
from buntime_plugin_keyval.features.moving.indexes import equalise_indexes
from buntime_plugin_keyval.features.moving.marks import MoveMarks
from buntime_plugin_keyval.storage import moves
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.moving import MOVED
from buntime_plugin_keyval.storage.schema import migrate

CLOSED_SECONDS = 15.0
"""How long the source stays closed, at least, if the moving process is not heard from."""

MAX_PAUSE_SECONDS = 5.0
"""The source is not closed if the last round took longer than this, unless the caller allows it."""

SOON_SECONDS = 1.0
"""The source is closed once a round over all changes takes less than this, and more than half of
the one before: the last round, during which writes are refused, takes about as long."""

ROUNDS = 20
"""The most rounds; further ones gain nothing."""

COMPARED = 10_000
"""The number of entries that one hash covers."""

SMALL = 20_000
"""The most entries of a store that is compared as a whole while closed: a fraction of a second."""

FOLLOWED_PAGES = 20
"""Pages of entries after which the log is followed, before it is trimmed too far."""

LOG_PAGE = 1_000
"""The most changes that one commit takes over."""

LOG_BYTES = 4 * 1024 * 1024
"""Bytes of values after which a commit takes no further change."""


class MoveFailed(Exception):
    """The target does not have what the source has."""


class MoveStep(NamedTuple):
    what: str
    done: int
    total: int


class Moved(NamedTuple):
    counts: checks.Counts
    repaired: int
    """Entries that the comparison found to differ: they were changed without the log, as by a new
    encryption, or in the target."""
    pause_seconds: float
    """How long the source refused writes before the target was complete."""
    hashes: int
    """The number of ranges whose hashes were compared."""


class StoreMover:
    """One move of a store to another database; see `MoveMarks` for concurrent processes."""

    def __init__(
        self,
        source: Database,
        target: Database,
        names: checks.Names,
        tell: Callable[[MoveStep], None],
        *,
        without_indexes: bool = False,
        max_pause: float = MAX_PAUSE_SECONDS,
    ) -> None:
        """`names` are the names of the databases in messages; `tell` is called with the progress.

        The source is not closed if the rest would take longer than about `max_pause` seconds.
        """
        self._max_pause = max_pause
        self._source = source
        self._target = target
        self._names = names
        self._tell = tell
        self._without_indexes = without_indexes
        self._marks = MoveMarks(source, target, names)
        self._hashes = self._repaired = 0
        ours, theirs = source.sql.moving.tables, target.sql.moving.tables
        sides = {
            name: copying.Sides(ours[name], theirs[name], table.first)
            for name, table in MOVED.items()
        }
        del sides["changes"]
        self._entries = sides.pop("entries")
        self._replays = sides.pop("replays")
        self._metrics = sides.pop("metrics")
        self._beside = sides.values()

    async def run(self) -> Moved:
        """Move the store, or go on with a move.

        Raises `MoveRefused`, `MoveFailed` or `DatabaseError`; the source is open then, unless the
        move was complete.
        """
        try:
            return await self._run()
        except GuardFailed:
            raise checks.MoveRefused(
                "another process is moving this store as well, or has given the move up: see that"
                " it ends, then start this command again"
            ) from None

    async def _run(self) -> Moved:
        await checks.check_move(
            self._source, self._target, self._names, without_indexes=self._without_indexes
        )
        await migrate(self._target.adapter, _wall_ms())
        is_over = await self._marks.begin()
        if is_over:  # the move was complete before
            return await self._open_target(monotonic())
        if not self._without_indexes:
            await equalise_indexes(self._source, self._target, self._marks.write, _wall_ms())
        await self._copy()
        await self._compare_all(repair=True)
        took = math.inf
        for _ in range(ROUNDS):
            before, started = took, monotonic()
            await self._follow()
            await self._equalise_rest()
            took = monotonic() - started
            if before / 2 < took < SOON_SECONDS:
                break
        if took > self._max_pause:
            raise MoveFailed(
                f"the store would take no writes for about {took:.1f} s: it is written to faster"
                " than it can be followed, or has very many messages. Go on when there is less of"
                " it, or with a longer --max-pause"
            )
        return await self._close_and_finish()

    async def _copy(self) -> None:
        await self._copy_log()
        if self._marks.place.entries is None:
            return
        total = (await checks.counts_of(self._source)).entries
        after = bytes.fromhex(self._marks.place.entries)
        number = 0
        async for page, _ in copying.pages_behind(self._source, self._entries.source, after):
            self._check_keys(page)
            done = self._marks.place.done + len(page)
            place = msgspec.structs.replace(self._marks.place, entries=_last(page).hex(), done=done)
            await self._marks.note(
                place, await copying.transferring(self._source, self._entries, page)
            )
            self._tell(MoveStep("entries", done, max(done, total)))
            number += 1
            if number % FOLLOWED_PAGES == 0:
                await self._follow()
        await self._marks.note(msgspec.structs.replace(self._marks.place, entries=None))

    def _check_keys(self, keys: Sequence[Value]) -> None:
        most = self._target.adapter.capabilities.max_key_bytes
        for key in keys:
            if most is not None and isinstance(key, bytes) and len(key) > most:
                raise checks.MoveRefused(
                    f"{self._names[1]} takes keys of at most {most} bytes, and"
                    f" {key_to_json(decode_key(key))[:100]} has {len(key)}: remove or rename it"
                )

    async def _copy_log(self) -> None:
        """Copy the log from before the first entry is copied."""
        if self._marks.place.logged:
            return
        newest = (await checks.counts_of(self._source)).newest
        while self._marks.place.log < newest:
            rows = await self._changes()
            if rows is None:
                await self._marks.begin_anew()
                newest = (await checks.counts_of(self._source)).newest
                continue
            await self._take(rows, [])
            if not rows:
                break
        await self._marks.note(msgspec.structs.replace(self._marks.place, logged=True))

    async def _follow(self) -> set[Value]:
        """Carry out what the log has by now; the keys concerned."""
        keys: set[Value] = set()
        newest = (await checks.counts_of(self._source)).newest
        while self._marks.place.log < newest:
            rows = await self._changes()
            if rows is None:
                await self._marks.begin_anew()
                await self._copy()
                continue
            if not rows:
                break
            page = [*dict.fromkeys(row[1] for row in rows)]
            self._check_keys(page)
            await self._take(rows, await copying.transferring(self._source, self._entries, page))
            keys.update(page)
            self._tell(MoveStep("changes", self._marks.place.log, max(self._marks.place.log, 1)))
        return keys

    async def _changes(self) -> list[tuple[Value, ...]] | None:
        """The changes that the target lacks; None if some of them were trimmed."""
        moving, adapter = self._source.sql.moving, self._source.adapter
        place = self._marks.place.log
        sizes = await adapter.query(moving.tables["changes"].marks, (place, LOG_PAGE), fresh=True)
        count = size = 0
        while count < len(sizes) and (not count or size < LOG_BYTES):
            size += _number(sizes[count][1])
            count += 1
        rows = await adapter.query(moving.log, (place, count), fresh=True) if count else []
        return None if await self._marks.first_position() > self._marks.place.log else rows

    async def _take(self, rows: Sequence[tuple[Value, ...]], steps: Sequence[Statement]) -> None:
        if rows:
            place = msgspec.structs.replace(self._marks.place, log=_number(rows[-1][0]))
            log = self._target.sql.moving.tables["changes"].put(rows)
            await self._marks.note(place, [*steps, *log])

    async def _compare_all(self, *, repair: bool) -> None:
        """Compare all entries by hashes of ranges, and copy again those that differ.

        Without `repair` both sides are closed, and `MoveFailed` is raised for a difference.
        """
        total = (await checks.counts_of(self._source)).entries
        sides = self._source, self._target, self._entries
        done, after, is_end = 0, self._entries.first, False
        while not is_end:
            found = await compare_behind(*sides, after, COMPARED)
            after, is_end = found.last, found.is_end
            self._hashes += 1
            done += found.number
            if repair:
                await self._follow()  # in a very large store the log might be trimmed meanwhile
            if found.different:
                self._repaired += await self._mend(found.different, repair=repair)
            self._tell(MoveStep("compared", done, max(done, total)))

    async def _mend(self, keys: Sequence[Value], *, repair: bool) -> int:
        """Copy again those of these entries that still differ; how many did."""
        here = await copying.rows_of(self._source, self._entries.source, keys)
        there = await copying.rows_of(self._target, self._entries.target, keys)
        wrong = [key for key in keys if here.get(key) != there.get(key)]
        if wrong and not repair:
            raise MoveFailed(
                f"{len(wrong)} entries are not in {self._names[1]} as they are in"
                f" {self._names[0]}: does another program write to it?"
            )
        if wrong:
            await self._marks.write(await copying.transferring(self._source, self._entries, wrong))
        return len(wrong)

    async def _equalise_rest(self) -> None:
        """Copy the tables that the log does not cover."""
        for sides in self._beside:
            await copying.equalise(self._source, self._target, self._marks.write, sides)
        await self._continue_replays()
        if not self._without_indexes:
            await equalise_indexes(self._source, self._target, self._marks.write, _wall_ms())

    async def _continue_replays(self) -> None:
        """Copy results that were kept since for idempotency keys, and remove those forgotten.

        There may be very many, and only the newest ones change.
        """
        ((oldest, _),) = await self._query(self._source.sql.replays.bounds)
        bounds = self._target.sql.replays.bounds
        ((oldest_there, newest_there),) = await self._target.adapter.query(bounds, fresh=True)
        if _number(oldest_there) < _number(oldest):
            await copying.remove_until(
                self._target, self._marks.write, self._replays, _number(oldest) - 1
            )
        after = _number(newest_there) - 1
        await copying.equalise(self._source, self._target, self._marks.write, self._replays, after)

    async def _close_and_finish(self) -> Moved:
        self._tell(MoveStep("closing", 0, 1))
        started = monotonic()
        await self._marks.note(self._marks.place)  # raises if another process has taken over
        await moves.close_store(self._source, self._marks.moving, self._end_of_pause())
        self._tell(MoveStep("closed", 0, 1))
        try:
            await self._copy_last()
            await moves.leave_store(self._source, self._marks.moving)
        except BaseException:
            mark = await moves.read_mark(self._source)
            is_ours = mark is not None and mark.place == self._marks.moving.mover
            if mark is not None and is_ours and mark.state is moves.MoveState.CLOSED:
                await moves.reopen_store(self._source, mark)
            raise
        self._tell(MoveStep("complete", 1, 1))
        return await self._open_target(started)

    async def _copy_last(self) -> None:
        keys = await self._follow()
        await self._stay_closed()
        await self._equalise_rest()
        await copying.equalise(self._source, self._target, self._marks.write, self._metrics)
        await self._stay_closed()
        ((epoch, seq, stamp, noted),) = await self._query(self._source.sql.moving.notes)
        sql = self._target.sql
        await self._marks.write(
            [
                Statement(sql.moving.set_log, (epoch, seq, stamp)),
                Statement(sql.log.trim),
                Statement(sql.moving.set_stamp, (noted,)),
                *map(Statement, sql.moving.finish),
            ]
        )
        counts = await checks.counts_of(self._source)
        if counts.entries <= SMALL:
            await self._compare_all(repair=False)
        else:
            await self._mend([*keys], repair=False)
        arrived = await checks.counts_of(self._target)
        if self._without_indexes:
            counts = counts._replace(indexes=arrived.indexes)
        if arrived != counts:
            raise MoveFailed(
                f"{self._names[1]} has {arrived} and {self._names[0]} {counts}: does another"
                " program write to it?"
            )

    def _end_of_pause(self) -> int:
        return _wall_ms() + int(1000 * max(CLOSED_SECONDS, 3 * self._max_pause))

    async def _stay_closed(self) -> None:
        await moves.keep_closed(self._source, self._marks.moving, self._end_of_pause())

    async def _open_target(self, started: float) -> Moved:
        await self._marks.open()
        pause = monotonic() - started
        return Moved(await checks.counts_of(self._target), self._repaired, pause, self._hashes)

    async def _query(self, sql: str) -> list[tuple[Value, ...]]:
        return await self._source.adapter.query(sql, fresh=True)


def _last(keys: Sequence[Value]) -> bytes:
    return bytes(keys[-1])  # type: ignore[arg-type] # keys of entries are BLOBs


def _number(value: Value) -> int:
    return int(value or 0)


def _wall_ms() -> int:
    return int(time() * 1000)

"""States of keys for watchers, read together with the place in the log that they are of.

A reading is one statement, and so one snapshot: it shows the state after one change, without
anything of later commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from buntime_database import Value

from buntime_plugin_keyval.model.changes import Place, mark_of
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.ranges import KeyRange, hexadecimal
from buntime_plugin_keyval.storage.reads import LongReads
from buntime_plugin_keyval.storage.selection import POINT_LIMIT

LOG_PAGE = 1000
"""The most changes that one look at the log reads."""

MOST_KEYS = 10_000
MOST_BYTES = 8 * 1024 * 1024
"""The most bytes of changed keys and their values in one reading."""

INLINE_BYTES = 1024 * 1024
"""The same on the event loop."""


class Stored(NamedTuple):
    """The stored state of a key; value and versionstamp are None if it does not exist."""

    key: bytes
    value: str | bytes | None
    """JSON; a large one as bytes of UTF-8."""
    versionstamp: str | None
    is_expired: bool
    """Whether it has expired and is not removed yet."""


class News(NamedTuple):
    """The state of a key that was changed."""

    since: str
    """Versionstamp of the first commit after the requested place that changed it."""
    seq: int
    """Position in the log of its last change."""
    commit: str
    """Versionstamp of the commit of that change."""
    state: Stored


class Catch(NamedTuple):
    """The keys changed after a place, in the order of their last changes."""

    news: list[News]
    place: Place
    """The place to which these bring a watcher that knew the state at the requested one."""
    newest: Place
    """The newest place of the snapshot: the same, unless there was too much for one read."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to read."""
        return self.place == self.newest


class UnreadStates(NamedTuple):
    """Keys and ranges that are still to be read."""

    keys: Sequence[bytes]
    ranges: Sequence[KeyRange]


class Reading(NamedTuple):
    """States, and the place in the log that they are of."""

    states: list[Stored]
    place: Place
    rest: UnreadStates | None
    """The part of the request that was not read."""
    is_cut: bool
    """Whether it was not read because values are long, and not because of the limit."""


async def read_states(
    db: Database,
    keys: Sequence[bytes],
    ranges: Sequence[KeyRange],
    long_reads: LongReads,
    *,
    limit: int,
    now_ms: int,
) -> Reading:
    """The keys in order, including missing ones, then the first `limit` entries of the ranges.

    There are fewer if their values have more than `MOST_BYTES`.
    """
    statement_keys, pairs, one_more = hexadecimal(keys), _pairs(ranges), limit + 1 if ranges else 0
    args = (statement_keys, pairs, one_more)
    is_few = len(keys) + limit <= POINT_LIMIT and len(ranges) <= POINT_LIMIT
    rows = await db.adapter.query(
        db.sql.watch.states,
        (*args, INLINE_BYTES, 0),
        point=is_few and long_reads.are_rare(now_ms),
        fresh=True,
    )
    log, seq, stamp, many, first, *_ = rows[0]
    if many and (first is None or many != len(rows)):
        long_reads.met(now_ms)
        async with long_reads.turn:
            rows = await db.adapter.query(db.sql.watch.states, (*args, MOST_BYTES, 1), fresh=True)
        log, seq, stamp, many, *_ = rows[0]
    states = [
        _stored(key, value, versionstamp, expires_at, now_ms)
        for *_, key, value, versionstamp, expires_at in rows
        if key is not None
    ]
    wanted = min(len(keys) + limit, int(many or 0))
    is_cut = len(states) < wanted
    has_more = is_cut or len(states) > wanted
    del states[wanted:]
    rest = _rest(keys, ranges, states) if has_more else None
    return Reading(states, _place(log, seq, stamp), rest, is_cut)


def _rest(
    keys: Sequence[bytes], ranges: Sequence[KeyRange], states: Sequence[Stored]
) -> UnreadStates:
    """The part of keys and ranges after the states that were read."""
    if len(states) <= len(keys):
        return UnreadStates(keys[len(states) :], ranges)
    last = states[-1].key
    return UnreadStates((), [part.after(last) for part in ranges if last < part.end])


async def read_news(
    db: Database,
    after: Place,
    until: Place | None,
    concerns: Callable[[bytes], object],
    long_reads: LongReads,
    *,
    now_ms: int,
) -> Catch | None:
    """The changes after a place among the keys that matter.

    None if the log does not have the place, or `until`, any more, or never had it.
    """
    changed = await _changed_keys(db, after, concerns)
    if changed.is_whole and not changed.keys and until is None:
        return Catch([], changed.place, changed.place)
    sql = db.sql.watch.news
    wanted = (after.seq, changed.place.seq, hexadecimal(changed.keys), MOST_KEYS)
    until_seq = until.seq if until is not None else None
    rows = await db.adapter.query(
        sql,
        (*wanted, INLINE_BYTES, until_seq, 0),
        point=changed.is_few and long_reads.are_rare(now_ms),
        fresh=True,
    )
    if not _is_whole(rows):
        long_reads.met(now_ms)
        async with long_reads.turn:
            rows = await db.adapter.query(sql, (*wanted, MOST_BYTES, until_seq, 1), fresh=True)
    log, seq, stamp, stamp_there, stamp_until, trimmed_seq, trimmed_stamp, *_ = rows[0]
    newest = _place(log, seq, stamp)
    for place, found in ((after, stamp_there), (until, stamp_until)):
        if place is None:
            continue
        if found is None and trimmed_seq == place.seq:
            found = trimmed_stamp
        if log != place.log or found is None or mark_of(str(found)) != place.mark:
            return None
    news = [
        News(since, last, commit, _stored(key, value, versionstamp, expires_at, now_ms))  # type: ignore[arg-type] # as the schema says
        for *_, key, since, last, commit, value, versionstamp, expires_at in rows
        if key is not None and concerns(key)  # type: ignore[arg-type] # a BLOB
    ]
    if _is_whole(rows):
        return Catch(news, newest, newest)
    *_, last, commit, _, _, _ = rows[-1]
    return Catch(news, _place(log, last, commit), newest)


def _is_whole(rows: Sequence[tuple[Value, ...]]) -> bool:
    """Whether the rows of `WatchSql.news` are complete."""
    many, first = rows[0][7:9]
    return not many or (first is not None and many == len(rows))


async def read_poll(
    db: Database,
    given: Mapping[bytes, str],
    ranges: Sequence[KeyRange],
    long_reads: LongReads,
    *,
    limit: int,
    now_ms: int,
) -> list[tuple[bytes, str, str | None]]:
    """Entries of ranges for a poll: those in `given`, and the first `limit` that differ from it.

    Each is a key, a versionstamp and perhaps a value. Those that are new or have another
    versionstamp come with their values, as long as there is room.
    """
    known = msgspec.json.encode({key.hex(): stamp for key, stamp in given.items()}).decode()
    args = (known, _pairs(ranges), now_ms, limit, MOST_BYTES)
    async with long_reads.turn:  # it may be long, and is read in a thread anyway
        return await db.adapter.query(db.sql.watch.poll, args, fresh=True)  # type: ignore[return-value] # as the schema says


class _Changed(NamedTuple):
    keys: dict[bytes, None]
    place: Place
    """The place up to which the log was read."""
    is_whole: bool
    """Whether the log was complete from the first place on."""
    is_few: bool


async def _changed_keys(
    db: Database, after: Place, concerns: Callable[[bytes], object]
) -> _Changed:
    """Roughly the keys that matter among those changed after a place.

    Only an optimization, which spares reading values of keys that are not watched.
    """
    keys: dict[bytes, None] = {}
    place = after
    size = POINT_LIMIT
    while len(keys) < MOST_KEYS:
        is_first = size == POINT_LIMIT
        page = await db.adapter.query(
            db.sql.watch.changed_keys, (place.seq, size + 1), point=is_first, fresh=True
        )
        if not page or page[0][0] != place.seq or mark_of(str(page[0][2])) != place.mark:
            return _Changed(keys, place, False, is_first)
        for _, key, _ in page[1:]:
            if concerns(key):  # type: ignore[arg-type] # a BLOB
                keys[key] = None  # type: ignore[index] # as above
        place = _place(after.log, page[-1][0], page[-1][2])
        if len(page) <= size:
            return _Changed(keys, place, True, is_first)
        size = LOG_PAGE
    return _Changed(keys, place, False, False)


def _stored(
    key: Value, value: Value, versionstamp: Value, expires_at: Value, now_ms: int
) -> Stored:
    is_expired = isinstance(expires_at, int) and expires_at <= now_ms
    if is_expired:
        value = versionstamp = None
    return Stored(key, value, versionstamp, is_expired)  # type: ignore[arg-type] # as the schema says


def _place(log: Value, seq: Value, stamp: Value) -> Place:
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


def _pairs(ranges: Iterable[KeyRange]) -> str:
    return msgspec.json.encode([(part.start.hex(), part.end.hex()) for part in ranges]).decode()

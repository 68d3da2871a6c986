"""Writing entries in SQLite."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import NamedTuple

from buntime_database import Statement, Value

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.sqlite.rows import CREATED_AT
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import (
    FIRM_STAMP,
    LATE_STAMP,
    LOGGED_STAMP,
    TOLD,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import (
    ADD_LONG_VALUE,
    ADDED,
    SURELY_INLINE,
    VALUE,
    long_size,
)
from buntime_plugin_keyval.storage.dialects.templates import IN_RANGE, LIVE
from buntime_plugin_keyval.storage.dialects.writes import NewEntry, WriteSql, new
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange, single
from buntime_plugin_keyval.storage.selection import RowCondition

_STEP = "INSERT INTO kv_changes (key, versionstamp, operation, at, revision, type{value})"

# `{value}` is the three columns of the value, `{created_at}` what an overwrite makes of the time of
# creation, `{revision}` of the number of writes. ?1 to ?9: key, its JSON, value or its size,
# versionstamp, expiry, metadata, wall, type, now.
_PUT = """
INSERT INTO kv_entries
  (key, key_json, value, long_id, long_size, versionstamp, expires_at, metadata, created_at,
   updated_at, type)
VALUES ({key}, {key_json}, {value}, {stamp}, ?5, ?6, ?7, ?7, ?8)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, long_id = excluded.long_id, long_size = excluded.long_size,
  versionstamp = excluded.versionstamp, expires_at = ?5, metadata = ?6, created_at = {created_at},
  updated_at = ?7, revision = {revision}, type = ?8"""

_BLANKS = re.compile(r" ?([(),=<>|+]) ?")
"""Those around what ends a word by itself."""

_INLINE = "?3, NULL, 0"
_ADDED = f"'', {ADDED}, ?3"

# ?1 to ?5: key, versionstamp, now, type, value where it is wanted.
_LOG_PUT = f"{_STEP} VALUES (?1, {{stamp}}, 'set', ?3, {{revision}}, ?4{{given}})"

_REVISION = f"""
1 + coalesce((SELECT revision FROM kv_entries WHERE key = ?1 AND {LIVE.replace("?", "?3")}), 0)"""

# The key holds the stamp. If the statement gets a text that only this commit knows, the stamp that
# it got replaces it.
_LOG_PUT_STAMPED = f"""{_STEP}
SELECT unhex(replace(hex(?1), hex(?2), hex(stamp))), stamp, 'set', ?3, 1, ?4{{given}}
FROM (SELECT {{stamp}} AS stamp)"""


class PutTexts(NamedTuple):
    """The statements that log and store an entry, by what is known of its versionstamp."""

    log: str
    log_anew: str
    """Where the commit itself deleted the key before: it is created once more."""
    log_value: str
    log_value_anew: str
    """The same, with the value."""
    put: str
    put_anew: str
    put_long: str
    put_long_anew: str
    """The same for a value that was added just before, with its size in its place."""


def _put_texts(
    log: str, logged: str, tail: str, *, key: str = "?1", key_json: str = "?2", stamp: str
) -> PutTexts:
    """`logged` is the stamp that is logged, `stamp` that of the entry then."""
    told = partial(log.format, stamp=logged, value="", given="")
    told_value = partial(log.format, stamp=logged, value=", value", given=", ?5")
    put = partial(_PUT.format, key=key, key_json=key_json, stamp=stamp)
    # A live entry keeps the time of its creation, and counts on. One that has expired and was not
    # swept yet was gone before.
    over = partial(
        put,
        created_at=f"iif(expires_at <= ?9, ?7, {CREATED_AT})",
        revision="iif(expires_at <= ?9, 1, revision + 1)",
    )
    anew = partial(put, created_at="?7", revision="1")
    made = (
        told(revision=_REVISION) + tail,
        told(revision="1") + tail,
        told_value(revision=_REVISION) + tail,
        told_value(revision="1") + tail,
        over(value=_INLINE),
        anew(value=_INLINE),
        over(value=_ADDED),
        anew(value=_ADDED),
    )
    return PutTexts(*map(_without_blanks, made))


def _without_blanks(text: str) -> str:
    """The same statement, in whose texts there are none.

    The driver hashes and compares a text each time that it looks for its statement, which takes
    eight instructions for each character.
    """
    return _BLANKS.sub(r"\1", " ".join(text.split()))


_LATE_LOGGED = LATE_STAMP.format(stamp="?2")
FIRM = _put_texts(_LOG_PUT, FIRM_STAMP.format(stamp="?2"), "", stamp="?4")
LATE = _put_texts(_LOG_PUT, _LATE_LOGGED, TOLD, stamp=LOGGED_STAMP)
_STAMPED_LATE = _put_texts(
    _LOG_PUT_STAMPED,
    _LATE_LOGGED,
    TOLD,
    key=f"unhex(replace(hex(?1), hex(?4), hex({LOGGED_STAMP})))",
    key_json=f"replace(?2, ?4, {LOGGED_STAMP})",
    stamp=LOGGED_STAMP,
)


def _put(
    entry: NewEntry, versionstamp: str, at: Moment, is_firm: bool, *, is_value_logged: bool = False
) -> tuple[Statement, ...]:
    key, value, kind = entry.key, entry.value, entry.type
    now_ms, wall_ms = at
    texts = FIRM if is_firm else _STAMPED_LATE if entry.is_stamped else LATE
    size = 0 if len(value) <= SURELY_INLINE else long_size(value)
    given = size or value
    expires_at, metadata = entry.expires_at, entry.metadata
    row: tuple[Value, ...]
    if entry.is_anew:
        log = texts.log_value_anew if is_value_logged else texts.log_anew
        put = texts.put_long_anew if size else texts.put_anew
        row = (key, entry.key_json, given, versionstamp, expires_at, metadata, wall_ms, kind)
    else:
        log = texts.log_value if is_value_logged else texts.log
        put = texts.put_long if size else texts.put
        row = (
            key,
            entry.key_json,
            given,
            versionstamp,
            expires_at,
            metadata,
            wall_ms,
            kind,
            now_ms,
        )
    logged: tuple[Value, ...] = (key, versionstamp, now_ms, kind)
    if is_value_logged:
        logged = (*logged, value)
    logging, putting = new(Statement, (log, logged)), new(Statement, (put, row))
    if size:
        return logging, Statement(ADD_LONG_VALUE, (value,)), putting
    return logging, putting


_LIVING = f"FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"
_EXPIRED = "FROM kv_entries WHERE expires_at <= ? ORDER BY expires_at, key LIMIT ?"
_REMOVE = f"DELETE {_LIVING}"
_REMOVE_EXPIRED = f"DELETE FROM kv_entries WHERE key IN (SELECT key {_EXPIRED})"


class RemoveTexts(NamedTuple):
    """The statements that log removed entries."""

    firm: str
    late: str
    one_late: str
    """Of one key: it tells the stamp."""
    expired_firm: str
    expired_late: str


def _remove_texts(value: str, told: str) -> RemoveTexts:
    """`value` is the logged form of a value, and empty where none is logged."""
    step = _STEP.format(value=value)

    def logging(stamp: str, operation: str, rows: str) -> str:
        given = stamp.format(stamp="?1")
        return f"{step}\nSELECT key, {given}, '{operation}', ?2, revision, type{told} {rows}"

    living = f"{_LIVING} ORDER BY key"
    late = logging(LATE_STAMP, "delete", living)
    return RemoveTexts(
        logging(FIRM_STAMP, "delete", living),
        late,
        late + TOLD,
        logging(FIRM_STAMP, "expire", _EXPIRED),
        logging(LATE_STAMP, "expire", _EXPIRED),
    )


_REMOVING = _remove_texts("", "")

_ALL = "TRUE"
LOG_REMOVE_FIRM = _REMOVING.firm.format(where=_ALL)
LOG_REMOVE_ONE_LATE = _REMOVING.one_late.format(where=_ALL)
REMOVE = _REMOVE.format(where=_ALL)
"""The statement that removes without a condition."""


@lru_cache(maxsize=256)
def _selecting(text: str, where: str) -> str:
    """A statement for the entries that meet a condition.

    Kept, since to put it together takes twice as long as to remove an entry.
    """
    return text.format(where=where)


def _remove(
    keys: KeyRange,
    condition: RowCondition,
    versionstamp: str,
    at: Moment,
    is_firm: bool,
    texts: RemoveTexts = _REMOVING,
) -> tuple[Statement, ...]:
    now_ms = at.now_ms
    where = condition.sql or _ALL
    selected = (*keys, now_ms, *condition.args)
    if is_firm:
        log = texts.firm
    elif keys == single(keys.start):
        log = texts.one_late
    else:
        log = texts.late
    return (
        new(Statement, (_selecting(log, where), (versionstamp, now_ms, *selected))),
        new(Statement, (_selecting(_REMOVE, where), selected)),
    )


def _expire(
    limit: int, versionstamp: str, at: Moment, is_firm: bool, texts: RemoveTexts = _REMOVING
) -> tuple[Statement, ...]:
    now_ms = at.now_ms
    log = texts.expired_firm if is_firm else texts.expired_late
    return (
        Statement(log, (versionstamp, now_ms, now_ms, limit)),
        Statement(_REMOVE_EXPIRED, (now_ms, limit)),
    )


def _with_values(ranges: DisjointRanges) -> WriteSql:
    """See `WriteSql.with_values`."""
    chosen = " OR ".join(
        f"key >= x'{start.hex()}' AND key < x'{end.hex()}'" for start, end in ranges
    )
    removing = _remove_texts(", value", f", iif({chosen}, {VALUE}, NULL)")

    def put(entry: NewEntry, versionstamp: str, at: Moment, is_firm: bool) -> tuple[Statement, ...]:
        if entry.key not in ranges:
            return _put(entry, versionstamp, at, is_firm)
        return _put(entry, versionstamp, at, is_firm, is_value_logged=True)

    return WRITES._replace(
        put=put, remove=partial(_remove, texts=removing), expire=partial(_expire, texts=removing)
    )


_RECODE = "UPDATE kv_entries SET value = {value}, long_id = {id}, long_size = {size} WHERE key = ?1"
_RECODE_INLINE = _RECODE.format(value="?2", id="NULL", size="0")
_RECODE_ADDED = _RECODE.format(value="''", id=ADDED, size="?2")


def _recode(key: bytes, text: str) -> tuple[Statement, ...]:
    size = long_size(text)
    if not size:
        return (Statement(_RECODE_INLINE, (key, text)),)
    return Statement(ADD_LONG_VALUE, (text,)), Statement(_RECODE_ADDED, (key, size))


WRITES = WriteSql(
    recode=_recode,
    put=_put,
    remove=_remove,
    expire=_expire,
    # Of a commit of the same group, whose stamp may become another one, only the random part is
    # known.
    unchanged=f"(SELECT versionstamp FROM kv_entries WHERE key = ? AND {LIVE}) IS ?",
    unchanged_since=f"""
(SELECT substr(versionstamp, 20) FROM kv_entries WHERE key = ? AND {LIVE}) IS ?""",
    have_stamps=lambda rows: RowCondition(
        f"(key, versionstamp) IN (VALUES {', '.join(['(?, ?)'] * len(rows))})",
        [part for row in rows for part in row],
    ),
    with_values=_with_values,
)

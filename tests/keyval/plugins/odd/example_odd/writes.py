"""Writing entries in this dialect.

Positions leave numbers out, and a statement that logs says where it did: its rows have the
versionstamp, the position, and that of the change before. An entry is changed if it is there and
added if it is not, by two statements.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from buntime_database import ResultSet, Statement
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.log import Appended
from buntime_plugin_keyval.storage.dialects.sqlite.rows import CREATED_AT
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import (
    FIRM_STAMP,
    LATE_STAMP,
    LOGGED_STAMP,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE
from buntime_plugin_keyval.storage.dialects.writes import NewEntry, WriteSql
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition

from .numbered import numbered

_LAST = "coalesce((SELECT max(seq) FROM kv_changes), 0)"
_TOLD = """
RETURNING versionstamp, seq, (
  SELECT coalesce(max(seq), 0) FROM kv_changes AS old WHERE old.seq < kv_changes.seq)"""

_LOG_PUT = f"""
INSERT INTO kv_changes (operation, at, seq, versionstamp, key, type, value, revision)
SELECT 'set', $3, place + 3 + place % 5, stamp, {{key}}, $4, $6, 1 + coalesce((
  SELECT revision FROM kv_entries WHERE key = $1 AND NOT $5 AND coalesce(expires_at > $3, TRUE)), 0)
FROM (SELECT {_LAST} AS place, {{stamp}} AS stamp) {_TOLD}"""
_LOG_FIRM = _LOG_PUT.format(stamp=FIRM_STAMP.format(stamp="$2"), key="$1")
_LOG_LATE = _LOG_PUT.format(stamp=LATE_STAMP.format(stamp="$2"), key="$1")
_LOG_STAMPED = _LOG_PUT.format(
    stamp=LATE_STAMP.format(stamp="$2"), key="unhex(replace(hex($1), hex($2), hex(stamp)))"
)

_KEY, _KEY_JSON = "$1", "$2"
_STAMPED_KEY = f"unhex(replace(hex($1), hex($4), hex({LOGGED_STAMP})))"
_STAMPED_JSON = f"replace($2, $4, {LOGGED_STAMP})"

_CHANGE = f"""
UPDATE kv_entries SET
  (value, long_id, long_size, versionstamp, expires_at, metadata, updated_at, type, created_at,
   revision) = (
    SELECT $3, NULL, 0, {LOGGED_STAMP}, $5, $6, $7, $8,
      CASE WHEN $10 OR expires_at <= $9 THEN $7 ELSE {CREATED_AT} END,
      CASE WHEN $10 OR expires_at <= $9 THEN 1 ELSE revision + 1 END)
WHERE key = {{key}}"""
_ADD = f"""
INSERT INTO kv_entries (
  versionstamp, key, key_json, value, expires_at, metadata, created_at, updated_at, type)
SELECT {LOGGED_STAMP}, {{key}}, {{json}}, $3, $5, $6, $7, $7, $8
WHERE NOT EXISTS (SELECT 1 FROM kv_entries WHERE key = {{key}})"""


def appended(result: ResultSet) -> Appended | None:
    """See `LogSql`; does not tell every third time what was before."""
    if not result.rows:
        return None
    places = sorted((int(seq or 0), int(before or 0)) for _, seq, before in result.rows)
    (_, before), (last, _) = places[0], places[-1]
    return Appended(before if last % 3 else None, last, len(places))


def _put(
    entry: NewEntry, versionstamp: str, at: Moment, is_firm: bool, logged: Iterable[KeyRange] = ()
) -> list[Statement]:
    key, json, log = _KEY, _KEY_JSON, _LOG_FIRM if is_firm else _LOG_LATE
    if entry.is_stamped and not is_firm:
        key, json, log = _STAMPED_KEY, _STAMPED_JSON, _LOG_STAMPED
    is_told = any(start <= entry.key < end for start, end in logged)
    value = entry.value if is_told else None
    row = (
        entry.key,
        entry.key_json,
        entry.value,
        versionstamp,
        entry.expires_at,
        entry.metadata,
        at.wall_ms,
        entry.type,
    )
    return [
        Statement(log, (entry.key, versionstamp, at.now_ms, entry.type, entry.is_anew, value)),
        Statement(_CHANGE.format(key=key), (*row, at.now_ms, entry.is_anew)),
        Statement(_ADD.format(key=key, json=json), row),
    ]


_LOG_ALL = f"""
INSERT INTO kv_changes (operation, at, seq, versionstamp, key, revision, type, value)
SELECT {{operation}}, $2, {_LAST} + 7 * row_number() OVER (ORDER BY {{order}}), {{stamp}}, key,
  revision, type, CASE WHEN {{told}} THEN {VALUE} END
FROM kv_entries WHERE {{selected}} {_TOLD}"""


def _stamp(is_firm: bool) -> str:
    return (FIRM_STAMP if is_firm else LATE_STAMP).format(stamp="$1")


def _told(logged: Iterable[KeyRange]) -> str:
    chosen = [f"key >= x'{start.hex()}' AND key < x'{end.hex()}'" for start, end in logged]
    return " OR ".join(chosen) or "FALSE"


def _remove(
    keys: KeyRange,
    condition: RowCondition,
    versionstamp: str,
    at: Moment,
    is_firm: bool,
    logged: Iterable[KeyRange] = (),
) -> list[Statement]:
    selected = "key BETWEEN ? AND ? AND key <> ? AND coalesce(expires_at > ?, TRUE)"
    if condition.sql:
        selected += f" AND {condition.sql}"
    args = (keys.start, keys.end, keys.end, at.now_ms, *condition.args)
    behind = numbered(f"?1 ?2 {selected}").removeprefix("$1 $2 ")
    log = _LOG_ALL.format(
        operation="'delete'",
        order="key",
        stamp=_stamp(is_firm),
        selected=behind,
        told=_told(logged),
    )
    return [
        Statement(log, (versionstamp, at.now_ms, *args)),
        Statement(numbered(f"DELETE FROM kv_entries WHERE {selected}"), args),
    ]


def _expire(
    limit: int, versionstamp: str, at: Moment, is_firm: bool, logged: Iterable[KeyRange] = ()
) -> list[Statement]:
    expired = """key IN (
  SELECT key FROM kv_entries WHERE expires_at <= {now} ORDER BY expires_at, key LIMIT {limit})"""
    log = _LOG_ALL.format(
        operation="'expire'",
        order="expires_at, key",
        stamp=_stamp(is_firm),
        selected=expired.format(now="$2", limit="$3"),
        told=_told(logged),
    )
    remove = f"DELETE FROM kv_entries WHERE {expired.format(now='$1', limit='$2')}"
    return [
        Statement(log, (versionstamp, at.now_ms, limit)),
        Statement(remove, (at.now_ms, limit)),
    ]


def write_sql(of_sqlite: WriteSql) -> WriteSql:
    """The operations; conditions are those of SQLite."""

    def with_values(logged: DisjointRanges) -> WriteSql:
        return made._replace(
            put=partial(_put, logged=logged),
            remove=partial(_remove, logged=logged),
            expire=partial(_expire, logged=logged),
        )

    made = of_sqlite._replace(put=_put, remove=_remove, expire=_expire, with_values=with_values)
    return made

"""Writing entries in PostgreSQL: what logs a change and what makes it are one statement."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

from buntime_database import Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.log import LAST, TOLD
from buntime_plugin_keyval.storage.dialects.postgres.stamps import FIRM_STAMP, LATE_STAMP
from buntime_plugin_keyval.storage.dialects.templates import IN_RANGE, LIVE
from buntime_plugin_keyval.storage.dialects.writes import NewEntry, WriteSql
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition

# $1 to $9: key, its JSON, value, versionstamp, expiry, metadata, wall, now, whether the same commit
# deleted the key, and $10 its type. A live entry keeps the time of its creation and counts on; one
# that has expired and was not swept yet was gone before.
_PUT = f"""
WITH stored (key, stamp) AS MATERIALIZED (
  SELECT {{key}}, stamp FROM (SELECT {{stamp}} AS stamp) AS given),
logged AS (
  INSERT INTO kv_changes (seq, key, versionstamp, operation, at, revision, type, value)
  SELECT {LAST} + 1, key, stamp, 'set', $8::bigint, 1 + coalesce((
    SELECT old.revision FROM kv_entries AS old
    WHERE old.key = stored.key AND $9::bigint = 0
      AND (old.expires_at IS NULL OR old.expires_at > $8::bigint)), 0), $10::text, {{logged}}
  FROM stored
  {TOLD})
INSERT INTO kv_entries AS old
  (key, key_json, value, versionstamp, expires_at, metadata, created_at, updated_at, type)
SELECT key, {{key_json}}, $3::text, stamp, $5::bigint, $6::text, $7::bigint, $7::bigint, $10::text
FROM stored
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, versionstamp = excluded.versionstamp, expires_at = excluded.expires_at,
  metadata = excluded.metadata, updated_at = excluded.updated_at, type = excluded.type,
  revision = CASE
    WHEN $9::bigint = 1 OR old.expires_at <= $8::bigint THEN 1 ELSE old.revision + 1 END,
  created_at = CASE
    WHEN $9::bigint = 1 OR old.expires_at <= $8::bigint THEN excluded.created_at
    ELSE old.created_at END
RETURNING versionstamp, (SELECT seq FROM logged)"""

_FIRM = FIRM_STAMP.format(stamp="$4::text")
_LATE = LATE_STAMP.format(stamp="$4::text")
# The key holds the stamp. If the statement gets a text that only this commit knows, the stamp that
# it got replaces it.
_STAMPED_KEY = """decode(replace(encode($1::bytea, 'hex'),
  encode(convert_to($4::text, 'UTF8'), 'hex'),
  encode(convert_to(stamp, 'UTF8'), 'hex')), 'hex')"""


class _PutTexts(NamedTuple):
    """The statements that log and store an entry, by what is known of its versionstamp."""

    firm: str
    late: str
    stamped_late: str


def _put_texts(logged: str) -> _PutTexts:
    """`logged` is the logged form of the value."""
    put = partial(_PUT.format, key="$1::bytea", key_json="$2::text", logged=logged)
    return _PutTexts(
        put(stamp=_FIRM),
        put(stamp=_LATE),
        put(stamp=_LATE, key=_STAMPED_KEY, key_json="replace($2::text, $4::text, stamp)"),
    )


_PUTTING = _put_texts("NULL::text")
_PUTTING_LOGGED = _put_texts("$3::text")
PUT_FIRM, PUT_LATE, _ = _PUTTING


def _put(
    entry: NewEntry, versionstamp: str, at: Moment, is_firm: bool, texts: _PutTexts = _PUTTING
) -> tuple[Statement]:
    text = texts.firm if is_firm else texts.stamped_late if entry.is_stamped else texts.late
    now_ms, wall_ms = at
    row = (
        entry.key,
        entry.key_json,
        entry.value,
        versionstamp,
        entry.expires_at,
        entry.metadata,
        wall_ms,
        now_ms,
        int(entry.is_anew),
        entry.type,
    )
    return (Statement(text, row),)


# ?1 and ?2: versionstamp, now. The stamp is looked for behind the lock, and once.
_REMOVE = f"""
WITH gone AS (
  DELETE FROM kv_entries WHERE {{selected}} RETURNING key, expires_at, revision, type, value)
INSERT INTO kv_changes (seq, key, versionstamp, operation, at, revision, type, value)
SELECT {LAST} + row_number() OVER (ORDER BY {{order}}), key, {{stamp}}, '{{operation}}', ?2::bigint,
  revision, type, {{logged}}
FROM gone
{TOLD}"""

_LIVING = f"{IN_RANGE} AND {LIVE} AND {{where}}"
_EXPIRED = """key = ANY (ARRAY(
  SELECT key FROM kv_entries WHERE expires_at <= ? ORDER BY expires_at, key LIMIT ?))"""


_NO_VALUE = "NULL::text"


@lru_cache(maxsize=256)
def _removing(where: str, is_firm: bool, logged: str = _NO_VALUE) -> str:
    return _text(_LIVING.format(where=where), "delete", "key", is_firm, logged)


@lru_cache(maxsize=256)
def _expiring(is_firm: bool, logged: str = _NO_VALUE) -> str:
    return _text(_EXPIRED, "expire", "expires_at, key", is_firm, logged)


def _text(selected: str, operation: str, order: str, is_firm: bool, logged: str) -> str:
    stamp = (FIRM_STAMP if is_firm else LATE_STAMP).format(stamp="?1::text")
    # What is selected comes first in the text, and behind the two in the arguments.
    text = _REMOVE.format(
        selected=selected, operation=operation, order=order, stamp=stamp, logged=logged
    )
    return numbered(f"?1 ?2{text}").removeprefix("$1 $2")


def _remove(
    keys: KeyRange,
    condition: RowCondition,
    versionstamp: str,
    at: Moment,
    is_firm: bool,
    logged: str = _NO_VALUE,
) -> tuple[Statement]:
    text = _removing(condition.sql or "TRUE", is_firm, logged)
    args = (versionstamp, at.now_ms, *keys, at.now_ms, *condition.args)
    return (Statement(text, args),)


REMOVE_FIRM = _removing("TRUE", True)
REMOVE_LATE = _removing("TRUE", False)


def _expire(
    limit: int, versionstamp: str, at: Moment, is_firm: bool, logged: str = _NO_VALUE
) -> tuple[Statement]:
    text = _expiring(is_firm, logged)
    return (Statement(text, (versionstamp, at.now_ms, at.now_ms, limit)),)


def _with_values(ranges: DisjointRanges) -> WriteSql:
    """See `WriteSql.with_values`."""
    chosen = " OR ".join(
        rf"key >= '\x{start.hex()}'::bytea AND key < '\x{end.hex()}'::bytea"
        for start, end in ranges
    )
    logged = f"CASE WHEN {chosen} THEN value END"

    def put(entry: NewEntry, versionstamp: str, at: Moment, is_firm: bool) -> tuple[Statement]:
        texts = _PUTTING_LOGGED if entry.key in ranges else _PUTTING
        return _put(entry, versionstamp, at, is_firm, texts)

    return WRITES._replace(
        put=put, remove=partial(_remove, logged=logged), expire=partial(_expire, logged=logged)
    )


_RECODE = "UPDATE kv_entries SET value = $2 WHERE key = $1"

WRITES = WriteSql(
    recode=lambda key, text: (Statement(_RECODE, (key, text)),),
    put=_put,
    remove=_remove,
    expire=_expire,
    unchanged=numbered(
        f"""
(SELECT versionstamp FROM kv_entries WHERE key = ? AND {LIVE}) IS NOT DISTINCT FROM ?::text"""
    ),
    # Of a commit of the same group, whose stamp may become another one, only the random part is
    # known.
    unchanged_since=numbered(
        f"""
(SELECT substr(versionstamp, 20) FROM kv_entries WHERE key = ? AND {LIVE})
IS NOT DISTINCT FROM ?::text"""
    ),
    have_stamps=lambda rows: RowCondition(
        f"(key, versionstamp) IN ({', '.join(['(?, ?)'] * len(rows))})",
        [part for row in rows for part in row],
    ),
    with_values=_with_values,
)

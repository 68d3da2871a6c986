"""The change log in PostgreSQL, a table whose positions are numbers without gaps.

A commit has the lock that all take first, so the next number is one more than the greatest.
"""

from __future__ import annotations

from buntime_database import ResultSet

from buntime_plugin_keyval.storage.dialects.log import (
    ACTION,
    CHANGE,
    HEAD_COLUMNS,
    Appended,
    LogSql,
)
from buntime_plugin_keyval.storage.dialects.postgres.stamps import (
    FIRM_STAMP,
    LATE_STAMP,
    LOGGED_STAMP,
    NEWEST_STAMP,
    NOTED_STAMP,
)

# The newest place in the log. The newest row is never trimmed, so an empty log never had one.
HEAD = """kv_log LEFT JOIN (
  SELECT seq, versionstamp FROM kv_changes ORDER BY seq DESC LIMIT 1) AS last ON TRUE"""

LAST = "(SELECT coalesce(max(seq), 0) FROM kv_changes)"
"""The position of the newest change, 0 for none."""

TOLD = "RETURNING versionstamp, seq"
"""Behind what logs: see `LogSql.appended`."""


def _appended(result: ResultSet) -> Appended | None:
    if not result.rows:
        return None
    places = [int(row[1] or 0) for row in result.rows]
    return Appended(min(places) - 1, max(places), len(places))


def _stamp_of_commit(tail: str) -> str:
    return f"""(
SELECT json_agg(json_build_object('versionstamp', newest))::text
FROM (SELECT {LOGGED_STAMP} AS newest UNION SELECT {NOTED_STAMP}) AS stamps
WHERE substr(newest, 20) = '{tail}')"""


_CHOSEN = f"""FROM kv_changes
WHERE seq > $1 AND seq <= $2 AND key >= $3 AND key < $4 AND ($5::text IS NULL OR type = $5::text)
  AND ($6::text IS NULL OR {ACTION} = $6::text)"""

LOG = LogSql(
    appended=_appended,
    changes=f"SELECT {CHANGE} FROM kv_changes WHERE seq > $1 ORDER BY seq LIMIT $2",
    changes_in_range=f"""
SELECT {CHANGE} FROM kv_changes
WHERE seq > $1 AND key >= $2 AND key < $3 ORDER BY seq LIMIT $4""",
    last_changes=f"SELECT {CHANGE} FROM kv_changes WHERE seq <= $1 ORDER BY seq DESC LIMIT $2",
    records=f"""
SELECT seq, key, {ACTION}, versionstamp, at, revision, type, octet_length(value)
{_CHOSEN} ORDER BY seq LIMIT $7""",
    values=f"SELECT seq, key, value {_CHOSEN} AND value IS NOT NULL",
    reach="""
SELECT max(seq) FROM (SELECT seq FROM kv_changes WHERE seq > $1 ORDER BY seq LIMIT $2) AS behind""",
    since="SELECT seq FROM kv_changes WHERE at >= $1 ORDER BY seq LIMIT 1",
    forget_values="""
UPDATE kv_changes SET value = NULL
WHERE key >= $1 AND key < $2 AND value IS NOT NULL
  AND NOT starts_with(value, $3::text) AND NOT starts_with(value, $4::text)""",
    # Each takes one end of the table; a count would read all of it.
    size="""
SELECT coalesce(1 + (SELECT max(seq) FROM kv_changes) - (SELECT min(seq) FROM kv_changes), 0)""",
    head=f"SELECT {HEAD_COLUMNS} FROM {HEAD}",
    known="""
SELECT epoch, (SELECT versionstamp FROM kv_changes WHERE seq = $1), trimmed_seq, trimmed_stamp
FROM kv_log""",
    newest_stamp=f"SELECT {NEWEST_STAMP}",
    note_stamp=f"UPDATE kv_stamps SET newest = {FIRM_STAMP.format(stamp='$1::text')}",
    note_stamp_late=f"""
UPDATE kv_stamps SET newest = {LATE_STAMP.format(stamp="$1::text")}
RETURNING newest AS versionstamp""",
    stamp_of_commit=_stamp_of_commit,
    # Both bounds are at most max(seq), so the newest row stays.
    note_trimmed="""
UPDATE kv_log SET trimmed_seq = last.seq, trimmed_stamp = last.versionstamp
FROM (
  SELECT seq, versionstamp FROM kv_changes WHERE seq < least(
    (SELECT min(seq) FROM kv_changes) + $1,
    greatest(
      (SELECT max(seq) FROM kv_changes) - $2 + 1,
      coalesce(
        (SELECT seq FROM kv_changes WHERE at >= $3 ORDER BY seq LIMIT 1),
        (SELECT max(seq) FROM kv_changes)))) AND seq <= $4
  ORDER BY seq DESC LIMIT 1) AS last""",
    note_trimmed_to="""
UPDATE kv_log SET trimmed_seq = last.seq, trimmed_stamp = last.versionstamp
FROM (
  SELECT seq, versionstamp FROM kv_changes
  WHERE seq <= $1 AND seq < (SELECT max(seq) FROM kv_changes)
  ORDER BY seq DESC LIMIT 1) AS last""",
    trim="DELETE FROM kv_changes WHERE seq <= (SELECT trimmed_seq FROM kv_log)",
)

"""The change log in SQLite, a table whose rowids are the positions.

SQLite gives a row a number that is one more than the greatest, and the newest row is never removed.
So the positions of this dialect have no gaps, which saves it some questions. No code outside of it
relies on that.
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
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import (
    FIRM_STAMP,
    LATE_STAMP,
    LOGGED_STAMP,
    NEWEST_STAMP,
    NOTED_STAMP,
)

# The newest place in the log. The newest row is never trimmed, so an empty log never had one.
HEAD = "kv_log LEFT JOIN (SELECT seq, versionstamp FROM kv_changes ORDER BY seq DESC LIMIT 1)"


def _appended(result: ResultSet) -> Appended | None:
    count, last = result.rowcount, result.lastrowid
    if not count or not last:
        return None
    return Appended(last - count, last, count)


def _stamp_of_commit(tail: str) -> str:
    return f"""(
SELECT json_group_array(json_object('versionstamp', newest))
FROM (SELECT {LOGGED_STAMP} AS newest UNION SELECT {NOTED_STAMP})
WHERE substr(newest, 20) = '{tail}')"""


_CHOSEN = f"""FROM kv_changes
WHERE seq > ?1 AND seq <= ?2 AND key >= ?3 AND key < ?4 AND (?5 IS NULL OR type = ?5)
  AND (?6 IS NULL OR {ACTION} = ?6)"""

LOG = LogSql(
    appended=_appended,
    changes=f"SELECT {CHANGE} FROM kv_changes WHERE seq > ? ORDER BY seq LIMIT ?",
    changes_in_range=f"""
SELECT {CHANGE} FROM kv_changes
WHERE seq > ? AND key >= ? AND key < ? ORDER BY seq LIMIT ?""",
    last_changes=f"SELECT {CHANGE} FROM kv_changes WHERE seq <= ? ORDER BY seq DESC LIMIT ?",
    records=f"""
SELECT seq, key, {ACTION}, versionstamp, at, revision, type, octet_length(value)
{_CHOSEN} ORDER BY seq LIMIT ?7""",
    values=f"SELECT seq, key, value {_CHOSEN} AND value IS NOT NULL",
    reach="SELECT max(seq) FROM (SELECT seq FROM kv_changes WHERE seq > ? ORDER BY seq LIMIT ?)",
    since="SELECT seq FROM kv_changes WHERE at >= ? ORDER BY seq LIMIT 1",
    forget_values="""
UPDATE kv_changes SET value = NULL
WHERE key >= ?1 AND key < ?2 AND value IS NOT NULL
  AND substr(value, 1, length(?3)) <> ?3 AND substr(value, 1, length(?4)) <> ?4""",
    # Two subqueries: each takes one end of the table, min and max in one query would read all of
    # it, and so would a count.
    size="""
SELECT coalesce(1 + (SELECT max(seq) FROM kv_changes) - (SELECT min(seq) FROM kv_changes), 0)""",
    head=f"SELECT {HEAD_COLUMNS} FROM {HEAD}",
    known="""
SELECT epoch, (SELECT versionstamp FROM kv_changes WHERE seq = ?), trimmed_seq, trimmed_stamp
FROM kv_log""",
    newest_stamp=f"SELECT {NEWEST_STAMP}",
    note_stamp=f"UPDATE kv_stamps SET newest = {FIRM_STAMP.format(stamp='?1')}",
    note_stamp_late=f"""
UPDATE kv_stamps SET newest = {LATE_STAMP.format(stamp="?1")} RETURNING newest AS versionstamp""",
    stamp_of_commit=_stamp_of_commit,
    # Both bounds are at most max(seq), so the newest row stays.
    note_trimmed="""
UPDATE kv_log SET trimmed_seq = last.seq, trimmed_stamp = last.versionstamp
FROM (
  SELECT seq, versionstamp FROM kv_changes WHERE seq < min(
    (SELECT min(seq) FROM kv_changes) + ?,
    max(
      (SELECT max(seq) FROM kv_changes) - ? + 1,
      coalesce(
        (SELECT seq FROM kv_changes WHERE at >= ? ORDER BY seq LIMIT 1),
        (SELECT max(seq) FROM kv_changes)))) AND seq <= ?
  ORDER BY seq DESC LIMIT 1) AS last""",
    note_trimmed_to="""
UPDATE kv_log SET trimmed_seq = last.seq, trimmed_stamp = last.versionstamp
FROM (
  SELECT seq, versionstamp FROM kv_changes
  WHERE seq <= ? AND seq < (SELECT max(seq) FROM kv_changes)
  ORDER BY seq DESC LIMIT 1) AS last""",
    trim="DELETE FROM kv_changes WHERE seq <= (SELECT trimmed_seq FROM kv_log)",
)

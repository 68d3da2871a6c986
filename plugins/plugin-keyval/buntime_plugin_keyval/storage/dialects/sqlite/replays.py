"""Kept results in SQLite."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.replays import KeepSql, KeptRow, ReplaysSql
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import LOGGED_STAMP, NOTED_STAMP
from buntime_plugin_keyval.storage.dialects.sqlite.values import ADD_LONG_VALUE, ADDED, long_size

_KEEP = """
INSERT INTO kv_replays (id, fingerprint, versionstamp, told, counts, at, long_id)
VALUES (?1, ?2, {stamp}, {told}, {counts}, ?5, {long_id})"""

# The commit has the stamp that was made for it, or a later one with the same random part.
_LATE = f"""CASE substr(?3, 20)
  WHEN substr({LOGGED_STAMP}, 20) THEN {LOGGED_STAMP}
  WHEN substr({NOTED_STAMP}, 20) THEN {NOTED_STAMP} ELSE ?3 END"""


def _keep(stamp: str) -> KeepSql:
    short = _KEEP.format(stamp=stamp, told="?4", counts="''", long_id="NULL")
    added = _KEEP.format(stamp=stamp, told="''", counts="''", long_id=ADDED)

    def keep(row: KeptRow) -> tuple[Statement, ...]:
        told = row[3]
        if long_size(told):
            return Statement(ADD_LONG_VALUE, (told,)), Statement(added, row)
        return (Statement(short, row),)

    return KeepSql(
        keep=keep,
        keep_with_count=_KEEP.format(
            stamp=stamp, told="?4", counts="changes() || ','", long_id="NULL"
        ),
    )


REPLAYS = ReplaysSql(
    keep=_keep("?3"),
    keep_late=_keep(_LATE),
    keep_count="UPDATE kv_replays SET counts = counts || changes() || ',' WHERE id = ?",
    not_kept="NOT EXISTS (SELECT 1 FROM kv_replays WHERE id = ?)",
    find="""
SELECT fingerprint, versionstamp,
  iif(long_id IS NULL, told, (SELECT text FROM kv_long_values WHERE kv_long_values.id = long_id)),
  counts
FROM kv_replays WHERE id = ?""",
    # Their numbers have no gaps, since only the oldest are removed.
    forget="""
DELETE FROM kv_replays WHERE seq IN (
  SELECT seq FROM (SELECT seq, at FROM kv_replays ORDER BY seq LIMIT ?3)
  WHERE at < ?1 OR seq <= (SELECT max(seq) FROM kv_replays) - ?2)""",
)

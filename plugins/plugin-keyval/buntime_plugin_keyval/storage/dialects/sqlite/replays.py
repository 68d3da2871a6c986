"""Kept results in SQLite."""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.replays import KeepSql, ReplaysSql
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import LOGGED_STAMP, NOTED_STAMP

_KEEP = """
INSERT INTO kv_replays (id, fingerprint, versionstamp, told, counts, at)
VALUES (?1, ?2, {stamp}, ?4, {counts}, ?5)"""

# The commit has the stamp that was made for it, or a later one with the same random part.
_LATE = f"""CASE substr(?3, 20)
  WHEN substr({LOGGED_STAMP}, 20) THEN {LOGGED_STAMP}
  WHEN substr({NOTED_STAMP}, 20) THEN {NOTED_STAMP} ELSE ?3 END"""


def _keep(stamp: str) -> KeepSql:
    return KeepSql(
        keep=_KEEP.format(stamp=stamp, counts="''"),
        keep_with_count=_KEEP.format(stamp=stamp, counts="changes() || ','"),
    )


REPLAYS = ReplaysSql(
    keep=_keep("?3"),
    keep_late=_keep(_LATE),
    keep_count="UPDATE kv_replays SET counts = counts || changes() || ',' WHERE id = ?",
    not_kept="NOT EXISTS (SELECT 1 FROM kv_replays WHERE id = ?)",
    find="SELECT fingerprint, versionstamp, told, counts FROM kv_replays WHERE id = ?",
    # Their numbers have no gaps, since only the oldest are removed.
    forget="""
DELETE FROM kv_replays WHERE seq IN (
  SELECT seq FROM (SELECT seq, at FROM kv_replays ORDER BY seq LIMIT ?3)
  WHERE at < ?1 OR seq <= (SELECT max(seq) FROM kv_replays) - ?2)""",
)

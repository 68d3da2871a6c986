"""Kept results in SQLite."""

from buntime_plugin_keyval.storage.dialects.replays import ReplaysSql
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import LOGGED_STAMP, NOTED_STAMP

NEWEST_PLACE = "(SELECT coalesce(max(seq), 0) FROM kv_replays)"

# The commit has the stamp that was made for it, or a later one with the same random part.
_GIVEN = f"""CASE substr(?1, 20)
  WHEN substr({LOGGED_STAMP}, 20) THEN {LOGGED_STAMP}
  WHEN substr({NOTED_STAMP}, 20) THEN {NOTED_STAMP} ELSE ?1 END"""

REPLAYS = ReplaysSql(
    # Rows first: mostly there are none, and then the keys need not be taken apart.
    none_since=f"""
({NEWEST_PLACE} >= ?1 AND NOT EXISTS (
  SELECT 1 FROM (SELECT keys FROM kv_replays WHERE seq > ?1) CROSS JOIN json_each(?2)
  WHERE instr(keys, char(10) || value || char(10))))""",
    keep=f"""
INSERT INTO kv_replays (seq, at, keys, fingerprints, stamps, counts, told)
VALUES ({NEWEST_PLACE} + ?1, ?2, ?3, ?4, ?5, '', ?6)""",
    kept_place="(SELECT json_group_array(json_object('seq', seq)) FROM (\n"
    f"  SELECT {NEWEST_PLACE} AS seq))",
    keep_stamp=f"UPDATE kv_replays SET stamps = replace(stamps, ?1, {_GIVEN})\n"
    f"WHERE seq = {NEWEST_PLACE}",
    keep_count=f"""
UPDATE kv_replays SET counts = counts || ?1 || changes() || ',' WHERE seq = {NEWEST_PLACE}""",
    bounds=f"SELECT (SELECT coalesce(min(seq), 0) FROM kv_replays), {NEWEST_PLACE}",
    news="SELECT seq, keys FROM kv_replays WHERE seq > ? ORDER BY seq LIMIT ?",
    find="SELECT keys, fingerprints, stamps, counts, told FROM kv_replays WHERE seq = ?",
    forget=f"""
DELETE FROM kv_replays WHERE seq IN (
  SELECT seq FROM (SELECT seq, at FROM kv_replays ORDER BY seq LIMIT ?3)
  WHERE seq < {NEWEST_PLACE} AND (at < ?1 OR seq <= {NEWEST_PLACE} - ?2))""",
    forget_newest=f"""
UPDATE kv_replays SET keys = '', fingerprints = x'', stamps = '', counts = '', told = ''
WHERE seq = {NEWEST_PLACE} AND at < ?1 AND keys <> ''""",
)

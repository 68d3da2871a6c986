"""Kept results in PostgreSQL."""

from buntime_plugin_keyval.storage.dialects.postgres.stamps import LOGGED_STAMP, NOTED_STAMP
from buntime_plugin_keyval.storage.dialects.replays import ReplaysSql

_NEWEST = "(SELECT coalesce(max(seq), 0) FROM kv_replays)"

# What triggers have noted of the statement before.
_CHANGED = "current_setting('buntime.changed', true)"

# The commit has the stamp that was made for it, or a later one with the same random part.
_GIVEN = f"""CASE substr($1::text, 20)
  WHEN substr({LOGGED_STAMP}, 20) THEN {LOGGED_STAMP}
  WHEN substr({NOTED_STAMP}, 20) THEN {NOTED_STAMP} ELSE $1::text END"""

REPLAYS = ReplaysSql(
    none_since=f"""
({_NEWEST} >= $1 AND NOT EXISTS (
  SELECT 1 FROM kv_replays CROSS JOIN json_array_elements_text($2::json) AS given (key)
  WHERE seq > $1 AND strpos(keys, concat(chr(10), key, chr(10))) > 0))""",
    keep=f"""
INSERT INTO kv_replays (seq, at, keys, fingerprints, stamps, counts, told)
VALUES ({_NEWEST} + $1::bigint, $2, $3, $4, $5, '', $6) RETURNING seq""",
    kept_place=f"(SELECT json_build_array(json_build_object('seq', {_NEWEST}))::text)",
    keep_stamp=f"""
UPDATE kv_replays SET stamps = replace(stamps, $1::text, {_GIVEN}) WHERE seq = {_NEWEST}""",
    keep_count=f"""
UPDATE kv_replays SET counts = concat(counts, $1::text, {_CHANGED}, ',') WHERE seq = {_NEWEST}""",
    bounds=f"SELECT (SELECT coalesce(min(seq), 0) FROM kv_replays), {_NEWEST}",
    news="SELECT seq, keys FROM kv_replays WHERE seq > $1 ORDER BY seq LIMIT $2",
    find="SELECT keys, fingerprints, stamps, counts, told FROM kv_replays WHERE seq = $1",
    forget=f"""
DELETE FROM kv_replays WHERE seq IN (
  SELECT seq FROM (SELECT seq, at FROM kv_replays ORDER BY seq LIMIT $3) AS oldest
  WHERE seq < {_NEWEST} AND (at < $1 OR seq <= {_NEWEST} - $2))""",
    forget_newest=f"""
UPDATE kv_replays SET keys = '', fingerprints = '', stamps = '', counts = '', told = ''
WHERE seq = {_NEWEST} AND at < $1 AND keys <> ''""",
)

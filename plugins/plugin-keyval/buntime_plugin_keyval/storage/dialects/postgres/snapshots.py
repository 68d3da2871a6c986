"""Lists of one state of the store, in PostgreSQL."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.log import HEAD_COLUMNS
from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.log import HEAD
from buntime_plugin_keyval.storage.dialects.postgres.rows import ENTRIES
from buntime_plugin_keyval.storage.dialects.snapshots import SnapshotSql
from buntime_plugin_keyval.storage.selection import Selection

_CHANGED_ENTRIES = f"""
SELECT 0 AS part, NULL::bytea, epoch, newest_stamp, newest
FROM (SELECT {HEAD_COLUMNS} FROM {HEAD}) AS head
UNION ALL
SELECT 1, key, NULL, NULL, NULL FROM kv_changes WHERE seq > ?1 AND key >= ?2 AND key < ?3
UNION ALL
SELECT 2, key, {{entry}}, value, NULL FROM kv_entries
WHERE key >= ?2 AND key < ?3 AND (expires_at IS NULL OR expires_at > ?4) AND {{where}}
  AND key IN (SELECT key FROM kv_changes WHERE seq > ?1)
ORDER BY part"""


def _changed_entries(selection: Selection, place: int, now_ms: int) -> Statement:
    condition = selection.condition
    text = _CHANGED_ENTRIES.format(
        entry=ENTRIES.json[selection.shape], where=condition.sql or "TRUE"
    )
    return Statement(numbered(text), (place, *selection.keys, now_ms, *condition.args))


SNAPSHOTS = SnapshotSql(
    begin="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    changed_since="""
SELECT epoch, (SELECT versionstamp FROM kv_changes WHERE seq = $1), trimmed_seq, trimmed_stamp,
  EXISTS (SELECT 1 FROM kv_changes WHERE seq > $1 AND key >= $2 AND key < $3)
FROM kv_log""",
    changed_entries=_changed_entries,
)

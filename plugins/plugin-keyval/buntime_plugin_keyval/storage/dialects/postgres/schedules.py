"""Schedules in PostgreSQL."""

from buntime_plugin_keyval.storage.dialects.schedules import ROW, SchedulesSql

SCHEDULES = SchedulesSql(
    put="""
INSERT INTO kv_schedules AS old
  (name, timing, task, missed, paused, next_at, fires, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, 0, $7::bigint, $7::bigint)
ON CONFLICT (name) DO UPDATE SET
  next_at = CASE
    WHEN old.timing = excluded.timing AND old.paused = excluded.paused THEN old.next_at
    ELSE excluded.next_at END,
  timing = excluded.timing, task = excluded.task, missed = excluded.missed,
  paused = excluded.paused, updated_at = excluded.updated_at""",
    get=f"SELECT {ROW} FROM kv_schedules WHERE name = $1",
    listed=f"SELECT {ROW} FROM kv_schedules WHERE name > $1 ORDER BY name LIMIT $2",
    due=f"SELECT {ROW} FROM kv_schedules WHERE next_at <= $1 ORDER BY next_at LIMIT $2",
    earliest="SELECT min(next_at) FROM kv_schedules",
    is_next="EXISTS (SELECT 1 FROM kv_schedules WHERE name = $1 AND next_at = $2)",
    exists="EXISTS (SELECT 1 FROM kv_schedules WHERE name = $1)",
    advance="""
UPDATE kv_schedules SET
  next_at = $2::bigint, last_at = coalesce($3::bigint, last_at),
  last_task = coalesce($4::text, last_task), fires = fires + $5::bigint
WHERE name = $1""",
    remove="DELETE FROM kv_schedules WHERE name = $1",
)

"""Schedules in SQLite."""

from buntime_plugin_keyval.storage.dialects.schedules import ROW, SchedulesSql

SCHEDULES = SchedulesSql(
    put="""
INSERT INTO kv_schedules
  (name, timing, task, missed, paused, next_at, fires, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7)
ON CONFLICT (name) DO UPDATE SET
  next_at = iif(
    timing = excluded.timing AND paused = excluded.paused, next_at, excluded.next_at),
  timing = excluded.timing, task = excluded.task, missed = excluded.missed,
  paused = excluded.paused, updated_at = excluded.updated_at""",
    get=f"SELECT {ROW} FROM kv_schedules WHERE name = ?",
    listed=f"SELECT {ROW} FROM kv_schedules WHERE name > ? ORDER BY name LIMIT ?",
    due=f"SELECT {ROW} FROM kv_schedules WHERE next_at <= ? ORDER BY next_at LIMIT ?",
    earliest="SELECT min(next_at) FROM kv_schedules WHERE next_at IS NOT NULL",
    is_next="EXISTS (SELECT 1 FROM kv_schedules WHERE name = ? AND next_at = ?)",
    exists="EXISTS (SELECT 1 FROM kv_schedules WHERE name = ?)",
    advance="""
UPDATE kv_schedules SET
  next_at = ?2, last_at = coalesce(?3, last_at), last_task = coalesce(?4, last_task),
  fires = fires + ?5
WHERE name = ?1""",
    remove="DELETE FROM kv_schedules WHERE name = ?",
)

"""Tasks in SQLite."""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.sqlite.queue import NOT_PLAIN, OF_TASKS, PLACE
from buntime_plugin_keyval.storage.dialects.tasks import STATUSES, TaskSql

_MESSAGE = "kv_queue AS message ON message.id = char(1) || task.id"
_RUNS = "message.lease IS NOT NULL AND message.visible_at > ?1"
_ATTEMPTS = "min(max_attempts, attempts + (lease IS NOT NULL AND NOT counted))"
_STATUS = f"iif(task.status = 'running' AND NOT coalesce({_RUNS}, 0), 'pending', task.status)"
_ROW = f"""
task.seq, task.id, task.name, {_STATUS}, task.payload,
  coalesce(min(message.max_attempts, message.attempts
    + (message.lease IS NOT NULL AND NOT message.counted)), task.attempts),
  task.max_retries, task.backoff, task.timeout_ms, task.priority, task.unique_text, task.sequence,
  task.parent, task.earlier, task.keep_ms, coalesce(message.ready_at, task.ready_at),
  task.created_at, task.started_at, task.completed_at, task.last_error, task.result, task.progress,
  task.runner, task.lease, task.lease_ms, message.lease, message.visible_at
FROM kv_tasks AS task LEFT JOIN {_MESSAGE}"""
_HELD = """EXISTS (
    SELECT 1 FROM kv_queue WHERE id = char(1) || ?1 AND lease IS NOT NULL AND visible_at > ?2)"""
_LEASED = "EXISTS (SELECT 1 FROM kv_queue WHERE id = char(1) || ?1 AND lease = ?2)"


def _next(queues: str) -> str:
    """When the first message of each queue can be delivered; `queues` says how they are found."""
    of_queue = f"""
    SELECT min(priority) FROM kv_queue INDEXED BY kv_queue_levels
    WHERE {NOT_PLAIN} AND kv_queue.queue = """
    return f"""
WITH RECURSIVE queues (queue) AS ({queues}),
levels (queue, level) AS (
  SELECT queue, ({of_queue}queues.queue) FROM queues WHERE queue IS NOT NULL
  UNION ALL
  SELECT queue, ({of_queue}levels.queue AND priority > level) FROM levels
  WHERE level IS NOT NULL)
SELECT substr(queue, 2), min(at) FROM (
  SELECT queue, (
    SELECT visible_at FROM kv_queue INDEXED BY kv_queue_levels
    WHERE {NOT_PLAIN} AND kv_queue.queue = levels.queue AND priority = level
      AND attempts < max_attempts
    ORDER BY visible_at LIMIT 1) AS at
  FROM levels WHERE level IS NOT NULL)
WHERE at IS NOT NULL GROUP BY queue ORDER BY min(at)"""


def _listed() -> str:
    """Each status has its own way into an index, so that only rows that count are looked at."""
    asked = "(SELECT value FROM json_each(?4))"
    told = f"""iif(EXISTS (
      SELECT 1 FROM kv_queue AS message WHERE message.id = char(1) || kv_tasks.id AND {_RUNS}),
      'running', 'pending')"""
    are_asked = {status: f"'{status}' IN {asked}" for status in STATUSES}
    some = f"({are_asked['running']} OR {are_asked['pending']})"
    are_asked["running"] = f"{some} AND {told} IN {asked}"
    of_status = " UNION ALL ".join(
        f"""
  SELECT * FROM (
    SELECT seq FROM kv_tasks
    WHERE {{name}}status = '{status}' AND seq < ?5 AND {is_asked}
    ORDER BY seq DESC LIMIT ?6 + ?7)"""
        for status, is_asked in are_asked.items()
    )
    return f"""
SELECT {_ROW}
WHERE task.seq IN (
  SELECT seq FROM (
    SELECT * FROM (
      SELECT seq FROM kv_tasks
      WHERE ?3 IS NOT NULL AND parent = ?3 AND seq < ?5 AND (?2 IS NULL OR name = ?2)
        AND iif(status = 'running', {told}, status) IN {asked}
      ORDER BY seq DESC LIMIT ?6 + ?7)
    UNION ALL SELECT * FROM ({of_status.format(name="?3 IS NULL AND name = ?2 AND ")})
    UNION ALL SELECT * FROM ({of_status.format(name="?3 IS NULL AND ?2 IS NULL AND ")}))
  ORDER BY seq DESC LIMIT ?6 OFFSET ?7)
ORDER BY task.seq DESC"""


TASKS = TaskSql(
    add="""
INSERT INTO kv_tasks (id, name, status, payload, priority, max_retries, backoff, timeout_ms,
  unique_text, sequence, parent, earlier, keep_ms, ready_at, set_at, created_at)
VALUES (?1, ?2, 'pending', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT DO NOTHING""",
    arrange="""
INSERT INTO kv_task_order (earlier, later)
SELECT before.id, task.id
FROM kv_tasks AS task CROSS JOIN json_each(task.earlier) AS named
  JOIN kv_tasks AS before ON before.id = named.value
WHERE task.id = ?1 AND task.completed_at IS NULL AND before.completed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE id = char(1) || ?1)
ON CONFLICT DO NOTHING""",
    fail_early="""
UPDATE kv_tasks SET
  status = 'failed', completed_at = ?3, set_at = ?2, forget_at = ?2 + keep_ms, (
    failed_with, last_error) = (
    SELECT named.value,
      'the task ' || named.value || ', which comes before it, is ' || coalesce(status, 'not there')
    FROM json_each(kv_tasks.earlier) AS named
      LEFT JOIN kv_tasks AS before ON before.id = named.value
    WHERE coalesce(before.status, '') IN ('', 'failed', 'cancelled') LIMIT 1)
WHERE id = ?1 AND completed_at IS NULL AND earlier IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE id = char(1) || ?1)
  AND EXISTS (
    SELECT 1 FROM json_each(kv_tasks.earlier) AS named
      LEFT JOIN kv_tasks AS before ON before.id = named.value
    WHERE coalesce(before.status, '') IN ('', 'failed', 'cancelled'))""",
    offer="""
INSERT INTO kv_queue (id, value, ready_at, visible_at, attempts, max_attempts, backoff_schedule,
                      keys_if_undelivered, created_at, set_at, queue, priority)
SELECT char(1) || id, 'null', ready_at, ready_at, 0, max(1, max_retries), '[]', '[]', created_at,
  ?2, char(1) || name, priority
FROM kv_tasks AS task
WHERE id = ?1 AND completed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM kv_task_order WHERE later = ?1)
  AND NOT EXISTS (
    SELECT 1 FROM kv_tasks AS before
    WHERE before.name = task.name AND before.sequence = task.sequence
      AND before.completed_at IS NULL AND before.seq < task.seq)
ON CONFLICT (id) DO NOTHING""",
    start="""
UPDATE kv_tasks SET
  status = 'running', lease = ?2, runner = ?4, started_at = ?5, lease_ms = ?6, progress = NULL
WHERE completed_at IS NULL AND id IN (
  SELECT substr(id, 2) FROM kv_queue INDEXED BY kv_queue_leased
  WHERE queue = ?1 AND lease IS NOT NULL AND visible_at = ?3 AND lease = ?2)""",
    stop="""
UPDATE kv_tasks SET status = 'pending', runner = NULL, last_error = coalesce(?3, last_error)
WHERE id = ?1 AND lease = ?2 AND completed_at IS NULL AND status <> 'cancelled'""",
    finish=f"""
UPDATE kv_tasks SET
  status = ?3, result = ?4, last_error = ?5, set_at = ?6, completed_at = ?7,
  forget_at = ?6 + keep_ms,
  attempts = coalesce((SELECT {_ATTEMPTS} FROM kv_queue WHERE id = char(1) || ?1), attempts)
WHERE id = ?1 AND completed_at IS NULL AND status <> 'cancelled' AND (?2 IS NULL OR {_LEASED})""",
    complete="""
UPDATE kv_tasks SET
  status = 'completed', result = told.result, last_error = NULL, set_at = ?2, completed_at = ?3,
  forget_at = ?2 + keep_ms, attempts = told.attempts
FROM (
  SELECT told.value ->> 0 AS id, told.value ->> 2 AS result,
    min(max_attempts, attempts + (NOT counted)) AS attempts
  FROM json_each(?1) AS told CROSS JOIN kv_queue AS message
    ON message.id = char(1) || (told.value ->> 0) AND message.lease = told.value ->> 1) AS told
WHERE kv_tasks.id = told.id AND completed_at IS NULL AND status <> 'cancelled'""",
    cancel=f"""
UPDATE kv_tasks SET
  status = 'cancelled', result = NULL, last_error = NULL, set_at = ?2,
  completed_at = iif({_HELD}, NULL, ?3), forget_at = iif({_HELD}, NULL, ?2 + keep_ms),
  attempts = coalesce((SELECT {_ATTEMPTS} FROM kv_queue WHERE id = char(1) || ?1), attempts)
WHERE id = ?1 AND completed_at IS NULL AND status <> 'cancelled'""",
    hold=f"""
UPDATE kv_queue SET attempts = {_ATTEMPTS}, max_attempts = {_ATTEMPTS}, counted = 1, unsure = 0
WHERE id = char(1) || ?1
  AND EXISTS (SELECT 1 FROM kv_tasks WHERE id = ?1 AND status = 'cancelled')""",
    leave="""
UPDATE kv_tasks SET set_at = ?3, completed_at = ?4, forget_at = ?3 + keep_ms
WHERE id = ?1 AND status = 'cancelled' AND completed_at IS NULL AND (?2 IS NULL OR lease = ?2)""",
    progress=f"UPDATE kv_tasks SET progress = ?3 WHERE id = ?1 AND lease = ?2 AND {_LEASED}",
    again="""
UPDATE kv_tasks SET
  seq = (SELECT max(seq) + 1 FROM kv_tasks), status = 'pending', ready_at = ?2, set_at = ?2,
  attempts = 0, started_at = NULL, completed_at = NULL, forget_at = NULL, failed_with = NULL,
  runner = NULL, lease = NULL, progress = NULL, result = NULL
WHERE id = ?1 AND status IN ('failed', 'cancelled') AND completed_at IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM kv_tasks AS other
  WHERE other.name = kv_tasks.name AND other.unique_text = kv_tasks.unique_text
    AND other.completed_at IS NULL)""",
    forget="DELETE FROM kv_tasks WHERE id = ? AND completed_at IS NOT NULL",
    forget_old="""
DELETE FROM kv_tasks WHERE seq IN (
  SELECT seq FROM kv_tasks WHERE forget_at IS NOT NULL AND forget_at <= ? ORDER BY forget_at
  LIMIT ?)""",
    get=f"SELECT {_ROW} WHERE task.id = ?2",
    name_of="SELECT name FROM kv_tasks WHERE id = ?",
    get_many=f"SELECT {_ROW} WHERE task.id IN (SELECT value FROM json_each(?2))",
    by_text=f"""
SELECT {_ROW}
WHERE task.name = ?2 AND task.unique_text = ?3 AND task.completed_at IS NULL""",
    is_free="""
NOT EXISTS (
  SELECT 1 FROM kv_tasks
  WHERE name = ? AND unique_text = ? AND completed_at IS NULL AND status = 'cancelled')""",
    is_own="NOT EXISTS (SELECT 1 FROM kv_tasks WHERE id = ? AND name <> ?)",
    taken=f"""
SELECT id, payload, attempts, max_retries, timeout_ms FROM (
  SELECT task.id, payload, taken.attempts, max_retries, timeout_ms, place, taken.seq,
    row_number() OVER ready AS number, sum(octet_length(payload)) OVER ready AS bytes
  FROM (
    SELECT substr(id, 2) AS id, min(max_attempts, attempts + 1) AS attempts, {PLACE} AS place, seq
    FROM kv_queue INDEXED BY kv_queue_leased
    WHERE queue = ?1 AND lease IS NOT NULL AND visible_at = ?3 AND lease = ?2) AS taken
  JOIN kv_tasks AS task ON task.id = taken.id
  WINDOW ready AS (ORDER BY place, taken.seq ROWS UNBOUNDED PRECEDING))
WHERE number = 1 OR bytes <= ?4 ORDER BY place, seq""",
    is_leased="EXISTS (SELECT 1 FROM kv_queue WHERE id = ? AND lease = ?)",
    next_of=_next("SELECT char(1) || value FROM json_each(?1)"),
    next_of_any=_next(f"""
  SELECT min(queue) FROM kv_queue INDEXED BY kv_queue_levels
  WHERE {NOT_PLAIN} AND {OF_TASKS}
  UNION ALL
  SELECT (
    SELECT min(queue) FROM kv_queue INDEXED BY kv_queue_levels
    WHERE {NOT_PLAIN} AND kv_queue.queue > queues.queue AND kv_queue.queue < char(2))
  FROM queues WHERE queue IS NOT NULL"""),
    listed=_listed(),
    counts=f"""
SELECT name, status, count(*) FROM (
  SELECT task.name, iif({_RUNS}, 'running', 'pending') AS status
  FROM kv_tasks AS task INDEXED BY kv_tasks_status LEFT JOIN {_MESSAGE}
  WHERE task.status = 'running' AND (?2 IS NULL OR task.name = ?2)
  UNION ALL
  SELECT name, status FROM kv_tasks INDEXED BY kv_tasks_name
  WHERE status <> 'running' AND (?2 IS NULL OR name = ?2))
GROUP BY name, status""",
)

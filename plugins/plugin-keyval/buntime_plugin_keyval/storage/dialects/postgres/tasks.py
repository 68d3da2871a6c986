"""Tasks in PostgreSQL."""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.queue import NOT_PLAIN, OF_TASKS, PLACE
from buntime_plugin_keyval.storage.dialects.tasks import STATUSES, TaskSql

_MESSAGE = "kv_queue AS message ON message.id = chr(1) || task.id"
_RUNS = "(message.lease IS NOT NULL AND message.visible_at > $1::bigint)"
_UNCOUNTED = "CASE WHEN lease IS NOT NULL AND counted = 0 THEN 1 ELSE 0 END"
_ATTEMPTS = f"least(max_attempts, attempts + {_UNCOUNTED})"
_ROW = f"""
task.seq, task.id, task.name,
  CASE WHEN task.status = 'running' AND NOT coalesce({_RUNS}, FALSE) THEN 'pending'
    ELSE task.status END,
  task.payload,
  coalesce(CASE WHEN message.id IS NOT NULL THEN least(message.max_attempts, message.attempts
    + CASE WHEN message.lease IS NOT NULL AND message.counted = 0 THEN 1 ELSE 0 END) END,
    task.attempts),
  task.max_retries, task.backoff, task.timeout_ms, task.priority, task.unique_text, task.sequence,
  task.parent, task.earlier, task.keep_ms, coalesce(message.ready_at, task.ready_at),
  task.created_at, task.started_at, task.completed_at, task.last_error, task.result, task.progress,
  task.runner, task.lease, task.lease_ms, message.lease, message.visible_at
FROM kv_tasks AS task LEFT JOIN {_MESSAGE}"""
_HELD = """EXISTS (
    SELECT 1 FROM kv_queue
    WHERE id = chr(1) || $1::text AND lease IS NOT NULL AND visible_at > $2::bigint)"""
_LEASED = "EXISTS (SELECT 1 FROM kv_queue WHERE id = chr(1) || $1::text AND lease = $2::text)"
_NAMED = "json_array_elements_text(task.earlier::json) AS named (id)"
_BEFORE = "LEFT JOIN kv_tasks AS before ON before.id = named.id"
_BROKEN = "coalesce(before.status, '') IN ('', 'failed', 'cancelled')"


def _next(queues: str) -> str:
    """When the first message of each queue can be delivered; `queues` says how they are found."""
    of_queue = f"SELECT min(priority) FROM kv_queue WHERE {NOT_PLAIN} AND kv_queue.queue ="
    return f"""
WITH RECURSIVE queues (queue) AS ({queues}),
levels (queue, level) AS (
  SELECT queue, ({of_queue} queues.queue) FROM queues WHERE queue IS NOT NULL
  UNION ALL
  SELECT queue, ({of_queue} levels.queue AND priority > level) FROM levels WHERE level IS NOT NULL)
SELECT substr(queue, 2), min(at) FROM (
  SELECT queue, (
    SELECT visible_at FROM kv_queue
    WHERE {NOT_PLAIN} AND kv_queue.queue = levels.queue AND priority = level
      AND attempts < max_attempts
    ORDER BY visible_at LIMIT 1) AS at
  FROM levels WHERE level IS NOT NULL) AS firsts
WHERE at IS NOT NULL GROUP BY queue ORDER BY min(at)"""


def _listed() -> str:
    """Each status has its own way into an index, so that only rows that count are looked at."""
    asked = "(SELECT json_array_elements_text($4::json))"
    last = "seq < $5::bigint"
    told = f"""CASE WHEN EXISTS (
      SELECT 1 FROM kv_queue AS message WHERE message.id = chr(1) || kv_tasks.id AND {_RUNS})
      THEN 'running' ELSE 'pending' END"""
    are_asked = {status: f"'{status}' IN {asked}" for status in STATUSES}
    some = f"({are_asked['running']} OR {are_asked['pending']})"
    are_asked["running"] = f"{some} AND {told} IN {asked}"
    of_status = " UNION ALL ".join(
        f"""
  (SELECT seq FROM kv_tasks
   WHERE {{name}} AND status = '{status}' AND {last} AND {is_asked}
   ORDER BY seq DESC LIMIT $6::bigint + $7::bigint)"""
        for status, is_asked in are_asked.items()
    )
    return f"""
SELECT {_ROW}
WHERE task.seq IN (
  SELECT seq FROM (
    (SELECT seq FROM kv_tasks
     WHERE $3::text IS NOT NULL AND parent = $3::text AND {last}
       AND ($2::text IS NULL OR name = $2::text)
       AND CASE WHEN status = 'running' THEN {told} ELSE status END IN {asked}
     ORDER BY seq DESC LIMIT $6::bigint + $7::bigint)
    UNION ALL {of_status.format(name="$3::text IS NULL AND name = $2::text")}
    UNION ALL {of_status.format(name="$3::text IS NULL AND $2::text IS NULL")}) AS found
  ORDER BY seq DESC LIMIT $6::bigint OFFSET $7::bigint)
ORDER BY task.seq DESC"""


TASKS = TaskSql(
    add="""
INSERT INTO kv_tasks (id, name, status, payload, priority, max_retries, backoff, timeout_ms,
  unique_text, sequence, parent, earlier, keep_ms, ready_at, set_at, created_at)
VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT DO NOTHING""",
    arrange=f"""
INSERT INTO kv_task_order (earlier, later)
SELECT DISTINCT before.id, task.id
FROM kv_tasks AS task CROSS JOIN LATERAL {_NAMED} JOIN kv_tasks AS before ON before.id = named.id
WHERE task.id = $1 AND task.completed_at IS NULL AND before.completed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE id = chr(1) || $1)
ON CONFLICT DO NOTHING""",
    fail_early=f"""
UPDATE kv_tasks AS task SET
  status = 'failed', completed_at = $3::bigint, set_at = $2::bigint,
  forget_at = $2::bigint + keep_ms, (failed_with, last_error) = (
    SELECT named.id, 'the task ' || named.id || ', which comes before it, is '
      || coalesce(before.status, 'not there')
    FROM {_NAMED} {_BEFORE} WHERE {_BROKEN} LIMIT 1)
WHERE id = $1::text AND completed_at IS NULL AND earlier IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE id = chr(1) || $1::text)
  AND EXISTS (SELECT 1 FROM {_NAMED} {_BEFORE} WHERE {_BROKEN})""",
    offer="""
INSERT INTO kv_queue (id, value, ready_at, visible_at, attempts, max_attempts, backoff_schedule,
                      keys_if_undelivered, created_at, set_at, queue, priority)
SELECT chr(1) || id, 'null', ready_at, ready_at, 0, greatest(1, max_retries), '[]', '[]',
  created_at, $2::bigint, chr(1) || name, priority
FROM kv_tasks AS task
WHERE id = $1::text AND completed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM kv_task_order WHERE later = $1::text)
  AND NOT EXISTS (
    SELECT 1 FROM kv_tasks AS before
    WHERE before.name = task.name AND before.sequence = task.sequence
      AND before.completed_at IS NULL AND before.seq < task.seq)
ON CONFLICT (id) DO NOTHING""",
    start="""
UPDATE kv_tasks SET
  status = 'running', lease = $2::text, runner = $4::text, started_at = $5::bigint,
  lease_ms = $6::bigint, progress = NULL
WHERE completed_at IS NULL AND id IN (
  SELECT substr(id, 2) FROM kv_queue
  WHERE queue = $1::text AND lease IS NOT NULL AND visible_at = $3::bigint AND lease = $2::text)""",
    stop="""
UPDATE kv_tasks SET
  status = 'pending', runner = NULL, last_error = coalesce($3::text, last_error)
WHERE id = $1 AND lease = $2 AND completed_at IS NULL AND status <> 'cancelled'""",
    finish=f"""
UPDATE kv_tasks SET
  status = $3, result = $4, last_error = $5, set_at = $6::bigint, completed_at = $7::bigint,
  forget_at = $6::bigint + keep_ms,
  attempts = coalesce(
    (SELECT {_ATTEMPTS} FROM kv_queue WHERE id = chr(1) || $1::text), kv_tasks.attempts)
WHERE id = $1::text AND completed_at IS NULL AND status <> 'cancelled'
  AND ($2::text IS NULL OR {_LEASED})""",
    complete=f"""
UPDATE kv_tasks SET
  status = 'completed', result = told.result, last_error = NULL, set_at = $2::bigint,
  completed_at = $3::bigint, forget_at = $2::bigint + keep_ms, attempts = told.attempts
FROM (
  SELECT told.value ->> 0 AS id, told.value ->> 2 AS result, {_ATTEMPTS} AS attempts
  FROM json_array_elements($1::json) AS told (value) JOIN kv_queue AS message
    ON message.id = chr(1) || (told.value ->> 0) AND message.lease = told.value ->> 1) AS told
WHERE kv_tasks.id = told.id AND completed_at IS NULL AND status <> 'cancelled'""",
    cancel=f"""
UPDATE kv_tasks SET
  status = 'cancelled', result = NULL, last_error = NULL, set_at = $2::bigint,
  completed_at = CASE WHEN NOT {_HELD} THEN $3::bigint END,
  forget_at = CASE WHEN NOT {_HELD} THEN $2::bigint + keep_ms END,
  attempts = coalesce(
    (SELECT {_ATTEMPTS} FROM kv_queue WHERE id = chr(1) || $1::text), kv_tasks.attempts)
WHERE id = $1::text AND completed_at IS NULL AND status <> 'cancelled'""",
    hold=f"""
UPDATE kv_queue SET attempts = {_ATTEMPTS}, max_attempts = {_ATTEMPTS}, counted = 1, unsure = 0
WHERE id = chr(1) || $1::text
  AND EXISTS (SELECT 1 FROM kv_tasks WHERE id = $1::text AND status = 'cancelled')""",
    leave="""
UPDATE kv_tasks SET
  set_at = $3::bigint, completed_at = $4::bigint, forget_at = $3::bigint + keep_ms
WHERE id = $1::text AND status = 'cancelled' AND completed_at IS NULL
  AND ($2::text IS NULL OR lease = $2::text)""",
    progress=f"""
UPDATE kv_tasks SET progress = $3 WHERE id = $1::text AND lease = $2::text AND {_LEASED}""",
    again="""
UPDATE kv_tasks SET
  seq = DEFAULT, status = 'pending', ready_at = $2::bigint, set_at = $2::bigint, attempts = 0,
  started_at = NULL, completed_at = NULL, forget_at = NULL, failed_with = NULL, runner = NULL,
  lease = NULL, progress = NULL, result = NULL
WHERE id = $1 AND status IN ('failed', 'cancelled') AND completed_at IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM kv_tasks AS other
  WHERE other.name = kv_tasks.name AND other.unique_text = kv_tasks.unique_text
    AND other.completed_at IS NULL)""",
    forget="DELETE FROM kv_tasks WHERE id = $1 AND completed_at IS NOT NULL",
    forget_old="""
DELETE FROM kv_tasks WHERE seq IN (
  SELECT seq FROM kv_tasks WHERE forget_at IS NOT NULL AND forget_at <= $1 ORDER BY forget_at
  LIMIT $2)""",
    get=f"SELECT {_ROW} WHERE task.id = $2::text",
    name_of="SELECT name FROM kv_tasks WHERE id = $1",
    get_many=f"SELECT {_ROW} WHERE task.id IN (SELECT json_array_elements_text($2::json))",
    by_text=f"""
SELECT {_ROW}
WHERE task.name = $2::text AND task.unique_text = $3::text AND task.completed_at IS NULL""",
    is_free=numbered("""
NOT EXISTS (
  SELECT 1 FROM kv_tasks
  WHERE name = ? AND unique_text = ? AND completed_at IS NULL AND status = 'cancelled')"""),
    is_own="NOT EXISTS (SELECT 1 FROM kv_tasks WHERE id = $1 AND name <> $2)",
    taken=f"""
SELECT id, payload, attempts, max_retries, timeout_ms FROM (
  SELECT task.id, payload, taken.attempts, max_retries, timeout_ms, place, taken.seq,
    row_number() OVER ready AS number, sum(octet_length(payload)) OVER ready AS bytes
  FROM (
    SELECT substr(id, 2) AS id, least(max_attempts, attempts + 1) AS attempts, {PLACE} AS place, seq
    FROM kv_queue
    WHERE queue = $1 AND lease IS NOT NULL AND visible_at = $3 AND lease = $2) AS taken
  JOIN kv_tasks AS task ON task.id = taken.id
  WINDOW ready AS (ORDER BY place, taken.seq ROWS UNBOUNDED PRECEDING)) AS summed
WHERE number = 1 OR bytes <= $4::bigint ORDER BY place, seq""",
    is_leased=numbered("EXISTS (SELECT 1 FROM kv_queue WHERE id = ? AND lease = ?)"),
    next_of=_next("SELECT chr(1) || json_array_elements_text($1::json)"),
    next_of_any=_next(f"""
  SELECT min(queue) FROM kv_queue
  WHERE {NOT_PLAIN} AND {OF_TASKS}
  UNION ALL
  SELECT (
    SELECT min(queue) FROM kv_queue
    WHERE {NOT_PLAIN} AND kv_queue.queue > queues.queue AND kv_queue.queue < chr(2))
  FROM queues WHERE queue IS NOT NULL"""),
    listed=_listed(),
    counts=f"""
SELECT name, status, count(*) FROM (
  SELECT task.name, CASE WHEN coalesce({_RUNS}, FALSE) THEN 'running' ELSE 'pending' END AS status
  FROM kv_tasks AS task LEFT JOIN {_MESSAGE}
  WHERE task.status = 'running' AND ($2::text IS NULL OR task.name = $2::text)
  UNION ALL
  SELECT name, status FROM kv_tasks
  WHERE status <> 'running' AND ($2::text IS NULL OR name = $2::text)) AS told
GROUP BY name, status""",
)

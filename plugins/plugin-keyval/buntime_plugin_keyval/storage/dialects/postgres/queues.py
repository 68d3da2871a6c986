"""Settings and contents of queues, in PostgreSQL."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.postgres.queue import PLACE, TO_QUEUE, fitting, ready_of
from buntime_plugin_keyval.storage.dialects.postgres.rows import VALUE_SIZE
from buntime_plugin_keyval.storage.dialects.queue import NewRow, ToQueue
from buntime_plugin_keyval.storage.dialects.queues import LOOKED_AT, QueuesSql

_ROW = """seq, id, value,
  least(max_attempts, attempts + CASE WHEN lease IS NOT NULL AND counted = 0 THEN 1 ELSE 0 END),
  max_attempts, priority, ready_at, visible_at, created_at, (lease IS NOT NULL)::int"""
_OPTIONS = "lease_ms, backoff, max_running, rate_count, rate_ms"

_ENQUEUE_ONCE = f"""{TO_QUEUE}
WHERE NOT EXISTS (SELECT 1 FROM kv_message_ids WHERE id = $1::text AND until > $8::bigint)
  AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE id = $1::text)"""
_KEEP_ID = """
INSERT INTO kv_message_ids AS old (id, until) VALUES ($1, $3)
ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE old.until <= $2"""


def _enqueue_once(row: NewRow, to: ToQueue, until: int) -> tuple[Statement, ...]:
    keep = Statement(_KEEP_ID, (row[0], row[7], until))
    return Statement(_ENQUEUE_ONCE, (*row, *to)), keep


# Not those that tasks are in.
_NAMED = "NOT (name > chr(1) AND name < chr(2))"

QUEUES = QueuesSql(
    options=f"SELECT paused, {_OPTIONS} FROM kv_queues WHERE name = $1",
    pause="""
INSERT INTO kv_queues (name, paused) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused""",
    set_options=f"""
INSERT INTO kv_queues (name, paused, {_OPTIONS}) VALUES ($1, 0, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET
  lease_ms = excluded.lease_ms, backoff = excluded.backoff, max_running = excluded.max_running,
  rate_count = excluded.rate_count, rate_ms = excluded.rate_ms""",
    tidy="""
DELETE FROM kv_queues
WHERE name = $1 AND paused = 0 AND lease_ms IS NULL AND backoff IS NULL AND max_running IS NULL
  AND rate_count IS NULL""",
    start="""
INSERT INTO kv_queue_starts (queue, at, earlier, total)
SELECT $1::text, $2::bigint, before, before + given FROM (
  SELECT coalesce((SELECT max(total) FROM kv_queue_starts WHERE queue = $1::text), 0) AS before, (
    SELECT count(*) FROM kv_queue
    WHERE queue = $1::text AND lease IS NOT NULL AND visible_at > $2::bigint
      AND lease = $3::text) AS given) AS counted
WHERE given > 0 AND EXISTS (
  SELECT 1 FROM kv_queues WHERE name = $1::text AND rate_count IS NOT NULL)
ON CONFLICT (queue, at) DO UPDATE SET total = excluded.total""",
    forget_starts="""
DELETE FROM kv_queue_starts
WHERE queue = $1::text
  AND at <= $2::bigint - coalesce((SELECT rate_ms FROM kv_queues WHERE name = $1::text), 0)
  AND at < (SELECT max(at) FROM kv_queue_starts WHERE queue = $1::text)""",
    told=f'SELECT name FROM kv_queues WHERE {_NAMED} ORDER BY name COLLATE "C" LIMIT $1',
    names=f"""
WITH RECURSIVE of_messages (name) AS (
  SELECT min(queue) FROM kv_queue WHERE (queue <> '' OR priority <> 0) AND queue > chr(2)
  UNION ALL
  SELECT (SELECT min(queue) FROM kv_queue WHERE (queue <> '' OR priority <> 0) AND queue > name)
  FROM of_messages WHERE name IS NOT NULL),
of_letters (name) AS (
  SELECT min(queue) FROM kv_dlq
  UNION ALL
  SELECT (SELECT min(queue) FROM kv_dlq WHERE queue > name)
  FROM of_letters WHERE name IS NOT NULL)
SELECT name FROM (
  (SELECT name FROM of_messages LIMIT $1::bigint)
  UNION (SELECT name FROM of_letters LIMIT $1::bigint)
  UNION SELECT name FROM kv_queues
  UNION SELECT '' WHERE EXISTS (SELECT 1 FROM kv_queue WHERE queue = '' AND priority = 0)
    OR EXISTS (SELECT 1 FROM kv_queue WHERE queue = '' AND priority <> 0)) AS named
WHERE name IS NOT NULL AND {_NAMED} ORDER BY name COLLATE "C" LIMIT $1::bigint""",
    messages=f"""
SELECT {_ROW} FROM kv_queue
WHERE seq IN ({
        fitting(
            f'''
  SELECT seq, seq AS place, {VALUE_SIZE} AS size FROM (
    SELECT seq, queue, value FROM kv_queue WHERE seq > $2::bigint
    ORDER BY seq LIMIT {LOOKED_AT}) AS looked_at
  WHERE queue = $1::text ORDER BY seq LIMIT $3::bigint''',
            "$4",
        )
    })
ORDER BY seq""",
    last_looked_at=f"""
SELECT max(seq) FROM (
  SELECT seq FROM kv_queue WHERE seq > $1::bigint ORDER BY seq LIMIT {LOOKED_AT}) AS looked_at""",
    peek=f"""
SELECT {_ROW} FROM kv_queue
WHERE seq IN ({fitting(ready_of("$1", "$2", "$4", "$2::bigint"), "$3")})
ORDER BY {PLACE}, seq""",
    purge="DELETE FROM kv_queue WHERE queue = $1",
    enqueue_once=_enqueue_once,
    forget_ids="""
DELETE FROM kv_message_ids
WHERE id IN (SELECT id FROM kv_message_ids WHERE until <= $1 ORDER BY until LIMIT $2)""",
)

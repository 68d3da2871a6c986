"""Settings and contents of queues, in SQLite."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.queue import NewRow, ToQueue
from buntime_plugin_keyval.storage.dialects.queues import LOOKED_AT, QueuesSql
from buntime_plugin_keyval.storage.dialects.sqlite.queue import (
    ADDED_TO_QUEUE,
    PLACE,
    TO_QUEUE,
    fitting,
    ready_of,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import ADD_LONG_VALUE, VALUE, long_size

_ROW = (
    f"seq, id, {VALUE}, min(max_attempts, attempts + (lease IS NOT NULL AND NOT counted)),"
    " max_attempts, priority, ready_at, visible_at, created_at, lease IS NOT NULL"
)
_OPTIONS = "lease_ms, backoff, max_running, rate_count, rate_ms"

# Nothing is there under the id ?1 at the time ?8, and nothing was sent under it.
_IS_NEW = """
NOT EXISTS (SELECT 1 FROM kv_message_ids WHERE id = ?1 AND until > ?8)
  AND NOT EXISTS (SELECT 1 FROM kv_queue WHERE id = ?1)"""
_ADD_IF_NEW = ADD_LONG_VALUE.replace("VALUES (?)", f"SELECT ?9 WHERE {_IS_NEW}")
_KEEP_ID = """
INSERT INTO kv_message_ids (id, until) VALUES (?1, ?3)
ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE until <= ?2"""


def _enqueue_once(row: NewRow, to: ToQueue, until: int) -> tuple[Statement, ...]:
    value = row[1]
    size = long_size(value)
    keep = Statement(_KEEP_ID, (row[0], row[7], until))
    if not size:
        return Statement(f"{TO_QUEUE}\nWHERE {_IS_NEW}", (*row, *to)), keep
    asked = (row[0], *[None] * 6, row[7])
    added = (row[0], size, *row[2:], *to)
    return (
        Statement(_ADD_IF_NEW, (*asked, value)),
        Statement(f"{ADDED_TO_QUEUE}\nWHERE {_IS_NEW}", added),
        keep,
    )


def _next_name(table: str) -> str:
    return f"(SELECT min(queue) FROM {table} WHERE queue > name)"


# Not those that tasks are in.
_NAMED = "NOT (name > char(1) AND name < char(2))"

QUEUES = QueuesSql(
    options=f"SELECT paused, {_OPTIONS} FROM kv_queues WHERE name = ?",
    pause="""
INSERT INTO kv_queues (name, paused) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused""",
    set_options=f"""
INSERT INTO kv_queues (name, paused, {_OPTIONS}) VALUES (?, 0, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
  lease_ms = excluded.lease_ms, backoff = excluded.backoff, max_running = excluded.max_running,
  rate_count = excluded.rate_count, rate_ms = excluded.rate_ms""",
    tidy="""
DELETE FROM kv_queues
WHERE name = ? AND NOT paused
  AND coalesce(lease_ms, backoff, max_running, rate_count) IS NULL""",
    start="""
INSERT INTO kv_queue_starts (queue, at, earlier, total)
SELECT ?1, ?2, before, before + given FROM (
  SELECT coalesce((SELECT max(total) FROM kv_queue_starts WHERE queue = ?1), 0) AS before, (
    SELECT count(*) FROM kv_queue INDEXED BY kv_queue_leased
    WHERE queue = ?1 AND lease IS NOT NULL AND visible_at > ?2 AND lease = ?3) AS given
  FROM kv_queues WHERE name = ?1 AND rate_count IS NOT NULL)
WHERE given > 0
ON CONFLICT (queue, at) DO UPDATE SET total = excluded.total""",
    forget_starts="""
DELETE FROM kv_queue_starts
WHERE queue = ?1
  AND at <= ?2 - coalesce((SELECT rate_ms FROM kv_queues WHERE name = ?1), 0)
  AND at < (SELECT max(at) FROM kv_queue_starts WHERE queue = ?1)""",
    told=f"SELECT name FROM kv_queues WHERE {_NAMED} ORDER BY name LIMIT ?",
    names=f"""
WITH RECURSIVE of_messages (name) AS (
  SELECT min(queue) FROM kv_queue INDEXED BY kv_queue_levels
  WHERE (queue <> '' OR priority <> 0) AND queue > char(2)
  UNION ALL
  SELECT (
    SELECT min(queue) FROM kv_queue INDEXED BY kv_queue_levels
    WHERE (queue <> '' OR priority <> 0) AND queue > name)
  FROM of_messages WHERE name IS NOT NULL LIMIT ?1),
of_letters (name) AS (
  SELECT min(queue) FROM kv_dlq
  UNION ALL
  SELECT {_next_name("kv_dlq")} FROM of_letters WHERE name IS NOT NULL LIMIT ?1)
SELECT name FROM (
  SELECT name FROM of_messages UNION SELECT name FROM of_letters
  UNION SELECT name FROM kv_queues
  UNION SELECT '' WHERE EXISTS (SELECT 1 FROM kv_queue WHERE queue = '' AND priority = 0)
    OR EXISTS (SELECT 1 FROM kv_queue WHERE queue = '' AND priority <> 0))
WHERE name IS NOT NULL AND {_NAMED} ORDER BY name LIMIT ?1""",
    messages=f"""
SELECT {_ROW} FROM kv_queue
WHERE seq IN ({
        fitting(
            f'''
  SELECT seq, seq AS place FROM (
    SELECT seq, queue FROM kv_queue WHERE seq > ?2 ORDER BY seq LIMIT {LOOKED_AT})
  WHERE queue = ?1 ORDER BY seq LIMIT +?3''',
            "?4",
        )
    })
ORDER BY seq""",
    last_looked_at=f"""
SELECT max(seq) FROM (SELECT seq FROM kv_queue WHERE seq > ? ORDER BY seq LIMIT {LOOKED_AT})""",
    peek=f"""
SELECT {_ROW} FROM kv_queue
WHERE seq IN ({fitting(ready_of("?1", "?2", "?4", "+?2"), "?3")})
ORDER BY {PLACE}, seq""",
    purge="DELETE FROM kv_queue WHERE queue = ?",
    enqueue_once=_enqueue_once,
    forget_ids="""
DELETE FROM kv_message_ids
WHERE id IN (SELECT id FROM kv_message_ids WHERE until <= ? ORDER BY until LIMIT ?)""",
)

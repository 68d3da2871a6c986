"""The queue in PostgreSQL."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.rows import VALUE_SIZE
from buntime_plugin_keyval.storage.dialects.queue import (
    MAX_UNSURE,
    PRIORITY_MS,
    NewRow,
    QueueSql,
    ToQueue,
)

# 1 if a consumer has the message, and that does not count yet.
_UNCOUNTED = "(CASE WHEN lease IS NOT NULL AND counted = 0 THEN 1 ELSE 0 END)"

# The deliveries so far, where it is known that the current one was one.
_ATTEMPTS = f"least(max_attempts, attempts + {_UNCOUNTED})"

_PLAIN = "queue = '' AND priority = 0"
NOT_PLAIN = "(queue <> '' OR priority <> 0)"
OF_TASKS = "queue > chr(1) AND queue < chr(2)"
PLACE = f"ready_at - {PRIORITY_MS} * priority"

# Messages whose lease ran out keep their ready time, so they come before what became ready later.
_READY = f"""
SELECT {{told}} FROM (
  (SELECT seq, ready_at AS place, value FROM kv_queue
   WHERE {_PLAIN} AND lease IS NULL AND visible_at <= $3::bigint AND attempts < max_attempts
   ORDER BY visible_at, seq LIMIT $4::bigint)
  UNION ALL
  SELECT seq, ready_at, value FROM kv_queue
  WHERE queue = '' AND lease IS NOT NULL AND visible_at <= $3::bigint
    AND attempts < max_attempts) AS found
WHERE NOT EXISTS (SELECT 1 FROM kv_queue WHERE {NOT_PLAIN} AND queue = '')
  AND NOT EXISTS (SELECT 1 FROM kv_queues WHERE name = '')
ORDER BY place, seq LIMIT $4::bigint"""


def _levels(queue: str) -> str:
    """The priorities that messages of a queue have, but for plain ones; and NULL."""
    of_queue = f"FROM kv_queue WHERE {NOT_PLAIN} AND queue = {queue}"
    return f"""
WITH RECURSIVE levels (level) AS (
  SELECT min(priority) {of_queue}
  UNION ALL
  SELECT (SELECT min(priority) {of_queue} AND priority > level) FROM levels
  WHERE level IS NOT NULL)"""


def ready_of(now: str, limit: str, queue: str, room: str) -> str:
    """The deliverable messages of a queue, `room` at most; the arguments' spelling in the text is
    given.

    Of each priority the first ones, each by its own path in the index.
    """
    now, limit, queue = f"{now}::bigint", f"{limit}::bigint", f"{queue}::text"
    return f"""
SELECT seq, place, {VALUE_SIZE} AS size FROM ({_levels(queue)}
  SELECT first.* FROM levels CROSS JOIN LATERAL (
    SELECT seq, {PLACE} AS place, value FROM kv_queue
    WHERE {NOT_PLAIN} AND queue = {queue} AND priority = level AND lease IS NULL
      AND visible_at <= {now} AND attempts < max_attempts
    ORDER BY visible_at, seq LIMIT {limit}) AS first
  UNION ALL
  (SELECT seq, ready_at, value FROM kv_queue
   WHERE {_PLAIN} AND {queue} = '' AND lease IS NULL AND visible_at <= {now}
     AND attempts < max_attempts
   ORDER BY visible_at, seq LIMIT {limit})
  UNION ALL
  SELECT seq, {PLACE}, value FROM kv_queue
  WHERE queue = {queue} AND lease IS NOT NULL AND visible_at <= {now}
    AND attempts < max_attempts) AS found
ORDER BY place, seq LIMIT {room}"""


# What its options leave of $4. `least` passes over NULL.
_ROOM = """(SELECT least($4::bigint, (
  SELECT CASE WHEN paused <> 0 THEN 0 ELSE greatest(0, least(
    $4::bigint,
    max_running - (
      SELECT count(*) FROM kv_queue
      WHERE queue = $6::text AND lease IS NOT NULL AND visible_at > $3::bigint),
    rate_count - coalesce((
      SELECT max(total) - min(earlier) FROM kv_queue_starts
      WHERE queue = $6::text AND at > $3::bigint - rate_ms), 0))) END
  FROM kv_queues WHERE name = $6::text)))"""


def fitting(ready: str, most: str) -> str:
    """The ready messages whose values have no more than so many bytes."""
    return f"""
SELECT seq FROM (
  SELECT seq, row_number() OVER ready AS number, sum(size) OVER ready AS bytes
  FROM ({ready}) AS sized
  WINDOW ready AS (ORDER BY place, seq ROWS UNBOUNDED PRECEDING)) AS summed
WHERE number = 1 OR bytes <= {most}::bigint"""


_SIZED = f"seq, place, {VALUE_SIZE} AS size"

_LEASE = f"""
UPDATE kv_queue SET
  lease = $1, visible_at = {{ends}}, set_at = $3::bigint, counted = 0,
  unsure = unsure + {_UNCOUNTED},
  attempts = attempts + (CASE WHEN unsure >= {MAX_UNSURE} THEN {_UNCOUNTED} ELSE 0 END)
WHERE seq IN ({{ready}})
RETURNING {PLACE}, seq, id, value, least(max_attempts, attempts + 1), lease, visible_at"""

# When a lease ends that is of its queue.
_ENDS = """coalesce(
    $3::bigint + (SELECT lease_ms FROM kv_queues WHERE name = $6::text), $2::bigint)"""

_MESSAGE = """
INSERT INTO kv_queue (id, value, ready_at, visible_at, attempts, max_attempts,
                      backoff_schedule, keys_if_undelivered, created_at, set_at)"""
_TO_QUEUE = f"{_MESSAGE.removesuffix(')')}, queue, priority)"

_LETTER_OF = "value, queue, priority, attempts, max_attempts, backoff_schedule, keys_if_undelivered"
_DELIVERY = f"{_ATTEMPTS}, max_attempts, backoff_schedule, keys_if_undelivered"
_LETTER = "id, original_id, value, error_message, attempts, original_created_at, failed_at, queue"

ENQUEUE = f"{_MESSAGE}\nVALUES ($1, $2, $3, $3, 0, $4, $5, $6, $7, $8)"

# Most attempts and backoff: of the message, or if it has none of its own, of its queue.
_OF_QUEUE = (
    "CASE WHEN $11::bigint = 0 THEN (SELECT backoff FROM kv_queues WHERE name = $9::text) END"
)
TO_QUEUE = f"""{_TO_QUEUE}
SELECT $1::text, $2::text, $3::bigint, $3::bigint, 0,
  coalesce(json_array_length(({_OF_QUEUE})::json) + 1, $4::bigint),
  coalesce({_OF_QUEUE}, $5::text), $6::text, $7::bigint, $8::bigint, $9::text, $10::bigint"""


def _enqueue(row: NewRow) -> tuple[Statement]:
    return (Statement(ENQUEUE, row),)


def _enqueue_to(row: NewRow, to: ToQueue) -> tuple[Statement]:
    return (Statement(TO_QUEUE, (*row, *to)),)


QUEUE = QueueSql(
    enqueue=_enqueue,
    enqueue_to=_enqueue_to,
    lease=_LEASE.format(ends="$2", ready=_READY.format(told="seq")),
    lease_several=_LEASE.format(ends="$2", ready=fitting(_READY.format(told=_SIZED), "$5")),
    lease_of=_LEASE.format(ends=_ENDS, ready=fitting(ready_of("$3", "$4", "$6", _ROOM), "$5")),
    count_delivery=f"""
UPDATE kv_queue SET attempts = {_ATTEMPTS}, counted = 1, unsure = 0
WHERE id = $1 AND lease = $2""",
    settle="""
DELETE FROM kv_queue
WHERE id = $1 AND (lease = $2::text OR $2::text IS NULL)
  AND (queue = $3::text OR $3::text IS NULL)""",
    give_back=f"""
UPDATE kv_queue SET
  attempts = {_ATTEMPTS}, unsure = 0,
  counted = CASE WHEN {_ATTEMPTS} >= max_attempts THEN 1 ELSE 0 END,
  lease = CASE WHEN {_ATTEMPTS} < max_attempts THEN NULL ELSE lease END,
  visible_at = CASE WHEN {_ATTEMPTS} < max_attempts THEN ready_at ELSE visible_at END
WHERE id = $1 AND lease = $2""",
    undeliver="""
UPDATE kv_queue SET
  attempts = attempts - counted, counted = 0, lease = NULL, visible_at = ready_at
WHERE id = $1 AND lease = $2""",
    # While a lease is not replaced by another one it can be prolonged, even if its time is over.
    # Its owner has the message.
    extend=f"""
UPDATE kv_queue SET
  visible_at = coalesce(
    $2::bigint + CASE WHEN $5::bigint = 1 THEN (
      SELECT lease_ms FROM kv_queues WHERE name = queue) END, $1::bigint),
  set_at = $2::bigint, attempts = {_ATTEMPTS}, counted = 1, unsure = 0
WHERE id = $3 AND lease IS NOT NULL AND (lease = $4::text OR $4::text IS NULL)""",
    retry=f"""
UPDATE kv_queue SET
  attempts = {_ATTEMPTS}, counted = 0, unsure = 0, lease = NULL,
  ready_at = $1, visible_at = $1, set_at = $2
WHERE id = $3""",
    bury=f"""
INSERT INTO kv_dlq
  (id, original_id, error_message, failed_at, kept_since, original_created_at, {_LETTER_OF})
SELECT $1, id, $2, $3, $4, created_at, value, queue, priority, {_DELIVERY}
FROM kv_queue WHERE id = $5""",
    remove="DELETE FROM kv_queue WHERE id = $1",
    same_delivery=numbered(
        f"""
EXISTS (
  SELECT 1 FROM kv_queue WHERE id = ? AND {_ATTEMPTS} = ? AND visible_at = ?
    AND lease IS NOT DISTINCT FROM ?::text)"""
    ),
    delivery=f"SELECT id, lease, visible_at, value, queue, {_DELIVERY} FROM kv_queue WHERE id = $1",
    exhausted="""
SELECT id FROM kv_queue
WHERE attempts >= max_attempts AND visible_at <= $1 ORDER BY visible_at LIMIT $2""",
    next_visible=f"""
SELECT (
    SELECT visible_at FROM kv_queue WHERE {_PLAIN} AND attempts < max_attempts
    ORDER BY visible_at LIMIT 1),
  (EXISTS (SELECT 1 FROM kv_queue WHERE {NOT_PLAIN} AND queue = '')
   OR EXISTS (SELECT 1 FROM kv_queues WHERE name = ''))::int""",
    next_visible_of=f"""{_levels("$1::text")}
SELECT min(visible_at) FROM (
  SELECT (
      SELECT visible_at FROM kv_queue
      WHERE {NOT_PLAIN} AND queue = $1::text AND priority = level AND attempts < max_attempts
      ORDER BY visible_at LIMIT 1) AS visible_at
  FROM levels
  UNION ALL
  (SELECT visible_at FROM kv_queue
   WHERE {_PLAIN} AND $1::text = '' AND attempts < max_attempts
   ORDER BY visible_at LIMIT 1)) AS firsts""",
    with_messages=f"""
SELECT name FROM json_array_elements_text($1::json) AS asked (name)
WHERE EXISTS (SELECT 1 FROM kv_queue WHERE {NOT_PLAIN} AND queue = asked.name)""",
    next_exhausted="SELECT min(visible_at) FROM kv_queue WHERE attempts >= max_attempts",
    waiting_since="SELECT max(set_at) FROM kv_queue WHERE visible_at > $1",
    held="""
SELECT id, lease FROM kv_queue
WHERE lease IS NOT NULL AND visible_at > $1
  AND id IN (SELECT json_array_elements_text($2::json))""",
    stats=f"""
SELECT (SELECT count(*) FROM kv_queue WHERE NOT ({OF_TASKS})),
       (SELECT count(*) FROM kv_queue
        WHERE lease IS NOT NULL AND visible_at > $1 AND NOT ({OF_TASKS})),
       (SELECT count(*) FROM kv_dlq)""",
    stats_of="""
SELECT (SELECT count(*) FROM kv_queue WHERE queue = $2),
       (SELECT count(*) FROM kv_queue WHERE queue = $2 AND lease IS NOT NULL AND visible_at > $1),
       (SELECT count(*) FROM kv_dlq WHERE queue = $2)""",
    letters=f"""
WITH chosen AS MATERIALIZED (
  SELECT seq, {VALUE_SIZE} AS bytes
  FROM kv_dlq WHERE queue = $4 ORDER BY failed_at DESC, seq DESC LIMIT $1 OFFSET $2),
total AS MATERIALIZED (SELECT sum(bytes)::bigint AS bytes FROM chosen)
SELECT total.bytes,
  {_LETTER.replace(" value,", " CASE WHEN total.bytes <= $3 THEN value ELSE 'null' END,")}
FROM total CROSS JOIN chosen JOIN kv_dlq ON kv_dlq.seq = chosen.seq
ORDER BY failed_at DESC, kv_dlq.seq DESC""",
    letter=f"SELECT {_LETTER} FROM kv_dlq WHERE id = $1",
    requeue=f"""{_TO_QUEUE}
SELECT $1, value, $2, $2, 0, max_attempts, backoff_schedule, keys_if_undelivered, $3, $2,
  queue, priority
FROM kv_dlq WHERE id = $4""",
    forget_letter="DELETE FROM kv_dlq WHERE id = $1",
    forget_letters="DELETE FROM kv_dlq WHERE queue = $1",
    forget_old_letters="""
DELETE FROM kv_dlq
WHERE seq IN (
  SELECT seq FROM kv_dlq WHERE kept_since <= $1 ORDER BY kept_since, seq LIMIT $2)""",
)

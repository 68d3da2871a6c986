"""The queue in SQLite."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.queue import (
    MAX_UNSURE,
    PRIORITY_MS,
    NewRow,
    QueueSql,
    ToQueue,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import (
    ADD_LONG_VALUE,
    ADDED,
    VALUE,
    VALUE_SIZE,
    long_size,
)

# A consumer has the message, and that does not count yet.
_UNCOUNTED = "(lease IS NOT NULL AND NOT counted)"

# The deliveries so far, where it is known that the current one was one.
_ATTEMPTS = f"min(max_attempts, attempts + {_UNCOUNTED})"

_PLAIN = "queue = '' AND priority = 0"
NOT_PLAIN = "(queue <> '' OR priority <> 0)"
OF_TASKS = "queue > char(1) AND queue < char(2)"
PLACE = f"ready_at - {PRIORITY_MS} * priority"

# `+?4`, since SQLite prepares a statement anew for each value of a bare variable behind LIMIT.
# Messages whose lease ran out keep their ready time, so they come before what became ready later.
_READY = f"""
SELECT {{told}} FROM (
  SELECT * FROM (
    SELECT seq, ready_at AS place FROM kv_queue INDEXED BY kv_queue_visible
    WHERE {_PLAIN} AND lease IS NULL AND visible_at <= ?3 AND attempts < max_attempts
    ORDER BY visible_at, seq LIMIT +?4)
  UNION ALL
  SELECT seq, ready_at FROM kv_queue INDEXED BY kv_queue_leased
  WHERE queue = '' AND lease IS NOT NULL AND visible_at <= ?3 AND attempts < max_attempts)
WHERE NOT EXISTS (
  SELECT 1 FROM kv_queue INDEXED BY kv_queue_levels WHERE {NOT_PLAIN} AND queue = '')
  AND NOT EXISTS (SELECT 1 FROM kv_queues WHERE name = '')
ORDER BY place, seq LIMIT +?4"""


def _levels(queue: str) -> str:
    """The priorities that messages of a queue have, but for plain ones; and NULL."""
    of_queue = f"FROM kv_queue INDEXED BY kv_queue_levels WHERE {NOT_PLAIN} AND queue = {queue}"
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
    return f"""
SELECT seq, place FROM ({_levels(queue)}
  SELECT kv_queue.seq, {PLACE} AS place FROM levels CROSS JOIN kv_queue ON kv_queue.seq IN (
    SELECT seq FROM kv_queue INDEXED BY kv_queue_levels
    WHERE {NOT_PLAIN} AND queue = {queue} AND priority = level AND lease IS NULL
      AND visible_at <= {now} AND attempts < max_attempts
    ORDER BY visible_at, seq LIMIT +{limit})
  UNION ALL
  SELECT * FROM (
    SELECT seq, ready_at FROM kv_queue INDEXED BY kv_queue_visible
    WHERE {_PLAIN} AND {queue} = '' AND lease IS NULL AND visible_at <= {now}
      AND attempts < max_attempts
    ORDER BY visible_at, seq LIMIT +{limit})
  UNION ALL
  SELECT seq, {PLACE} FROM kv_queue INDEXED BY kv_queue_leased
  WHERE queue = {queue} AND lease IS NOT NULL AND visible_at <= {now}
    AND attempts < max_attempts)
ORDER BY place, seq LIMIT {room}"""


# What its options leave of ?4.
_ROOM = """(SELECT min(?4, coalesce((
  SELECT iif(paused, 0, max(0, min(
    coalesce(max_running - (
      SELECT count(*) FROM kv_queue INDEXED BY kv_queue_leased
      WHERE queue = ?6 AND lease IS NOT NULL AND visible_at > ?3), ?4),
    coalesce(rate_count - (
      SELECT max(total) - min(earlier) FROM kv_queue_starts
      WHERE queue = ?6 AND at > ?3 - rate_ms), rate_count, ?4))))
  FROM kv_queues WHERE name = ?6), ?4)))"""


def fitting(ready: str, most: str) -> str:
    """The ready messages whose values have no more than so many bytes."""
    return f"""
SELECT seq FROM (
  SELECT seq, row_number() OVER ready AS number, sum(size) OVER ready AS bytes
  FROM (
    SELECT seq, place, (
      SELECT {VALUE_SIZE} FROM kv_queue WHERE kv_queue.seq = ready.seq) AS size
    FROM ({ready}) AS ready)
  WINDOW ready AS (ORDER BY place, seq ROWS UNBOUNDED PRECEDING))
WHERE number = 1 OR bytes <= {most}"""


# The columns of a lease: the place of each message, then the message.
_LEASED = (PLACE, "seq", "id", VALUE, "min(max_attempts, attempts + 1)", "lease", "visible_at")

_LEASE = f"""
UPDATE kv_queue SET
  lease = ?1, visible_at = {{ends}}, set_at = ?3, counted = 0, unsure = unsure + {_UNCOUNTED},
  attempts = attempts + ({_UNCOUNTED} AND unsure >= {MAX_UNSURE})
WHERE seq IN ({{ready}})
RETURNING {", ".join(_LEASED)}"""

# When a lease ends that is of its queue.
_ENDS = "coalesce(?3 + (SELECT lease_ms FROM kv_queues WHERE name = ?6), ?2)"

MESSAGE = """
INSERT INTO kv_queue (id, value, ready_at, visible_at, attempts, max_attempts,
                      backoff_schedule, keys_if_undelivered, created_at, set_at,
                      long_id, long_size)"""
_OF_QUEUE = "(SELECT backoff FROM kv_queues WHERE name = ?9)"
# Most attempts and backoff: of the message, or if it has none of its own, of its queue.
_BY_QUEUE = f"""
  iif(?11, ?4, coalesce(json_array_length({_OF_QUEUE}) + 1, ?4)),
  iif(?11, ?5, coalesce({_OF_QUEUE}, ?5))"""
_TO_QUEUE = f"{MESSAGE.removesuffix(')')}, queue, priority)"

# A letter takes over the value of its message, and the other way round, before that is removed.
_TAKEN_OVER = "value, long_id, long_size, queue, priority"
_LETTER_OF = f"{_TAKEN_OVER}, attempts, max_attempts, backoff_schedule, keys_if_undelivered"
_DELIVERY = f"{_ATTEMPTS}, max_attempts, backoff_schedule, keys_if_undelivered"
_LETTER = "id, original_id, value, error_message, attempts, original_created_at, failed_at, queue"

ENQUEUE = f"{MESSAGE}\nVALUES (?1, ?2, ?3, ?3, 0, ?4, ?5, ?6, ?7, ?8, NULL, 0)"
ENQUEUE_ADDED = f"{MESSAGE}\nVALUES (?1, '', ?3, ?3, 0, ?4, ?5, ?6, ?7, ?8, {ADDED}, ?2)"
TO_QUEUE = f"{_TO_QUEUE}\nSELECT ?1, ?2, ?3, ?3, 0, {_BY_QUEUE}, ?6, ?7, ?8, NULL, 0, ?9, ?10"
ADDED_TO_QUEUE = (
    f"{_TO_QUEUE}\nSELECT ?1, '', ?3, ?3, 0, {_BY_QUEUE}, ?6, ?7, ?8, {ADDED}, ?2, ?9, ?10"
)


def _enqueue(row: NewRow) -> tuple[Statement, ...]:
    value = row[1]
    size = long_size(value)
    if not size:
        return (Statement(ENQUEUE, row),)
    added = (row[0], size, *row[2:])
    return Statement(ADD_LONG_VALUE, (value,)), Statement(ENQUEUE_ADDED, added)


def _enqueue_to(row: NewRow, to: ToQueue) -> tuple[Statement, ...]:
    value = row[1]
    size = long_size(value)
    if not size:
        return (Statement(TO_QUEUE, (*row, *to)),)
    added = (row[0], size, *row[2:], *to)
    return Statement(ADD_LONG_VALUE, (value,)), Statement(ADDED_TO_QUEUE, added)


def _leased(lease: str) -> str:
    members = ", ".join(f"'{number}', {told}" for number, told in enumerate(_LEASED))
    return f"""(
SELECT json_group_array(json_object({members})) FROM kv_queue WHERE lease = '{lease}')"""


QUEUE = QueueSql(
    enqueue=_enqueue,
    enqueue_to=_enqueue_to,
    lease=_LEASE.format(ends="?2", ready=_READY.format(told="seq")),
    lease_several=_LEASE.format(ends="?2", ready=fitting(_READY.format(told="seq, place"), "?5")),
    lease_of=_LEASE.format(ends=_ENDS, ready=fitting(ready_of("?3", "?4", "?6", _ROOM), "?5")),
    count_delivery=f"""
UPDATE kv_queue SET attempts = {_ATTEMPTS}, counted = 1, unsure = 0
WHERE id = ? AND lease = ?""",
    settle="""
DELETE FROM kv_queue
WHERE id = ?1 AND (lease = ?2 OR ?2 IS NULL) AND (queue = ?3 OR ?3 IS NULL)""",
    give_back=f"""
UPDATE kv_queue SET
  attempts = {_ATTEMPTS}, counted = {_ATTEMPTS} >= max_attempts, unsure = 0,
  lease = iif({_ATTEMPTS} < max_attempts, NULL, lease),
  visible_at = iif({_ATTEMPTS} < max_attempts, ready_at, visible_at)
WHERE id = ? AND lease = ?""",
    undeliver="""
UPDATE kv_queue SET
  attempts = attempts - counted, counted = 0, lease = NULL, visible_at = ready_at
WHERE id = ? AND lease = ?""",
    # While a lease is not replaced by another one it can be prolonged, even if its time is over.
    # Its owner has the message.
    extend=f"""
UPDATE kv_queue SET
  visible_at = iif(
    ?5, coalesce(?2 + (SELECT lease_ms FROM kv_queues WHERE name = queue), ?1), ?1),
  set_at = ?2, attempts = {_ATTEMPTS}, counted = 1, unsure = 0
WHERE id = ?3 AND lease IS NOT NULL AND (lease = ?4 OR ?4 IS NULL)""",
    retry=f"""
UPDATE kv_queue SET
  attempts = {_ATTEMPTS}, counted = 0, unsure = 0, lease = NULL,
  ready_at = ?1, visible_at = ?1, set_at = ?2
WHERE id = ?3""",
    bury=f"""
INSERT INTO kv_dlq
  (id, original_id, error_message, failed_at, kept_since, original_created_at, {_LETTER_OF})
SELECT ?, id, ?, ?, ?, created_at, {_TAKEN_OVER}, {_DELIVERY} FROM kv_queue WHERE id = ?""",
    remove="DELETE FROM kv_queue WHERE id = ?",
    same_delivery=f"""
EXISTS (
  SELECT 1 FROM kv_queue WHERE id = ? AND {_ATTEMPTS} = ? AND visible_at = ? AND lease IS ?)""",
    delivery=f"""
SELECT id, lease, visible_at, {VALUE}, queue, {_DELIVERY} FROM kv_queue WHERE id = ?""",
    exhausted="""
SELECT id FROM kv_queue
WHERE attempts >= max_attempts AND visible_at <= ? ORDER BY visible_at LIMIT ?""",
    next_visible=f"""
SELECT (
    SELECT visible_at FROM kv_queue INDEXED BY kv_queue_visible
    WHERE {_PLAIN} AND attempts < max_attempts ORDER BY visible_at LIMIT 1),
  EXISTS (SELECT 1 FROM kv_queue INDEXED BY kv_queue_levels WHERE {NOT_PLAIN} AND queue = '')
  OR EXISTS (SELECT 1 FROM kv_queues WHERE name = '')""",
    next_visible_of=f"""{_levels("?1")}
SELECT min(visible_at) FROM (
  SELECT (
      SELECT visible_at FROM kv_queue INDEXED BY kv_queue_levels
      WHERE {NOT_PLAIN} AND queue = ?1 AND priority = level AND attempts < max_attempts
      ORDER BY visible_at LIMIT 1) AS visible_at
  FROM levels
  UNION ALL
  SELECT * FROM (
    SELECT visible_at FROM kv_queue INDEXED BY kv_queue_visible
    WHERE {_PLAIN} AND ?1 = '' AND attempts < max_attempts ORDER BY visible_at LIMIT 1))""",
    with_messages=f"""
SELECT value FROM json_each(?) AS asked WHERE EXISTS (
  SELECT 1 FROM kv_queue INDEXED BY kv_queue_levels WHERE {NOT_PLAIN} AND queue = asked.value)""",
    next_exhausted="SELECT min(visible_at) FROM kv_queue WHERE attempts >= max_attempts",
    waiting_since="SELECT max(set_at) FROM kv_queue WHERE visible_at > ?",
    held="""
SELECT id, lease FROM kv_queue
WHERE lease IS NOT NULL AND visible_at > ? AND id IN (SELECT value FROM json_each(?))""",
    stats=f"""
SELECT (SELECT count(*) FROM kv_queue) - (
         SELECT count(*) FROM kv_queue INDEXED BY kv_queue_levels
         WHERE {NOT_PLAIN} AND {OF_TASKS}),
       (SELECT count(*) FROM kv_queue INDEXED BY kv_queue_leased
        WHERE lease IS NOT NULL AND visible_at > ? AND NOT ({OF_TASKS})),
       (SELECT count(*) FROM kv_dlq)""",
    stats_of=f"""
SELECT (
    SELECT count(*) FROM kv_queue INDEXED BY kv_queue_visible WHERE {_PLAIN} AND ?2 = '') + (
    SELECT count(*) FROM kv_queue INDEXED BY kv_queue_levels WHERE {NOT_PLAIN} AND queue = ?2),
  (SELECT count(*) FROM kv_queue INDEXED BY kv_queue_leased
   WHERE queue = ?2 AND lease IS NOT NULL AND visible_at > ?1),
  (SELECT count(*) FROM kv_dlq WHERE queue = ?2)""",
    letters=f"""
WITH chosen AS MATERIALIZED (
  SELECT seq, {VALUE_SIZE} AS bytes
  FROM kv_dlq WHERE queue = ?4 ORDER BY failed_at DESC, seq DESC LIMIT ?1 OFFSET ?2),
total AS MATERIALIZED (SELECT sum(bytes) AS bytes FROM chosen)
SELECT total.bytes, {_LETTER.replace(" value,", f" iif(total.bytes <= ?3, {VALUE}, 'null'),")}
FROM total CROSS JOIN chosen CROSS JOIN kv_dlq ON kv_dlq.seq = chosen.seq
ORDER BY failed_at DESC, kv_dlq.seq DESC""",
    letter=f"SELECT {_LETTER.replace(' value,', f' {VALUE},')} FROM kv_dlq WHERE id = ?",
    requeue=f"""{_TO_QUEUE}
SELECT ?1, value, ?2, ?2, 0, max_attempts, backoff_schedule, keys_if_undelivered, ?3, ?2,
  long_id, long_size, queue, priority
FROM kv_dlq WHERE id = ?4""",
    forget_letter="DELETE FROM kv_dlq WHERE id = ?",
    forget_letters="DELETE FROM kv_dlq WHERE queue = ?",
    forget_old_letters="""
DELETE FROM kv_dlq
WHERE seq IN (
  SELECT seq FROM kv_dlq WHERE kept_since <= ? ORDER BY kept_since, seq LIMIT ?)""",
    leased=_leased,
)

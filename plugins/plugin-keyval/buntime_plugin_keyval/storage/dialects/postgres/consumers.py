"""Consumers of the stream in PostgreSQL.

As with locks, whatever changes them has the lock that all commits take first.
"""

from buntime_plugin_keyval.storage.dialects.consumers import LETTER, ConsumerSql
from buntime_plugin_keyval.storage.dialects.log import ACTION
from buntime_plugin_keyval.storage.dialects.postgres.log import LAST

_STATE = f"""
SELECT consumer.name, position, updated_at, failed_position, attempts, error, held.owner,
  held.expires_at, greatest(0, {LAST} - position), (
    SELECT min(letter.position) FROM kv_consumer_letters AS letter
    WHERE letter.consumer = consumer.name AND letter.requeued = 1)
FROM kv_consumers AS consumer
LEFT JOIN kv_locks AS held
  ON held.name = chr(1) || consumer.name AND held.expires_at > {{now}}::bigint"""

CONSUMERS = ConsumerSql(
    begin="""
INSERT INTO kv_consumers (name, position, updated_at, attempts)
SELECT $1::text, coalesce(trimmed_seq, 0), $2::bigint, 0 FROM kv_log
ON CONFLICT (name) DO NOTHING""",
    holds=f"""EXISTS (
  SELECT 1 FROM kv_locks
  WHERE name = $1 AND token = $2 AND ($3::text IS NULL OR owner = $3::text) AND expires_at > $4)
AND $5::bigint <= {LAST}""",
    advance="""
UPDATE kv_consumers SET position = greatest(position, $2::bigint), updated_at = $3
WHERE name = $1""",
    settle="""
DELETE FROM kv_consumer_letters WHERE consumer = $1 AND position = $2 AND requeued = 1""",
    fail="""
UPDATE kv_consumers SET
  position = greatest(position, $2::bigint - 1),
  attempts = CASE WHEN failed_position = $2::bigint THEN attempts + 1 ELSE 1 END,
  failed_position = $2::bigint, error = $3, updated_at = $4
WHERE name = $1 AND position < $2::bigint""",
    bury=f"""
INSERT INTO kv_consumer_letters (
  consumer, position, key, action, versionstamp, at, revision, type, value, error, attempts,
  failed_at, requeued)
SELECT name, seq, key, {ACTION}, versionstamp, at, revision, type, value, error, attempts,
  $4::bigint, 0
FROM kv_changes JOIN kv_consumers ON name = $1
WHERE seq = $2::bigint AND failed_position = $2::bigint AND attempts >= $3::bigint
ON CONFLICT (consumer, position) DO UPDATE SET
  error = excluded.error, attempts = excluded.attempts, failed_at = excluded.failed_at,
  requeued = 0""",
    skip="""
UPDATE kv_consumers SET position = greatest(position, $2::bigint)
WHERE name = $1 AND failed_position = $2::bigint AND attempts >= $3::bigint
  AND EXISTS (SELECT 1 FROM kv_consumer_letters AS letter
    WHERE letter.consumer = $1 AND letter.position = $2::bigint)""",
    fail_again="""
UPDATE kv_consumer_letters SET
  error = $3, attempts = attempts + 1, failed_at = $5,
  requeued = CASE WHEN attempts + 1 < $4::bigint THEN 1 ELSE 0 END
WHERE consumer = $1 AND position = $2 AND requeued = 1""",
    move="""
INSERT INTO kv_consumers (name, position, updated_at, attempts) VALUES ($1, $2, $3, 0)
ON CONFLICT (name) DO UPDATE SET
  position = excluded.position, updated_at = excluded.updated_at, failed_position = NULL,
  attempts = 0, error = NULL""",
    unlock="DELETE FROM kv_locks WHERE name = $1",
    remove="DELETE FROM kv_consumers WHERE name = $1",
    state=_STATE.format(now="$2") + "\nWHERE consumer.name = $1",
    states=_STATE.format(now="$3")
    + """
WHERE consumer.name >= $1 AND ($2::text IS NULL OR consumer.name < $2::text)
ORDER BY consumer.name LIMIT $4""",
    letters=f"""
SELECT {LETTER} FROM kv_consumer_letters WHERE consumer = $1 AND position > $2
ORDER BY position LIMIT $3""",
    letter=f"SELECT {LETTER} FROM kv_consumer_letters WHERE consumer = $1 AND position = $2",
    letter_values="""
SELECT position, key, value FROM kv_consumer_letters
WHERE consumer = $1 AND position >= $2 AND position <= $3 AND value IS NOT NULL""",
    requeue="""
UPDATE kv_consumer_letters SET requeued = 1, attempts = 0
WHERE consumer = $1 AND ($2::bigint IS NULL OR position = $2::bigint) AND requeued = 0""",
    remove_letters="""
DELETE FROM kv_consumer_letters
WHERE consumer = $1 AND ($2::bigint IS NULL OR position = $2::bigint)""",
    forget_values="""
UPDATE kv_consumer_letters SET value = NULL
WHERE key >= $1 AND key < $2 AND value IS NOT NULL
  AND NOT starts_with(value, $3::text) AND NOT starts_with(value, $4::text)""",
    held="SELECT min(position) FROM kv_consumers WHERE updated_at >= $1",
)

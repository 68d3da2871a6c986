"""Consumers of the stream in SQLite."""

from buntime_plugin_keyval.storage.dialects.consumers import LETTER, ConsumerSql
from buntime_plugin_keyval.storage.dialects.log import ACTION

LAG = "max(0, coalesce((SELECT max(seq) FROM kv_changes), 0) - position)"
"""The number of changes behind a position: this dialect has no gaps."""

_STATE = f"""
SELECT consumer.name, position, updated_at, failed_position, attempts, error, lock.owner,
  lock.expires_at, {LAG}, (
    SELECT min(letter.position) FROM kv_consumer_letters AS letter
    WHERE letter.consumer = consumer.name AND letter.requeued = 1)
FROM kv_consumers AS consumer
LEFT JOIN kv_locks AS lock ON lock.name = char(1) || consumer.name AND lock.expires_at > {{now}}"""

CONSUMERS = ConsumerSql(
    begin="""
INSERT INTO kv_consumers (name, position, updated_at, attempts)
SELECT ?, coalesce(trimmed_seq, 0), ?, 0 FROM kv_log WHERE TRUE
ON CONFLICT (name) DO NOTHING""",
    holds="""EXISTS (
  SELECT 1 FROM kv_locks
  WHERE name = ?1 AND token = ?2 AND (?3 IS NULL OR owner = ?3) AND expires_at > ?4)
AND ?5 <= coalesce((SELECT max(seq) FROM kv_changes), 0)""",
    advance="""
UPDATE kv_consumers SET position = max(position, ?2), updated_at = ?3 WHERE name = ?1""",
    settle="""
DELETE FROM kv_consumer_letters WHERE consumer = ? AND position = ? AND requeued = 1""",
    fail="""
UPDATE kv_consumers SET
  position = max(position, ?2 - 1), attempts = iif(failed_position = ?2, attempts + 1, 1),
  failed_position = ?2, error = ?3, updated_at = ?4
WHERE name = ?1 AND position < ?2""",
    bury=f"""
INSERT INTO kv_consumer_letters (
  consumer, position, key, action, versionstamp, at, revision, type, value, error, attempts,
  failed_at, requeued)
SELECT name, seq, key, {ACTION}, versionstamp, at, revision, type, value, error, attempts, ?4, 0
FROM kv_changes JOIN kv_consumers ON name = ?1
WHERE seq = ?2 AND failed_position = ?2 AND attempts >= ?3
ON CONFLICT (consumer, position) DO UPDATE SET
  error = excluded.error, attempts = excluded.attempts, failed_at = excluded.failed_at,
  requeued = 0""",
    skip="""
UPDATE kv_consumers SET position = max(position, ?2)
WHERE name = ?1 AND failed_position = ?2 AND attempts >= ?3
  AND EXISTS (SELECT 1 FROM kv_consumer_letters AS letter
    WHERE letter.consumer = ?1 AND letter.position = ?2)""",
    fail_again="""
UPDATE kv_consumer_letters SET
  error = ?3, attempts = attempts + 1, requeued = iif(attempts + 1 < ?4, 1, 0), failed_at = ?5
WHERE consumer = ?1 AND position = ?2 AND requeued = 1""",
    move="""
INSERT INTO kv_consumers (name, position, updated_at, attempts) VALUES (?, ?, ?, 0)
ON CONFLICT (name) DO UPDATE SET
  position = excluded.position, updated_at = excluded.updated_at, failed_position = NULL,
  attempts = 0, error = NULL""",
    unlock="DELETE FROM kv_locks WHERE name = ?",
    remove="DELETE FROM kv_consumers WHERE name = ?",
    state=_STATE.format(now="?2") + "\nWHERE consumer.name = ?1",
    states=_STATE.format(now="?3")
    + """
WHERE consumer.name >= ?1 AND (?2 IS NULL OR consumer.name < ?2)
ORDER BY consumer.name LIMIT ?4""",
    letters=f"""
SELECT {LETTER} FROM kv_consumer_letters WHERE consumer = ? AND position > ?
ORDER BY position LIMIT ?""",
    letter=f"SELECT {LETTER} FROM kv_consumer_letters WHERE consumer = ? AND position = ?",
    letter_values="""
SELECT position, key, value FROM kv_consumer_letters
WHERE consumer = ? AND position >= ? AND position <= ? AND value IS NOT NULL""",
    requeue="""
UPDATE kv_consumer_letters SET requeued = 1, attempts = 0
WHERE consumer = ?1 AND (?2 IS NULL OR position = ?2) AND requeued = 0""",
    remove_letters="""
DELETE FROM kv_consumer_letters WHERE consumer = ?1 AND (?2 IS NULL OR position = ?2)""",
    forget_values="""
UPDATE kv_consumer_letters SET value = NULL
WHERE key >= ?1 AND key < ?2 AND value IS NOT NULL
  AND substr(value, 1, length(?3)) <> ?3 AND substr(value, 1, length(?4)) <> ?4""",
    held="SELECT min(position) FROM kv_consumers WHERE updated_at >= ?",
)

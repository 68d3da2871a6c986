"""Locks in SQLite."""

from buntime_plugin_keyval.storage.dialects.locks import LockSql
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import NOTED_STAMP

_LOCK = "INSERT INTO kv_locks (name, owner, token, acquired_at, expires_at, metadata)"
_NAMES = "(SELECT value FROM json_each(?1))"
_HELD = "name, owner, token, acquired_at, expires_at, metadata FROM kv_locks"

_OVER = """
ON CONFLICT (name) DO UPDATE SET
  owner = excluded.owner, token = excluded.token, acquired_at = excluded.acquired_at,
  expires_at = excluded.expires_at, metadata = excluded.metadata"""

# `{names}` is what names are compared with: one, or those of an array, which takes longer.
_GRANT = f"""{_LOCK}
SELECT first.name, first.owner, {NOTED_STAMP}, ?2, ?2 + first.duration, first.metadata
FROM kv_lock_waiters AS first
WHERE first.name {{names}} AND first.until > ?2
  AND NOT EXISTS (
    SELECT 1 FROM kv_lock_waiters AS earlier
    WHERE earlier.name = first.name AND earlier.seq < first.seq AND earlier.until > ?2)
  AND NOT EXISTS (
    SELECT 1 FROM kv_locks AS lock WHERE lock.name = first.name AND lock.expires_at > ?2)
{_OVER}"""
_SERVED = """
DELETE FROM kv_lock_waiters
WHERE name {names} AND owner = (
  SELECT lock.owner FROM kv_locks AS lock
  WHERE lock.name = kv_lock_waiters.name AND lock.expires_at > ?2)"""

LOCKS = LockSql(
    prolong="""
UPDATE kv_locks SET expires_at = ?4 + ?5, metadata = coalesce(?3, metadata)
WHERE name = ?1 AND owner = ?2 AND expires_at > ?4""",
    acquire=f"""{_LOCK}
SELECT ?1, ?2, {NOTED_STAMP}, ?4, ?4 + ?5, ?3
WHERE NOT EXISTS (
  SELECT 1 FROM kv_lock_waiters
  WHERE name = ?1 AND until > ?4 AND owner <> ?2 AND seq < coalesce(
    (SELECT seq FROM kv_lock_waiters WHERE name = ?1 AND owner = ?2 AND until > ?4),
    9223372036854775807))
{_OVER}
WHERE kv_locks.expires_at <= ?4""",
    steal=f"{_LOCK}\nVALUES (?1, ?2, {NOTED_STAMP}, ?4, ?4 + ?5, ?3){_OVER}",
    renew="""
UPDATE kv_locks SET expires_at = ?5
WHERE name = ?1 AND owner = ?2 AND token = ?3 AND expires_at > ?4""",
    release="""
DELETE FROM kv_locks
WHERE name = ?1 AND owner = ?2 AND (token = ?3 OR ?3 IS NULL) AND expires_at > ?4
  AND (token >= ?5 OR ?5 IS NULL) AND (expires_at = ?6 OR ?6 IS NULL)""",
    grant=_GRANT.format(names=f"IN {_NAMES}"),
    served=_SERVED.format(names=f"IN {_NAMES}"),
    grant_one=_GRANT.format(names="= ?1"),
    served_one=_SERVED.format(names="= ?1"),
    served_owner="""
DELETE FROM kv_lock_waiters
WHERE name = ?1 AND owner = ?2
  AND EXISTS (SELECT 1 FROM kv_locks WHERE name = ?1 AND owner = ?2 AND expires_at > ?3)""",
    leave="""
DELETE FROM kv_lock_waiters
WHERE name = ?1 AND owner = ?2 AND (process = ?3 OR ?3 IS NULL)""",
    lapse="DELETE FROM kv_lock_waiters WHERE name = ? AND owner = ? AND until <= ?",
    enlist="""
INSERT INTO kv_lock_waiters (name, owner, metadata, duration, process, until)
SELECT ?1, ?2, ?3, ?4, ?5, ?7
WHERE NOT EXISTS (SELECT 1 FROM kv_locks WHERE name = ?1 AND owner = ?2 AND expires_at > ?6)
ON CONFLICT (name, owner) DO UPDATE SET
  metadata = excluded.metadata, duration = excluded.duration, process = excluded.process,
  until = excluded.until""",
    stay="""
UPDATE kv_lock_waiters SET until = ?2
WHERE process = ?1 AND seq IN (
  SELECT place.seq FROM json_each(?3) AS call
  JOIN kv_lock_waiters AS place
    ON place.name = json_extract(call.value, '$[0]')
    AND place.owner = json_extract(call.value, '$[1]'))""",
    holds="EXISTS (SELECT 1 FROM kv_locks WHERE name = ? AND token = ? AND expires_at > ?)",
    held=f"SELECT {_HELD} WHERE name IN {_NAMES} AND expires_at > ?2",
    listed=f"""
SELECT {_HELD} WHERE name >= ?1 AND (?2 IS NULL OR name < ?2) AND expires_at > ?3
ORDER BY name LIMIT ?4""",
    line=f"""
SELECT line.name, line.many, (SELECT owner FROM kv_lock_waiters WHERE seq = line.first)
FROM (
  SELECT name, count(*) AS many, min(seq) AS first FROM kv_lock_waiters
  WHERE name IN {_NAMES} AND until > ?2 GROUP BY name) AS line""",
    forget="""
DELETE FROM kv_locks WHERE name IN (SELECT name FROM kv_locks WHERE expires_at <= ? LIMIT ?)""",
    forget_places="""
DELETE FROM kv_lock_waiters
WHERE seq IN (SELECT seq FROM kv_lock_waiters WHERE until <= ? LIMIT ?)""",
)

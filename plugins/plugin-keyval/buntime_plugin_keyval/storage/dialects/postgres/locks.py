"""Locks in PostgreSQL.

Every change of them holds the lock that all commits take first, so that nothing happens between a
look and the reaction to it.
"""

from buntime_plugin_keyval.storage.dialects.locks import LockSql
from buntime_plugin_keyval.storage.dialects.postgres.stamps import NOTED_STAMP

_LOCK = "INSERT INTO kv_locks AS old (name, owner, token, acquired_at, expires_at, metadata)"
_NAMES = "(SELECT json_array_elements_text($1::json))"
_HELD = "name, owner, token, acquired_at, expires_at, metadata FROM kv_locks"

_OVER = """
ON CONFLICT (name) DO UPDATE SET
  owner = excluded.owner, token = excluded.token, acquired_at = excluded.acquired_at,
  expires_at = excluded.expires_at, metadata = excluded.metadata"""
_GIVEN = f"$1::text, $2::text, {NOTED_STAMP}, $4::bigint, $4::bigint + $5::bigint, $3::text"

# `{names}` is what names are compared with: one, or those of an array.
_GRANT = f"""{_LOCK}
SELECT head.name, head.owner, {NOTED_STAMP}, $2::bigint, $2::bigint + head.duration, head.metadata
FROM kv_lock_waiters AS head
WHERE head.name {{names}} AND head.until > $2
  AND NOT EXISTS (
    SELECT 1 FROM kv_lock_waiters AS earlier
    WHERE earlier.name = head.name AND earlier.seq < head.seq AND earlier.until > $2)
  AND NOT EXISTS (
    SELECT 1 FROM kv_locks AS held WHERE held.name = head.name AND held.expires_at > $2)
{_OVER}"""
_SERVED = """
DELETE FROM kv_lock_waiters
WHERE name {names} AND owner = (
  SELECT held.owner FROM kv_locks AS held
  WHERE held.name = kv_lock_waiters.name AND held.expires_at > $2::bigint)"""

LOCKS = LockSql(
    prolong="""
UPDATE kv_locks SET
  expires_at = $4::bigint + $5::bigint, metadata = coalesce($3::text, metadata)
WHERE name = $1 AND owner = $2 AND expires_at > $4::bigint""",
    acquire=f"""{_LOCK}
SELECT {_GIVEN}
WHERE NOT EXISTS (
  SELECT 1 FROM kv_lock_waiters
  WHERE name = $1 AND until > $4 AND owner <> $2 AND seq < coalesce(
    (SELECT seq FROM kv_lock_waiters WHERE name = $1 AND owner = $2 AND until > $4),
    9223372036854775807))
{_OVER}
WHERE old.expires_at <= $4""",
    steal=f"{_LOCK}\nVALUES ({_GIVEN}){_OVER}",
    renew="""
UPDATE kv_locks SET expires_at = $5
WHERE name = $1 AND owner = $2 AND token = $3 AND expires_at > $4""",
    release="""
DELETE FROM kv_locks
WHERE name = $1 AND owner = $2 AND (token = $3::text OR $3::text IS NULL) AND expires_at > $4
  AND (token >= $5::text OR $5::text IS NULL)
  AND (expires_at = $6::bigint OR $6::bigint IS NULL)""",
    grant=_GRANT.format(names=f"IN {_NAMES}"),
    served=_SERVED.format(names=f"IN {_NAMES}"),
    grant_one=_GRANT.format(names="= $1::text"),
    served_one=_SERVED.format(names="= $1::text"),
    served_owner="""
DELETE FROM kv_lock_waiters
WHERE name = $1 AND owner = $2 AND EXISTS (
  SELECT 1 FROM kv_locks WHERE name = $1 AND owner = $2 AND expires_at > $3::bigint)""",
    leave="""
DELETE FROM kv_lock_waiters
WHERE name = $1 AND owner = $2 AND (process = $3::text OR $3::text IS NULL)""",
    lapse="DELETE FROM kv_lock_waiters WHERE name = $1 AND owner = $2 AND until <= $3",
    enlist="""
INSERT INTO kv_lock_waiters (name, owner, metadata, duration, process, until)
SELECT $1::text, $2::text, $3::text, $4::bigint, $5::text, $7::bigint
WHERE NOT EXISTS (
  SELECT 1 FROM kv_locks WHERE name = $1 AND owner = $2 AND expires_at > $6::bigint)
ON CONFLICT (name, owner) DO UPDATE SET
  metadata = excluded.metadata, duration = excluded.duration, process = excluded.process,
  until = excluded.until""",
    stay="""
UPDATE kv_lock_waiters AS place SET until = $2
FROM json_array_elements($3::json) AS call
WHERE place.process = $1 AND place.name = call ->> 0 AND place.owner = call ->> 1""",
    holds="EXISTS (SELECT 1 FROM kv_locks WHERE name = $1 AND token = $2 AND expires_at > $3)",
    held=f"SELECT {_HELD} WHERE name IN {_NAMES} AND expires_at > $2::bigint",
    listed=f"""
SELECT {_HELD}
WHERE name >= $1 AND ($2::text IS NULL OR name < $2::text) AND expires_at > $3
ORDER BY name LIMIT $4""",
    line=f"""
SELECT line.name, line.many, (SELECT owner FROM kv_lock_waiters WHERE seq = line.head)
FROM (
  SELECT name, count(*) AS many, min(seq) AS head FROM kv_lock_waiters
  WHERE name IN {_NAMES} AND until > $2::bigint GROUP BY name) AS line""",
    forget="""
DELETE FROM kv_locks WHERE name IN (SELECT name FROM kv_locks WHERE expires_at <= $1 LIMIT $2)""",
    forget_places="""
DELETE FROM kv_lock_waiters
WHERE seq IN (SELECT seq FROM kv_lock_waiters WHERE until <= $1 LIMIT $2)""",
)

"""Every SQL statement of the store, on one screen.

A row is live while `expires_at` is NULL or later than now: every statement says so itself, since
the sweeper comes after the fact.
"""

from __future__ import annotations

LIVE = "(expires_at IS NULL OR expires_at > ?)"
IN_RANGE = "key >= ? AND key < ?"

GET = f"SELECT value, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}"

# An entry as a JSON object: what is in it, and the whole of it.
ENTRY_MEMBERS = (
    """'{"key":' || key_json || ',"value":' || value"""
    """ || ',"versionstamp":"' || versionstamp || '"'"""
)
ENTRY_JSON = f"{ENTRY_MEMBERS} || '}}'"

# The keys go in for the %s: as many placeholders as `reads` rounds up to, or `KEYS_OF_JSON`.
GET_MANY = f"""
SELECT key, value, versionstamp, expires_at FROM kv_entries WHERE key IN (%s) AND {LIVE}"""
GET_MANY_JSON = f"SELECT key, {ENTRY_JSON} FROM kv_entries WHERE key IN (%s) AND {LIVE}"

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than an engine allows.
KEYS_OF_JSON = "SELECT unhex(value) FROM json_each(?)"

# `{order}` is ASC or DESC, `{where}` is TRUE or a compiled filter.
LIST = f"""
SELECT key, value, versionstamp FROM kv_entries
WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?"""

# The same as JSON text, joined by SQLite: a hundred entries in one row, none touched by Python.
LIST_JSON = f"""
SELECT coalesce(group_concat(entry, ','), '') FROM (
  SELECT {{entry}} AS entry FROM kv_entries
  WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?)"""

PAGE_JSON = f"""
SELECT coalesce(group_concat(entry, ','), ''), {{last}}(key), count(*) FROM (
  SELECT key, {{entry}} AS entry FROM kv_entries
  WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?)"""

ANY_IN_RANGE = f"""
SELECT EXISTS (SELECT 1 FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}})"""

# All minus the expired ones, both from narrow indexes: the entries themselves are wide.
COUNT_ALL = f"""
SELECT (SELECT count(*) FROM kv_entries INDEXED BY kv_entries_key WHERE {IN_RANGE})
     - (SELECT count(*) FROM kv_entries INDEXED BY kv_entries_expiry
        WHERE expires_at <= ? AND {IN_RANGE})"""

COUNT = f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"

COUNT_UP_TO = f"SELECT count(*) FROM (SELECT 1 FROM kv_entries WHERE {IN_RANGE} LIMIT ?)"

# The condition of a guard: the live versionstamp of a key is what the decision saw.
UNCHANGED = f"(SELECT versionstamp FROM kv_entries WHERE key = ? AND {LIVE}) IS ?"

PUT = """
INSERT INTO kv_entries (key, key_json, value, versionstamp, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, versionstamp = excluded.versionstamp, expires_at = excluded.expires_at"""

LOG_PUT = "INSERT INTO kv_changes (key, versionstamp, operation, at) VALUES (?, ?, 'set', ?)"

LOG_REMOVE = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, ?, 'delete', ? FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key"""

REMOVE = f"DELETE FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"

_EXPIRED = "expires_at <= ? ORDER BY expires_at, key LIMIT ?"

LOG_EXPIRED = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, ?, 'expire', ? FROM kv_entries WHERE {_EXPIRED}"""

REMOVE_EXPIRED = (
    f"DELETE FROM kv_entries WHERE key IN (SELECT key FROM kv_entries WHERE {_EXPIRED})"
)

NEXT_EXPIRY = "SELECT min(expires_at) FROM kv_entries WHERE expires_at IS NOT NULL"

CHANGES = """
SELECT seq, key, operation, versionstamp, at FROM kv_changes WHERE seq > ? ORDER BY seq LIMIT ?"""

CHANGES_OF_PREFIX = f"""
SELECT seq, key, operation, versionstamp, at FROM kv_changes
WHERE seq > ? AND {IN_RANGE} ORDER BY seq LIMIT ?"""

# Two subqueries: each takes one end of the table, min and max in one query would read all of it.
CHANGE_BOUNDS = """
SELECT coalesce((SELECT min(seq) FROM kv_changes), 0),
       coalesce((SELECT max(seq) FROM kv_changes), 0)"""

# Everything before the first row that is young enough and among the newest so many, in bounded
# steps. Both bounds are at most max(seq), so the newest row stays.
TRIM_CHANGES = """
DELETE FROM kv_changes WHERE seq < min(
  (SELECT min(seq) FROM kv_changes) + ?,
  max(
    (SELECT max(seq) FROM kv_changes) - ? + 1,
    coalesce(
      (SELECT seq FROM kv_changes WHERE at >= ? ORDER BY seq LIMIT 1),
      (SELECT max(seq) FROM kv_changes))))"""

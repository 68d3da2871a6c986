"""Every SQL statement of the store, on one screen.

A row is live while `expires_at` is NULL or later than now: every statement says so itself, since
the sweeper comes after the fact.
"""

from __future__ import annotations

LIVE = "(expires_at IS NULL OR expires_at > ?)"
IN_RANGE = "key >= ? AND key < ?"

# When a row was written that has no times, since it is older than their columns: a versionstamp
# is a UUIDv7, which begins with 48 bits of milliseconds. SQLite reads hexadecimal digits as JSON5
# only. NULL for a versionstamp of another kind, which only other programs can have written.
_STAMPED_AT = (
    "json_extract('0x' || nullif(hex(unhex("
    "substr(versionstamp, 1, 8) || substr(versionstamp, 10, 4))), ''), '$')"
)
CREATED_AT = f"coalesce(created_at, {_STAMPED_AT}, 0)"
UPDATED_AT = f"coalesce(updated_at, {_STAMPED_AT}, 0)"

GET = f"SELECT value, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}"

# An entry as a JSON object, by (with its value, with details): what is in it, and the whole of it.
_KEY = """'{"key":' || key_json"""
_VALUE = """ || ',"value":' || value"""
_VERSIONSTAMP = """ || ',"versionstamp":"' || versionstamp || '"'"""
_DETAILS = (
    """ || ',"metadata":' || coalesce(metadata, 'null')"""
    f""" || ',"createdAt":' || {CREATED_AT} || ',"updatedAt":' || {UPDATED_AT}"""
    """ || ',"expiresAt":' || coalesce(expires_at, 'null')"""
)
ENTRY_MEMBERS = f"{_KEY}{_VALUE}{_VERSIONSTAMP}"
ENTRY_JSON = {
    (True, False): f"{ENTRY_MEMBERS} || '}}'",
    (True, True): f"{ENTRY_MEMBERS}{_DETAILS} || '}}'",
    (False, False): f"{_KEY}{_VERSIONSTAMP} || '}}'",
    (False, True): f"{_KEY}{_VERSIONSTAMP}{_DETAILS} || '}}'",
}

# The keys go in for the %s: as many placeholders as `reads` rounds up to, or `KEYS_OF_JSON`.
GET_MANY = f"""
SELECT key, value, versionstamp, expires_at, metadata FROM kv_entries
WHERE key IN (%s) AND {LIVE}"""
GET_MANY_JSON = {
    shape: f"SELECT key, {entry} FROM kv_entries WHERE key IN (%s) AND {LIVE}"
    for shape, entry in ENTRY_JSON.items()
}

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than an engine allows.
KEYS_OF_JSON = "SELECT unhex(value) FROM json_each(?)"

# Knowing how long a text is, SQLite does not read it.
SIZE = f"""
SELECT octet_length(value) + octet_length(versionstamp) FROM kv_entries WHERE key = ? AND {LIVE}"""

# `{told}` is what is wanted beside key and value, `{order}` is ASC or DESC, `{where}` is TRUE or
# a compiled filter.
LIST = f"""
SELECT key, value, {{told}} FROM kv_entries
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

# `{created_at}` is what an overwrite makes of the time of creation.
_PUT = """
INSERT INTO kv_entries
  (key, key_json, value, versionstamp, expires_at, metadata, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, versionstamp = excluded.versionstamp, expires_at = excluded.expires_at,
  metadata = excluded.metadata, created_at = {created_at}, updated_at = excluded.updated_at"""

# A live entry keeps it. One that has expired and was not swept yet was gone before.
PUT = _PUT.format(created_at=f"iif(expires_at <= ?7, ?7, {CREATED_AT})")

# The commit itself deleted the key before.
PUT_ANEW = _PUT.format(created_at="?7")

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

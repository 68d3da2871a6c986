"""Every SQL statement of the store, on one screen.

A row is live while `expires_at` is NULL or later than now: every statement says so itself, since
the sweeper comes after the fact.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from buntime_plugin_keyval.storage.dialects.sqlite.log import HEAD, HEAD_COLUMNS
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import (
    FIRM_STAMP,
    LATE_STAMP,
    LOGGED_STAMP,
    TOLD,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import (
    ADDED,
    VALUE,
    VALUE_SIZE,
    value_up_to,
)

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

GET = f"SELECT {VALUE}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}"

# The same where the value is short.
GET_SHORT = f"SELECT {{value}}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}"

# What an entry as a JSON object is put together from, by (with its value, with details): all but
# its end. By one call, since each `||` makes one more copy of what is before it, and keeps that
# until the row is complete.
_KEY = """'{"key":', key_json"""
_VALUE = f""", ',"value":', {VALUE}"""
_VERSIONSTAMP = """, ',"versionstamp":"', versionstamp, '"'"""
_DETAILS = (
    """, ',"metadata":', coalesce(metadata, 'null')"""
    f""", ',"createdAt":', {CREATED_AT}, ',"updatedAt":', {UPDATED_AT}"""
    """, ',"expiresAt":', coalesce(expires_at, 'null')"""
)
ENTRY_MEMBERS = f"{_KEY}{_VALUE}{_VERSIONSTAMP}"
ENTRY_JSON = {
    (True, False): f"concat({ENTRY_MEMBERS}, '}}')",
    (True, True): f"concat({ENTRY_MEMBERS}{_DETAILS}, '}}')",
    (False, False): f"concat({_KEY}{_VERSIONSTAMP}, '}}')",
    (False, True): f"concat({_KEY}{_VERSIONSTAMP}{_DETAILS}, '}}')",
}

# About the bytes of it, for where they are counted before values are read.
_KEY_SIZE = "octet_length(key_json) + 80"
_VALUE_SIZE = f" + {VALUE_SIZE}"
_DETAILS_SIZE = " + coalesce(octet_length(metadata), 0) + 120"
ENTRY_SIZE = {
    (True, False): f"{_KEY_SIZE}{_VALUE_SIZE}",
    (True, True): f"{_KEY_SIZE}{_VALUE_SIZE}{_DETAILS_SIZE}",
    (False, False): _KEY_SIZE,
    (False, True): f"{_KEY_SIZE}{_DETAILS_SIZE}",
}

# The keys go in for the %s: as many placeholders as `reads` rounds up to, or `KEYS_OF_JSON`.
GET_MANY = f"""
SELECT key, {VALUE}, versionstamp, expires_at, metadata FROM kv_entries
WHERE key IN (%s) AND {LIVE}"""
# Long values are left where they are, but for their sizes.
GET_MANY_SHORT = f"""
SELECT key, {{value}}, versionstamp, expires_at, metadata, long_size FROM kv_entries
WHERE key IN (%s) AND {LIVE}"""
GET_MANY_STAMPS = f"""
SELECT key, '', versionstamp, expires_at, NULL FROM kv_entries WHERE key IN (%s) AND {LIVE}"""
GET_MANY_JSON = {
    shape: f"SELECT key, {entry} FROM kv_entries WHERE key IN (%s) AND {LIVE}"
    for shape, entry in ENTRY_JSON.items()
}
# The same for an answer, with versionstamps: NULL for an entry whose value is long, since up to 128
# of them are read on the event loop.
SHORT_ENTRY = 8 * 1024
GET_MANY_ENTRIES = {
    shape: f"""
SELECT key, versionstamp, iif(long_size > {SHORT_ENTRY}, NULL, {entry})
FROM kv_entries WHERE key IN (%s) AND {LIVE}"""
    for shape, entry in ENTRY_JSON.items()
}
# And where some are: keys with the number of times that each is wanted (a JSON array of pairs), and
# how many bytes that takes in all. No entry, if these are too many.
GET_MANY_WITHIN = {
    shape: f"""
WITH wanted AS MATERIALIZED (
  SELECT unhex(value ->> 0) AS code, value ->> 1 AS times FROM json_each(?1)),
total AS MATERIALIZED (
  SELECT sum(times * ({ENTRY_SIZE[shape]})) AS bytes
  FROM wanted CROSS JOIN kv_entries ON key = code WHERE (expires_at IS NULL OR expires_at > ?2))
SELECT key, versionstamp, iif(times > 0 AND bytes <= ?3, CAST({entry} AS BLOB), NULL), bytes
FROM total CROSS JOIN wanted CROSS JOIN kv_entries ON key = code
WHERE (expires_at IS NULL OR expires_at > ?2)"""
    for shape, entry in ENTRY_JSON.items()
}

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than an engine allows.
KEYS_OF_JSON = "SELECT unhex(value) FROM json_each(?)"

SIZE = f"""
SELECT {VALUE_SIZE} + octet_length(versionstamp) FROM kv_entries WHERE key = ? AND {LIVE}"""

# `{told}` is what is wanted beside key and value, `{order}` is ASC or DESC, `{where}` is TRUE or
# a compiled filter.
_LIST = f"""
SELECT key, %s, {{told}} FROM kv_entries
WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?"""
LIST = _LIST % VALUE
# NULL for a value that is long.
LIST_SHORT = _LIST % value_up_to(SHORT_ENTRY)

LIST_STAMPS = f"""
SELECT key, versionstamp FROM kv_entries
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

# For lists that are long: the entries that are found, with the bytes up to and with each. `{size}`
# is that of an entry.
_FOUND = f"""
WITH found AS MATERIALIZED (
  SELECT code, row_number() OVER behind AS number, sum(size) OVER behind AS bytes
  FROM (
    SELECT key AS code, {{size}} AS size FROM kv_entries
    WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?)
  WINDOW behind AS (ORDER BY code {{order}} ROWS UNBOUNDED PRECEDING))"""

# Their keys, those that a condition lets through, in their order: sorted behind the join they would
# be there once more, with all that they hold. The LIMIT keeps SQLite from doing just that.
_FITTING = """(
  SELECT code FROM found WHERE {condition} ORDER BY number LIMIT -1) CROSS JOIN kv_entries"""
_FITTING_PART = _FITTING.format(condition="number = 1 OR bytes <= ?")

# Of these as many as there is room for, but at least one, as bytes: no text that Python has to take
# apart. The last key, how many they are, how many were found, and all bytes of those.
PAGE_WITHIN = f"""{_FOUND}
SELECT coalesce(CAST(group_concat(entry, ',') AS BLOB), x''), {{last}}(code), count(*),
  (SELECT count(*) FROM found), coalesce((SELECT max(bytes) FROM found), 0)
FROM (SELECT code, {{entry}} AS entry FROM {_FITTING_PART} ON key = code)"""

# All of these, or none if there is no room for all.
LIST_WITHIN = f"""{_FOUND}
SELECT coalesce(CAST(group_concat(entry, ',') AS BLOB), x''), (SELECT count(*) FROM found),
  coalesce((SELECT max(bytes) FROM found), 0)
FROM (
  SELECT {{entry}} AS entry
  FROM {_FITTING.format(condition="(SELECT max(bytes) FROM found) <= ?")} ON key = code)"""

ANY_IN_RANGE = f"""
SELECT EXISTS (SELECT 1 FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}})"""

# All minus the expired ones, both from narrow indexes: the entries themselves are wide.
COUNT_ALL = f"""
SELECT (SELECT count(*) FROM kv_entries INDEXED BY kv_entries_key WHERE {IN_RANGE})
     - (SELECT count(*) FROM kv_entries INDEXED BY kv_entries_expiry
        WHERE expires_at <= ? AND {IN_RANGE})"""

COUNT = f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"

# What has expired and is not removed yet is no entry any more. It is found through its own index.
TOTALS = f"""
SELECT
  entries - (SELECT count(*) FROM kv_entries WHERE expires_at <= ?),
  bytes - (
    SELECT coalesce(sum(length(key) + {VALUE_SIZE}), 0) FROM kv_entries WHERE expires_at <= ?)
FROM kv_totals"""

COUNT_UP_TO = f"SELECT count(*) FROM (SELECT 1 FROM kv_entries WHERE {IN_RANGE} LIMIT ?)"

# The condition of a guard: the live versionstamp of a key is what the decision saw. Of a commit of
# the same group, whose stamp may become another one, the random part is known.
UNCHANGED = f"(SELECT versionstamp FROM kv_entries WHERE key = ? AND {LIVE}) IS ?"
UNCHANGED_SINCE = f"(SELECT substr(versionstamp, 20) FROM kv_entries WHERE key = ? AND {LIVE}) IS ?"

# `{value}` is the three columns of the value, `{created_at}` what an overwrite makes of the time of
# creation.
_PUT = """
INSERT INTO kv_entries
  (key, key_json, value, long_id, long_size, versionstamp, expires_at, metadata, created_at,
   updated_at)
VALUES ({key}, {key_json}, {value}, {stamp}, ?5, ?6, ?7, ?7)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, long_id = excluded.long_id, long_size = excluded.long_size,
  versionstamp = excluded.versionstamp, expires_at = excluded.expires_at,
  metadata = excluded.metadata, created_at = {created_at}, updated_at = excluded.updated_at"""

_INLINE = "?3, NULL, 0"

_ADDED = f"'', {ADDED}, ?3"

_LOG_PUT = "INSERT INTO kv_changes (key, versionstamp, operation, at) VALUES (?1, %s, 'set', ?3)"

# The key holds the stamp. Where the statement is given a text that nobody knows but this commit,
# the stamp that it has got goes into its place.
_LOG_PUT_STAMPED = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT unhex(replace(hex(?1), hex(?2), hex(stamp))), stamp, 'set', ?3
FROM (SELECT {LATE_STAMP.format(stamp="?2")} AS stamp)"""


class PutTexts(NamedTuple):
    """The statements that log and store an entry, by what is known of its versionstamp."""

    log: str
    put: str
    put_anew: str
    """Where the commit itself deleted the key before: it is created once more."""
    put_long: str
    put_long_anew: str
    """The same for a value that was added just before, with its size in its place."""


def _put_texts(log: str, *, key: str = "?1", key_json: str = "?2", stamp: str) -> PutTexts:
    put = partial(_PUT.format, key=key, key_json=key_json, stamp=stamp)
    # A live entry keeps the time of its creation. One that has expired and was not swept yet was
    # gone before.
    kept = f"iif(expires_at <= ?8, ?7, {CREATED_AT})"
    return PutTexts(
        log,
        put(value=_INLINE, created_at=kept),
        put(value=_INLINE, created_at="?7"),
        put(value=_ADDED, created_at=kept),
        put(value=_ADDED, created_at="?7"),
    )


PUT = _put_texts(_LOG_PUT % FIRM_STAMP.format(stamp="?2"), stamp="?4")
PUT_LATE = _put_texts(
    _LOG_PUT % LATE_STAMP.format(stamp="?2") + TOLD,
    stamp=LOGGED_STAMP,
)
PUT_STAMPED_LATE = _put_texts(
    _LOG_PUT_STAMPED + TOLD,
    key=f"unhex(replace(hex(?1), hex(?4), hex({LOGGED_STAMP})))",
    key_json=f"replace(?2, ?4, {LOGGED_STAMP})",
    stamp=LOGGED_STAMP,
)

_LOG_REMOVE = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, %s, 'delete', ?2 FROM kv_entries
WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key"""

LOG_REMOVE = _LOG_REMOVE % FIRM_STAMP.format(stamp="?1")
LOG_REMOVE_LATE = _LOG_REMOVE % LATE_STAMP.format(stamp="?1")
LOG_REMOVE_ONE_LATE = LOG_REMOVE_LATE + TOLD

REMOVE = f"DELETE FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"

_EXPIRED = "expires_at <= ? ORDER BY expires_at, key LIMIT ?"

_LOG_EXPIRED = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, %s, 'expire', ?2 FROM kv_entries WHERE {_EXPIRED}"""

LOG_EXPIRED = _LOG_EXPIRED % FIRM_STAMP.format(stamp="?1")
LOG_EXPIRED_LATE = _LOG_EXPIRED % LATE_STAMP.format(stamp="?1")

REMOVE_EXPIRED = (
    f"DELETE FROM kv_entries WHERE key IN (SELECT key FROM kv_entries WHERE {_EXPIRED})"
)

NEXT_EXPIRY = "SELECT min(expires_at) FROM kv_entries WHERE expires_at IS NOT NULL"

# The row of a place itself, if it is there, and what follows.
CHANGED_KEYS = """
SELECT seq, key, versionstamp FROM kv_changes WHERE seq >= ? ORDER BY seq LIMIT ?"""

# A value that is told to watchers: a large one as bytes, which is how it leaves.
_TOLD_VALUE = f"iif({VALUE_SIZE} > 65536, CAST({VALUE} AS BLOB), {VALUE})"

# What the keys hold that were changed behind the place ?1, in one snapshot and up to the newest
# change in it: those of the keys in ?3 (JSON, hexadecimal), and all whose last change is behind
# ?2. In the order of their last changes, at most ?4 of them, with at most ?5 bytes of values but
# for the first ?7, and how many they would be. Each row has the head of the log first, with what it
# has at ?1 and at ?6.
NEWS = f"""
WITH changed AS (
  SELECT key, min(versionstamp) AS since, max(seq) AS seq
  FROM kv_changes WHERE seq > ?1 GROUP BY key),
wanted AS (
  SELECT changed.key, since, seq,
    row_number() OVER latest AS number,
    sum(coalesce({VALUE_SIZE}, 0)) OVER latest AS bytes
  FROM changed LEFT JOIN kv_entries ON kv_entries.key = changed.key
  WHERE seq > ?2 OR changed.key IN (SELECT unhex(value) FROM json_each(?3))
  WINDOW latest AS (ORDER BY seq)),
head AS (
  SELECT {HEAD_COLUMNS},
    (SELECT versionstamp FROM kv_changes WHERE seq = ?1) AS stamp_there,
    (SELECT versionstamp FROM kv_changes WHERE seq = ?6) AS stamp_until,
    trimmed_seq, trimmed_stamp, (SELECT count(*) FROM wanted) AS many
  FROM {HEAD})
SELECT head.*, wanted.key, since, wanted.seq, kv_changes.versionstamp,
  {_TOLD_VALUE}, kv_entries.versionstamp, expires_at
FROM head
LEFT JOIN wanted ON number <= ?7 OR (number <= ?4 AND bytes <= ?5)
LEFT JOIN kv_changes ON kv_changes.seq = wanted.seq
LEFT JOIN kv_entries ON kv_entries.key = wanted.key
ORDER BY wanted.seq"""

# What keys (?1: a JSON array) and the first ?3 entries of ranges (?2: pairs, in their order) hold,
# with the newest place of the same snapshot: those for whose values there is room, ?4 bytes, but
# the first ?5 in any case, and how many there would be. CROSS JOIN: the ranges are read one after
# the other, and no further than the limit.
STATES = f"""
WITH told (part, number, key) AS (
  SELECT 0, key, unhex(value) FROM json_each(?1)
  UNION ALL
  SELECT 1, 0, key FROM (
    SELECT kv_entries.key FROM json_each(?2) AS ranges CROSS JOIN kv_entries
    WHERE kv_entries.key >= unhex(ranges.value ->> 0) AND kv_entries.key < unhex(ranges.value ->> 1)
    LIMIT ?3)),
sized AS MATERIALIZED (
  SELECT part, number, told.key, row_number() OVER told AS place,
    sum(coalesce({VALUE_SIZE}, 0)) OVER told AS bytes
  FROM told LEFT JOIN kv_entries ON kv_entries.key = told.key
  WINDOW told AS (ORDER BY part, number, told.key ROWS UNBOUNDED PRECEDING)),
head AS (SELECT {HEAD_COLUMNS}, (SELECT count(*) FROM told) AS many FROM {HEAD})
SELECT head.*, sized.key, {_TOLD_VALUE}, kv_entries.versionstamp, expires_at
FROM head LEFT JOIN sized ON place <= ?5 OR bytes <= ?4
LEFT JOIN kv_entries ON kv_entries.key = sized.key
ORDER BY place"""

# What a polling client has to be told of ranges (?2, as above): ?1 is the versionstamps that it
# knows, by hexadecimal key. A row for each entry that it knows, and for the first that are news to
# it, these with their values: ?4 of them, with ?5 bytes of values but for the first one.
POLL = f"""
WITH given (key, versionstamp) AS MATERIALIZED (SELECT unhex(key), value FROM json_each(?1)),
there AS (
  SELECT kv_entries.key, kv_entries.versionstamp, given.versionstamp AS known,
    octet_length(kv_entries.value) + long_size AS size
  FROM json_each(?2) AS ranges CROSS JOIN kv_entries LEFT JOIN given ON given.key = kv_entries.key
  WHERE kv_entries.key >= unhex(ranges.value ->> 0) AND kv_entries.key < unhex(ranges.value ->> 1)
    AND (expires_at IS NULL OR expires_at > ?3)),
summed AS (
  SELECT key, versionstamp, known, sum(versionstamp IS NOT known) OVER behind AS news,
    sum(iif(versionstamp IS NOT known, size, 0)) OVER behind AS bytes
  FROM there WINDOW behind AS (ORDER BY key ROWS UNBOUNDED PRECEDING)),
counted AS (
  SELECT key, versionstamp, known, news = 1 OR (news <= ?4 AND bytes <= ?5) AS fits FROM summed)
SELECT key, versionstamp, CASE WHEN versionstamp IS NOT known AND fits THEN
  (SELECT {VALUE} FROM kv_entries WHERE kv_entries.key = counted.key) END
FROM counted WHERE known IS NOT NULL OR fits ORDER BY key"""

# Keys and entries, as rows: a page of a snapshot may be too large for one text. NULL for an entry
# that is long.
PAGE_ROWS = f"""
SELECT key, iif({{size}} > {SHORT_ENTRY}, NULL, {{entry}}) FROM kv_entries
WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?"""

# As many of these as there is room for, as bytes, and how many they would be.
PAGE_ROWS_WITHIN = f"""{_FOUND}
SELECT code, CAST({{entry}} AS BLOB), (SELECT count(*) FROM found)
FROM {_FITTING_PART} ON key = code"""

# Whether something in the range ?2 to ?3 was changed behind the place ?1, and what the log knows
# of that place.
CHANGED_SINCE = """
SELECT epoch, (SELECT versionstamp FROM kv_changes WHERE seq = ?1), trimmed_seq, trimmed_stamp,
  EXISTS (SELECT 1 FROM kv_changes WHERE seq > ?1 AND key >= ?2 AND key < ?3)
FROM kv_log"""

# The newest place; the keys in the range ?2 to ?3 that were changed behind the place ?1; and which
# of them there are, at ?4.
CHANGED_ENTRIES = f"""
SELECT 0 AS part, {HEAD_COLUMNS} FROM {HEAD}
UNION ALL
SELECT 1, key, NULL, NULL FROM kv_changes WHERE seq > ?1 AND key >= ?2 AND key < ?3
UNION ALL
SELECT 2, key, {{entry}}, {VALUE} FROM kv_entries
WHERE key >= ?2 AND key < ?3 AND (expires_at IS NULL OR expires_at > ?4) AND {{where}}
  AND key IN (SELECT key FROM kv_changes WHERE seq > ?1)
ORDER BY part"""

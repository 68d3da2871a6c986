"""The effects of many commits of a group, each kind of effect in one statement.

`?1` is a JSON array with a row, also an array, for each effect; the others are numbers. Keys are
hexadecimal in it. The texts are short: a node of rqlite that gets one of 1,024 bytes or more
compresses the whole request for its log, which costs it more than all the work.
"""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.sqlite.queue import MESSAGE
from buntime_plugin_keyval.storage.dialects.sqlite.replays import NEWEST_PLACE
from buntime_plugin_keyval.storage.dialects.sqlite.rows import CREATED_AT
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import FIRM_STAMP, NEWEST_STAMP
from buntime_plugin_keyval.storage.dialects.sqlite.values import ADDED


def _short(text: str) -> str:
    return " ".join(text.split())


_ROWS = "FROM (SELECT value AS v FROM json_each(?1))"
_LIVING = "key = unhex(v->>0) AND (expires_at IS NULL OR expires_at > ?2)"

# Key, the end of its versionstamp or NULL for a key that is not there, where that end begins; now.
_NOT_SO = f"""
FROM (SELECT key AS number, value AS v FROM json_each(?1))
WHERE (SELECT substr(versionstamp, v->>2) FROM kv_entries WHERE {_LIVING}) IS NOT v->>1"""
ALL_HOLD = _short(f"NOT EXISTS (SELECT 1 {_NOT_SO})")
NOT_SO = _short(f"SELECT number {_NOT_SO}")

# Texts of long values, none of which is in use yet.
ADD_LONG_VALUES = f"INSERT INTO kv_long_values (text) SELECT v {_ROWS}"

# How far it is from the last one that was added; NULL for none.
_LONG_ID = f"{ADDED} - (v->>%d)"

# Stamps that are late are moved by whole milliseconds, all of a group by the same number, so their
# counts and tails stay as they are. That of the last one is noted first, and tells all others how
# far: ?3 are the milliseconds that were made for it.
_MILLISECONDS = "('0x' || substr(newest, 1, 8) || substr(newest, 10, 4))->>'$'"
_MOVED = (
    "FROM (SELECT value AS v, (value->>%d)"
    f" + (SELECT {_MILLISECONDS} FROM kv_stamps) - ?3 AS n FROM json_each(?1))"
)


def _with_milliseconds(stamp: str) -> str:
    """A stamp with `n` milliseconds."""
    return f"format('%08x-%04x', n >> 16, n & 65535) || substr({stamp}, 14)"


TYPE_THERE = 0
"""In the place of a type: that of the entry as it is there."""

# Key, versionstamp, operation, whether only if the key is there, writes in the group, 1 to count on
# from those of the entry, type, milliseconds of the stamp; now.
_LOG = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at, revision, type)
SELECT unhex(v->>0), {{stamp}}, v->>2, ?2, (v->>4) + (v->>5) * coalesce(revision, 0),
  iif((v->>6) = {TYPE_THERE}, type, v->>6)
{{rows}} LEFT JOIN kv_entries ON {_LIVING}
WHERE v->>3 IS NULL OR key IS NOT NULL"""
LOG_FIRM = _short(_LOG.format(stamp=FIRM_STAMP.format(stamp="v->>1"), rows=_ROWS))
LOG_LATE = _short(_LOG.format(stamp=_with_milliseconds("v->>1"), rows=_MOVED % 7))

# Keys; now; JSON of those keys that are removed even if there is something that has expired: an
# earlier commit of the group has put something in its place.
REMOVE_ALL = f"""
DELETE FROM kv_entries
WHERE key IN (SELECT unhex(v) {_ROWS}) AND (
  expires_at IS NULL OR expires_at > ?2
  OR key IN (SELECT unhex(value) FROM json_each(?3)))"""

# Key, its JSON, value, distance of its long value, size of that, versionstamp, expiry, metadata,
# type, how often the group writes it, milliseconds of the stamp; now, wall: ?4.
_PUT = f"""
INSERT INTO kv_entries
  (key, key_json, value, long_id, long_size, versionstamp, expires_at, metadata, created_at,
   updated_at, type, revision)
SELECT unhex(v->>0), v->>1, v->>2, {_LONG_ID % 3}, v->>4, {{stamp}},
  v->>6, v->>7, ?4, ?4, v->>8, v->>9
{{rows}} WHERE TRUE
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, long_id = excluded.long_id, long_size = excluded.long_size,
  versionstamp = excluded.versionstamp, expires_at = excluded.expires_at,
  metadata = excluded.metadata, created_at = iif(expires_at <= ?2, ?4, {CREATED_AT}),
  updated_at = ?4, type = excluded.type,
  revision = excluded.revision + iif(expires_at <= ?2, 0, revision)"""
PUT_FIRM = _short(_PUT.format(stamp="v->>5", rows=_ROWS))
PUT_LATE = _short(_PUT.format(stamp=_with_milliseconds("v->>5"), rows=_MOVED % 10))

# Id, value, distance of its long value, size of that, when it is ready, most attempts, pauses,
# keys; now, wall.
ENQUEUE = f"""{MESSAGE}
SELECT v->>0, v->>1, v->>4, v->>4, 0, v->>5, v->>6,
  v->>7, ?3, ?2, {_LONG_ID % 2}, v->>3
{_ROWS}"""

# The first stamp that was made for the group, the last one, and the milliseconds between them: the
# last one is noted, moved as far as it takes that the first one follows the newest of all.
NOTE_LATE = _short(f"""
UPDATE kv_stamps SET newest = (
  SELECT iif(newest < ?1, ?2, {_with_milliseconds("?2")})
  FROM (
    SELECT newest, {_MILLISECONDS} + 1 + ?3 AS n FROM (SELECT {NEWEST_STAMP} AS newest)))""")
NOTED = "(SELECT json_group_array(json_object('versionstamp', newest)) FROM kv_stamps)"

# A text in front, a count or NULL, key, tail of a stamp; how many changes were logged at most.
KEEP_COUNTS = _short(f"""
UPDATE kv_replays SET counts = (
  SELECT group_concat(v->>0 || coalesce(v->>1, EXISTS (
    SELECT 1 FROM kv_changes
    WHERE seq > (SELECT max(seq) FROM kv_changes) - ?2 AND key = unhex(v->>2)
      AND substr(versionstamp, 20) = v->>3)) || ',', '')
  {_ROWS})
WHERE seq = {NEWEST_PLACE}""")

# Versionstamp, its milliseconds or NULL for one that is not moved.
KEEP_STAMPS = _short(f"""
UPDATE kv_replays SET stamps = (
  SELECT group_concat(iif(n IS NULL, v->>0, {_with_milliseconds("v->>0")})) {_MOVED % 1})
WHERE seq = {NEWEST_PLACE}""")


def logged(most: int) -> str:
    """The last changes, so many of them, each as the tail of its stamp and its key."""
    return f"""(
SELECT json_group_array(json_object('change', substr(versionstamp, 20) || hex(key)))
FROM (SELECT versionstamp, key FROM kv_changes ORDER BY seq DESC LIMIT {most}))"""

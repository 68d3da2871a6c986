"""What many commits of a group do, each kind of it in one statement.

`?1` is a JSON array with a row, an array as well, for each thing that is to be done; `?2` and
`?3` are numbers. Keys are hexadecimal in it.
"""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.sqlite.queue import MESSAGE
from buntime_plugin_keyval.storage.dialects.sqlite.rows import CREATED_AT
from buntime_plugin_keyval.storage.dialects.sqlite.stamps import (
    FIRM_STAMP,
    NEWEST_STAMP,
    number_of,
    with_number,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import ADDED

_ROWS = "FROM json_each(?1) AS g"
_LIVING = "key = unhex(g.value->>0) AND (expires_at IS NULL OR expires_at > ?2)"

# Key, the end of its versionstamp or NULL for a key that is not there, where that end begins; now.
_NOT_SO = f"""
{_ROWS}
WHERE (SELECT substr(versionstamp, g.value->>2) FROM kv_entries WHERE {_LIVING})
  IS NOT g.value->>1"""
ALL_HOLD = f"NOT EXISTS (SELECT 1 {_NOT_SO})"
NOT_SO = f"SELECT g.key {_NOT_SO}"

# Texts of long values, none of which is in use yet.
ADD_LONG_VALUES = f"INSERT INTO kv_long_values (text) SELECT g.value {_ROWS}"

# How far it is from the last one that was added; NULL for none.
_LONG_ID = f"{ADDED} - (g.value->>%d)"

# By how much the stamps of the group are later than those that were made for it, where the stamp of
# the last one is noted; ?3 is the number that was made for that.
_SHIFT = f"((SELECT {number_of('newest')} FROM kv_stamps) - ?3)"


def _late_stamp(stamp: str, number: str) -> str:
    """A stamp that was made, moved with all of its group; `number` is that in front of its tail."""
    return f"""(
SELECT {with_number("n")} || substr({stamp}, 20) FROM (SELECT {number} + {_SHIFT} AS n))"""


# Key, versionstamp, operation, whether only if the key is there, number of the stamp; now.
_LOG = f"""
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT unhex(g.value->>0), {{stamp}}, g.value->>2, ?2 {_ROWS}
WHERE g.value->>3 IS NULL OR EXISTS (SELECT 1 FROM kv_entries WHERE {_LIVING})"""
LOG_FIRM = _LOG.format(stamp=FIRM_STAMP.format(stamp="g.value->>1"))
LOG_LATE = _LOG.format(stamp=_late_stamp("g.value->>1", "(g.value->>4)"))

# Keys; now; JSON of those keys that are removed even if there is something that has expired: an
# earlier commit of the group has put something in its place.
REMOVE_ALL = f"""
DELETE FROM kv_entries
WHERE key IN (SELECT unhex(g.value) {_ROWS}) AND (
  expires_at IS NULL OR expires_at > ?2
  OR key IN (SELECT unhex(value) FROM json_each(?3)))"""

# Key, its JSON, value, distance of its long value, size of that, versionstamp, expiry, metadata,
# number of the stamp; now, wall: ?4.
_PUT = f"""
INSERT INTO kv_entries
  (key, key_json, value, long_id, long_size, versionstamp, expires_at, metadata, created_at,
   updated_at)
SELECT unhex(g.value->>0), g.value->>1, g.value->>2, {_LONG_ID % 3}, g.value->>4, {{stamp}},
  g.value->>6, g.value->>7, ?4, ?4
{_ROWS} WHERE TRUE
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, long_id = excluded.long_id, long_size = excluded.long_size,
  versionstamp = excluded.versionstamp, expires_at = excluded.expires_at,
  metadata = excluded.metadata, created_at = iif(expires_at <= ?2, ?4, {CREATED_AT}),
  updated_at = excluded.updated_at"""
PUT_FIRM = _PUT.format(stamp="g.value->>5")
PUT_LATE = _PUT.format(stamp=_late_stamp("g.value->>5", "(g.value->>8)"))

# Id, value, distance of its long value, size of that, when it is ready, most attempts, pauses,
# keys; now, wall.
ENQUEUE = f"""{MESSAGE}
SELECT g.value->>0, g.value->>1, g.value->>4, g.value->>4, 0, g.value->>5, g.value->>6,
  g.value->>7, ?3, ?2, {_LONG_ID % 2}, g.value->>3
{_ROWS}"""

# The first stamp that was made for the group, the last one, and the difference of their numbers:
# the last one is noted, moved as far as it takes that the first one follows the newest of all.
NOTE_LATE = f"""
UPDATE kv_stamps SET newest = (
  SELECT iif(newest < ?1, ?2, {with_number("n")} || substr(?2, 20))
  FROM (
    SELECT newest, {number_of("newest")} + 1 + ?3 AS n FROM (SELECT {NEWEST_STAMP} AS newest)))"""
NOTED = "(SELECT json_group_array(json_object('versionstamp', newest)) FROM kv_stamps)"


def logged(most: int) -> str:
    """The last changes, so many of them, each as the tail of its stamp and its key."""
    return f"""(
SELECT json_group_array(json_object('change', substr(versionstamp, 20) || hex(key)))
FROM (SELECT versionstamp, key FROM kv_changes ORDER BY seq DESC LIMIT {most}))"""

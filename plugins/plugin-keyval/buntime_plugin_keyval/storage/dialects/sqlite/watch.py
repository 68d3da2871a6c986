"""Reads for watchers, in SQLite."""

from buntime_plugin_keyval.storage.dialects.log import HEAD_COLUMNS
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.dialects.sqlite.log import HEAD
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, VALUE_SIZE
from buntime_plugin_keyval.storage.dialects.watch import WatchSql

# A large one as bytes, which is how it leaves.
_TOLD_VALUE = f"iif({VALUE_SIZE} > {LONG_VALUE}, CAST({VALUE} AS BLOB), {VALUE})"

WATCH = WatchSql(
    changed_keys="""
SELECT seq, key, versionstamp FROM kv_changes WHERE seq >= ? ORDER BY seq LIMIT ?""",
    news=f"""
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
SELECT head.*, wanted.key, since, wanted.seq,
  (SELECT versionstamp FROM kv_changes WHERE kv_changes.seq = wanted.seq),
  {_TOLD_VALUE}, kv_entries.versionstamp, expires_at
FROM head
LEFT JOIN wanted ON number <= ?7 OR (number <= ?4 AND bytes <= ?5)
LEFT JOIN kv_entries ON kv_entries.key = wanted.key
ORDER BY wanted.seq""",
    # CROSS JOIN: the ranges are read one after the other, and no further than the limit.
    states=f"""
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
ORDER BY place""",
    poll=f"""
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
FROM counted WHERE known IS NOT NULL OR fits ORDER BY key""",
)

"""Reads for watchers, in PostgreSQL."""

from buntime_plugin_keyval.storage.dialects.log import HEAD_COLUMNS
from buntime_plugin_keyval.storage.dialects.postgres.log import HEAD
from buntime_plugin_keyval.storage.dialects.postgres.rows import entry_of
from buntime_plugin_keyval.storage.dialects.watch import WatchSql

_KEYS = """
SELECT decode(code, 'hex') AS key, place
FROM json_array_elements_text({given}::json) WITH ORDINALITY AS codes (code, place)"""
_RANGES = """
SELECT decode(pair ->> 0, 'hex') AS first, decode(pair ->> 1, 'hex') AS behind
FROM json_array_elements({given}::json) AS pairs (pair)"""
_SIZE = "coalesce(octet_length(kv_entries.value), 0)"

WATCH = WatchSql(
    changed_keys="""
SELECT seq, key, versionstamp FROM kv_changes WHERE seq >= $1 ORDER BY seq LIMIT $2""",
    news=f"""
WITH changed AS (
  SELECT key, min(versionstamp) AS since, max(seq) AS seq
  FROM kv_changes WHERE seq > $1::bigint GROUP BY key),
wanted AS MATERIALIZED (
  SELECT changed.key, since, seq,
    row_number() OVER latest AS number, sum({_SIZE}) OVER latest AS bytes
  FROM changed LEFT JOIN {entry_of("changed.key")} ON TRUE
  WHERE seq > $2::bigint OR changed.key IN (
    SELECT decode(code, 'hex') FROM json_array_elements_text($3::json) AS codes (code))
  WINDOW latest AS (ORDER BY seq)),
head AS (
  SELECT {HEAD_COLUMNS},
    (SELECT versionstamp FROM kv_changes WHERE seq = $1::bigint) AS stamp_there,
    (SELECT versionstamp FROM kv_changes WHERE seq = $6::bigint) AS stamp_until,
    trimmed_seq, trimmed_stamp, (SELECT count(*) FROM wanted) AS many
  FROM {HEAD})
SELECT head.*, wanted.key, since, wanted.seq, kv_changes.versionstamp,
  kv_entries.value, kv_entries.versionstamp, expires_at
FROM head
LEFT JOIN wanted ON number <= $7::bigint OR (number <= $4::bigint AND bytes <= $5::bigint)
LEFT JOIN kv_changes ON kv_changes.seq = wanted.seq
LEFT JOIN {entry_of("wanted.key")} ON TRUE
ORDER BY wanted.seq""",
    # LATERAL: the ranges are read one after the other, each no further than the limit.
    states=f"""
WITH told (part, number, key) AS MATERIALIZED (
  SELECT 0, place, key FROM ({_KEYS.format(given="$1")}) AS keys
  UNION ALL
  SELECT 1, 0, key FROM (
    SELECT found.key FROM ({_RANGES.format(given="$2")}) AS ranges CROSS JOIN LATERAL (
      SELECT key FROM kv_entries WHERE key >= first AND key < behind
      ORDER BY key LIMIT $3::bigint) AS found
    ORDER BY found.key LIMIT $3::bigint) AS listed),
sized AS MATERIALIZED (
  SELECT part, number, told.key, row_number() OVER told AS place, sum({_SIZE}) OVER told AS bytes
  FROM told LEFT JOIN {entry_of("told.key")} ON TRUE
  WINDOW told AS (ORDER BY part, number, told.key ROWS UNBOUNDED PRECEDING)),
head AS (SELECT {HEAD_COLUMNS}, (SELECT count(*) FROM told) AS many FROM {HEAD})
SELECT head.*, sized.key, kv_entries.value, kv_entries.versionstamp, expires_at
FROM head LEFT JOIN sized ON place <= $5::bigint OR bytes <= $4::bigint
LEFT JOIN {entry_of("sized.key")} ON TRUE
ORDER BY place""",
    poll=f"""
WITH given (key, versionstamp) AS MATERIALIZED (
  SELECT decode(code, 'hex'), stamp FROM json_each_text($1::json) AS pairs (code, stamp)),
there AS (
  SELECT kv_entries.key, kv_entries.versionstamp, given.versionstamp AS known,
    (kv_entries.versionstamp IS DISTINCT FROM given.versionstamp)::int AS news, {_SIZE} AS size
  FROM ({_RANGES.format(given="$2")}) AS ranges
  JOIN kv_entries ON kv_entries.key >= first AND kv_entries.key < behind
  LEFT JOIN given ON given.key = kv_entries.key
  WHERE expires_at IS NULL OR expires_at > $3::bigint),
summed AS (
  SELECT key, versionstamp, known, news = 1 AS is_news, sum(news) OVER behind AS number,
    sum(news * size) OVER behind AS bytes
  FROM there WINDOW behind AS (ORDER BY key ROWS UNBOUNDED PRECEDING)),
counted AS MATERIALIZED (
  SELECT key, versionstamp, known, is_news,
    number = 1 OR (number <= $4::bigint AND bytes <= $5::bigint) AS fits FROM summed)
SELECT key, versionstamp, CASE WHEN is_news AND fits THEN
  (SELECT value FROM kv_entries WHERE kv_entries.key = counted.key) END
FROM counted WHERE known IS NOT NULL OR fits ORDER BY key""",
)

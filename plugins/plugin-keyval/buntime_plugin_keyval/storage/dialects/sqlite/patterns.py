"""Finding keys that fit a pattern in SQLite."""

from buntime_plugin_keyval.storage.dialects.patterns import PatternSql

# How many bytes `code` has up to the end of the part that begins behind `place` of them, as
# `buntime_keyval.wire.keys` encodes parts. NULL for a bigint, and for text or bytes that hold NUL.
_UP_TO_NUL = "place + 1 + instr(substr(code, place + 2), x'00')"
_END = f"""CASE substr(code, place + 1, 1)
  WHEN x'03' THEN place + 9
  WHEN x'05' THEN place + 2
  WHEN x'04' THEN NULL
  ELSE iif(substr(code, {_UP_TO_NUL} + 1, 1) = x'FF', NULL, {_UP_TO_NUL}) END"""

# The narrow index: in the table itself, comparing a key reads its whole row. What two blobs are put
# together to is a text, of the same bytes.
_FIRST = """
SELECT key FROM kv_entries INDEXED BY kv_entries_key
WHERE key >= {low} AND key < {high} ORDER BY key {order} LIMIT 1"""
_NEXT = {
    False: _FIRST.format(
        low=f"CAST(substr(code, 1, {_END}) || x'FF' AS BLOB)", high="high", order="ASC"
    ),
    True: _FIRST.format(low="low", high=f"substr(code, 1, {_END})", order="DESC"),
}
_SEEK = {
    reverse: f"""
WITH RECURSIVE
asked (number, low, high, place) AS MATERIALIZED (
  SELECT key, unhex(value ->> 0), unhex(value ->> 1), value ->> 2 FROM json_each(?1)),
found (number, low, high, place, turn, code) AS (
  SELECT number, low, high, place, 1,
    ({_FIRST.format(low="low", high="high", order="DESC" if reverse else "ASC")})
  FROM asked
  UNION ALL
  SELECT number, low, high, place, turn + 1, ({following})
  FROM found WHERE turn < ?2 AND code IS NOT NULL AND {_END} IS NOT NULL)
SELECT number, code FROM found ORDER BY number, turn"""
    for reverse, following in _NEXT.items()
}

_AMONG = "key IN (SELECT unhex(value) FROM json_each(?))"

PATTERNS = PatternSql(seek=_SEEK, among=_AMONG)

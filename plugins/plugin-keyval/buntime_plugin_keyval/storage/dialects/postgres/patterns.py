"""Finding keys that fit a pattern in PostgreSQL."""

from buntime_plugin_keyval.storage.dialects.patterns import PatternSql

# How many bytes `code` has up to the end of the part that begins behind `place` of them, as
# `buntime_keyval.wire.keys` encodes parts. NULL for a bigint, and for text or bytes that hold NUL.
_UP_TO_NUL = r"place + 1 + position('\x00'::bytea IN substr(code, place + 2))"
_END = rf"""CASE get_byte(code, place)
  WHEN 3 THEN place + 9
  WHEN 5 THEN place + 2
  WHEN 4 THEN NULL
  ELSE CASE WHEN substr(code, {_UP_TO_NUL} + 1, 1) <> '\xff'::bytea THEN {_UP_TO_NUL} END END"""

_FIRST = """
SELECT key FROM kv_entries WHERE key >= {low} AND key < {high} ORDER BY key {order} LIMIT 1"""
_NEXT = {
    False: _FIRST.format(
        low=rf"(substr(code, 1, {_END}) || '\xff'::bytea)", high="high", order="ASC"
    ),
    True: _FIRST.format(low="low", high=f"substr(code, 1, {_END})", order="DESC"),
}
_SEEK = {
    reverse: f"""
WITH RECURSIVE
asked (number, low, high, place) AS MATERIALIZED (
  SELECT number - 1, decode(item ->> 0, 'hex'), decode(item ->> 1, 'hex'), (item ->> 2)::integer
  FROM json_array_elements($1::json) WITH ORDINALITY AS items (item, number)),
found (number, low, high, place, turn, code) AS (
  SELECT number, low, high, place, 1::bigint,
    ({_FIRST.format(low="low", high="high", order="DESC" if reverse else "ASC")})
  FROM asked
  UNION ALL
  SELECT number, low, high, place, turn + 1, ({following})
  FROM found WHERE turn < $2::bigint AND code IS NOT NULL AND ({_END}) IS NOT NULL)
SELECT number, code FROM found ORDER BY number, turn"""
    for reverse, following in _NEXT.items()
}

# As an array, which is looked up in the index: a subquery might be joined the other way round.
_AMONG = """key = ANY (ARRAY(
  SELECT decode(code, 'hex') FROM json_array_elements_text(?::json) AS codes (code)))"""

PATTERNS = PatternSql(seek=_SEEK, among=_AMONG)

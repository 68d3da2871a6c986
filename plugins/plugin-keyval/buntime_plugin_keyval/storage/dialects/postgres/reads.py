"""Reading entries in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Statement, Value

from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.rows import (
    ENTRIES,
    VALUE_SIZE,
    as_bytes,
    entry_of,
    value_up_to,
)
from buntime_plugin_keyval.storage.dialects.reads import (
    LONG_VALUE,
    READ_INLINE,
    SHORT_ENTRY,
    ReadSql,
)
from buntime_plugin_keyval.storage.dialects.templates import (
    COUNTED,
    IN_RANGE,
    LIVE,
    MATCHING,
    OF_KEYS,
    Templates,
    within,
)

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than the protocol allows.
_KEYS_OF_JSON = "SELECT decode(code, 'hex') FROM json_array_elements_text(?::json) AS codes (code)"

_ENTRY = entry_of("code")

_TEXTS = Templates(ENTRIES, keys_of_json=_KEYS_OF_JSON, printed=numbered)

_GET_MANY_JSON = {shape: f"SELECT key, {entry} {OF_KEYS}" for shape, entry in ENTRIES.json.items()}
_GET_MANY_ENTRIES = {
    shape: f"""
SELECT key, versionstamp, CASE WHEN {VALUE_SIZE} <= {SHORT_ENTRY} THEN {entry} END {OF_KEYS}"""
    for shape, entry in ENTRIES.json.items()
}
# Keys with the number of times that each is wanted come as a JSON array of pairs.
_GET_MANY_WITHIN = {
    shape: f"""
WITH wanted AS MATERIALIZED (
  SELECT decode(pair ->> 0, 'hex') AS code, (pair ->> 1)::bigint AS times
  FROM json_array_elements($1::json) AS pairs (pair)),
total AS MATERIALIZED (
  SELECT sum(times * ({ENTRIES.size[shape]}))::bigint AS bytes
  FROM wanted CROSS JOIN {_ENTRY} WHERE (expires_at IS NULL OR expires_at > $2))
SELECT key, versionstamp, CASE WHEN times > 0 AND bytes <= $3 THEN {as_bytes(entry)} END, bytes
FROM total CROSS JOIN wanted CROSS JOIN {_ENTRY}
WHERE (expires_at IS NULL OR expires_at > $2)"""
    for shape, entry in ENTRIES.json.items()
}

_SELECTED = f"""FROM kv_entries
WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT ?"""
_BEHIND = _SELECTED.replace("LIMIT ?", "LIMIT 1 OFFSET ?")

# Joined by the server: a hundred entries in one row, none touched by Python.
_JOINED = "array_to_string(ARRAY(SELECT {{entry}} {selected}), ',')"
_LIST_JSON = f"SELECT {_JOINED.format(selected=_SELECTED)}"
_PAGE_JSON = f"""
SELECT coalesce(string_agg(entry, ',' ORDER BY key {{order}}), ''),
  (array_agg(key ORDER BY key {{order}}))[count(*)], count(*)
FROM (SELECT key, {{entry}} AS entry {_SELECTED}) AS page"""

# For lists that are long: the entries that are found, with the bytes up to and with each.
_FOUND = f"""
WITH found AS MATERIALIZED (
  SELECT code, row_number() OVER behind AS number, (sum(size) OVER behind)::bigint AS bytes
  FROM (SELECT key AS code, {{size}} AS size {_SELECTED}) AS selected
  WINDOW behind AS (ORDER BY code {{order}} ROWS UNBOUNDED PRECEDING))"""
_FITTING_PART = """(
  SELECT code, number FROM found WHERE number = 1 OR bytes <= ?) AS fitting"""

# Of these as many as there is room for, but at least one.
_PAGE_WITHIN = f"""{_FOUND}
SELECT coalesce({as_bytes("string_agg(entry, ',' ORDER BY number)")}, ''::bytea),
  (array_agg(code ORDER BY number))[count(*)], count(*), (SELECT count(*) FROM found)
FROM (SELECT code, number, {{entry}} AS entry FROM {_FITTING_PART} CROSS JOIN {_ENTRY})
  AS page"""

# All of these, or none if there is no room for all.
_LIST_WITHIN = f"""{_FOUND}
SELECT coalesce({as_bytes("string_agg(entry, ',' ORDER BY number)")}, ''::bytea),
  (SELECT count(*) FROM found), coalesce((SELECT max(bytes) FROM found), 0)
FROM (
  SELECT number, {{entry}} AS entry FROM found CROSS JOIN {_ENTRY}
  WHERE (SELECT max(bytes) FROM found) <= ?) AS page"""

# As rows: a page of a snapshot may be too large for one text.
_PAGE_ROWS = f"SELECT key, CASE WHEN {{size}} <= {SHORT_ENTRY} THEN {{entry}} END {_SELECTED}"
_PAGE_ROWS_WITHIN = f"""{_FOUND}
SELECT code, {as_bytes("{entry}")}, (SELECT count(*) FROM found)
FROM {_FITTING_PART} CROSS JOIN {_ENTRY} ORDER BY number"""


# Each key is looked up in the index.
_GET_TOGETHER = f"""
SELECT key, {value_up_to(READ_INLINE)}, versionstamp, expires_at
FROM kv_entries WHERE key = ANY ($1::bytea[])"""


def get_together(keys: Sequence[bytes]) -> tuple[str, Sequence[Value]]:
    """See `getting.Question`."""
    return _GET_TOGETHER, ([*keys],)  # type: ignore[return-value] # an array


_ALL = numbered(MATCHING.format(where="TRUE"))

_UP_TO = numbered(
    f"SELECT count(*) FROM (SELECT 1 FROM kv_entries WHERE {IN_RANGE} LIMIT ?) AS counted"
)

READS = ReadSql(
    get=numbered(f"SELECT value, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}"),
    get_short=numbered(
        f"""
SELECT {value_up_to(READ_INLINE)}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}"""
    ),
    head=numbered(
        f"""
SELECT {VALUE_SIZE} + octet_length(versionstamp), versionstamp
FROM kv_entries WHERE key = ? AND {LIVE}"""
    ),
    get_many=_TEXTS.of_keys(
        f"SELECT key, value, versionstamp, expires_at, metadata, {COUNTED} {OF_KEYS}"
    ),
    get_many_short=_TEXTS.of_keys(
        f"""
SELECT key, {value_up_to(LONG_VALUE)}, versionstamp, expires_at, metadata, {COUNTED},
  {VALUE_SIZE}
{OF_KEYS}"""
    ),
    get_many_stamps=_TEXTS.of_keys(
        f"SELECT key, '' AS value, versionstamp, expires_at, NULL AS metadata, {COUNTED} {OF_KEYS}"
    ),
    get_many_json={shape: _TEXTS.of_keys(text) for shape, text in _GET_MANY_JSON.items()},
    get_many_entries={shape: _TEXTS.of_keys(text) for shape, text in _GET_MANY_ENTRIES.items()},
    get_joined={},
    get_many_within=within(_GET_MANY_WITHIN),
    rows=_TEXTS.selecting(f"SELECT key, value, versionstamp {_SELECTED}"),
    short_rows=_TEXTS.selecting(
        f"SELECT key, {value_up_to(SHORT_ENTRY)}, versionstamp {_SELECTED}"
    ),
    stamps=_TEXTS.selecting(f"SELECT key, versionstamp {_SELECTED}"),
    behind=_TEXTS.selecting(f"SELECT key {_BEHIND}"),
    entries=_TEXTS.selecting(f"SELECT key, value, {{entry}} {_SELECTED}"),
    list_json=_TEXTS.selecting(_LIST_JSON),
    list_within=_TEXTS.selecting_within(_LIST_WITHIN),
    page_json=_TEXTS.selecting(_PAGE_JSON),
    page_within=_TEXTS.selecting_within(_PAGE_WITHIN),
    page_rows=_TEXTS.selecting(_PAGE_ROWS),
    page_rows_within=_TEXTS.selecting_within(_PAGE_ROWS_WITHIN),
    any=_TEXTS.any(),
    matching=_TEXTS.matching,
    all=lambda keys, now_ms: Statement(_ALL, (*keys, now_ms)),
    up_to=lambda keys, number: Statement(_UP_TO, (*keys, number)),
    next_expiry="SELECT min(expires_at) FROM kv_entries WHERE expires_at IS NOT NULL",
    # What has expired and is not removed yet is no entry any more. It is found by its own index.
    totals=f"""
SELECT entries - gone.number, bytes - gone.size
FROM kv_totals, (
  SELECT count(*) AS number, coalesce(sum(octet_length(key) + {VALUE_SIZE}), 0)::bigint AS size
  FROM kv_entries WHERE expires_at <= $1) AS gone""",
)

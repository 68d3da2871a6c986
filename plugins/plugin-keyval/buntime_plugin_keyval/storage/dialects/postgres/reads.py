"""Reading entries in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from buntime_database import Statement, Value
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.rows import (
    ENTRY_JSON,
    ENTRY_SIZE,
    IN_RANGE,
    LIVE,
    VALUE_SIZE,
    as_bytes,
    entry_of,
    value_up_to,
)
from buntime_plugin_keyval.storage.dialects.reads import (
    LONG_VALUE,
    READ_INLINE,
    SHORT_ENTRY,
    OfKeys,
    ReadSql,
    Selecting,
    SelectingWithin,
)
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition, Selection

VARIABLE_LIMIT = 1024
"""Keys that one statement takes as variables; the protocol has room for 32,767."""

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than the protocol allows.
_KEYS_OF_JSON = "SELECT decode(code, 'hex') FROM json_array_elements_text(?::json) AS codes (code)"

_COUNTED = "revision, type"
_ENTRY = entry_of("code")

# In what reads keys, %s is where they go in.
_OF_KEYS = f"FROM kv_entries WHERE key IN (%s) AND {LIVE}"
_GET_MANY_JSON = {shape: f"SELECT key, {entry} {_OF_KEYS}" for shape, entry in ENTRY_JSON.items()}
_GET_MANY_ENTRIES = {
    shape: f"""
SELECT key, versionstamp, CASE WHEN {VALUE_SIZE} <= {SHORT_ENTRY} THEN {entry} END {_OF_KEYS}"""
    for shape, entry in ENTRY_JSON.items()
}
# Keys with the number of times that each is wanted come as a JSON array of pairs.
_GET_MANY_WITHIN = {
    shape: f"""
WITH wanted AS MATERIALIZED (
  SELECT decode(pair ->> 0, 'hex') AS code, (pair ->> 1)::bigint AS times
  FROM json_array_elements($1::json) AS pairs (pair)),
total AS MATERIALIZED (
  SELECT sum(times * ({ENTRY_SIZE[shape]}))::bigint AS bytes
  FROM wanted CROSS JOIN {_ENTRY} WHERE (expires_at IS NULL OR expires_at > $2))
SELECT key, versionstamp, CASE WHEN times > 0 AND bytes <= $3 THEN {as_bytes(entry)} END, bytes
FROM total CROSS JOIN wanted CROSS JOIN {_ENTRY}
WHERE (expires_at IS NULL OR expires_at > $2)"""
    for shape, entry in ENTRY_JSON.items()
}

# In what lists, `{entry}` is its JSON and `{size}` about how many bytes that has, `{where}` TRUE or
# a filter, and `{order}` ASC or DESC.
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

_ANY = f"SELECT EXISTS (SELECT 1 FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}})"

_MATCHING = f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"


# Each key is looked up in the index.
_GET_TOGETHER = f"""
SELECT key, {value_up_to(READ_INLINE)}, versionstamp, expires_at
FROM kv_entries WHERE key = ANY ($1::bytea[])"""


def get_together(keys: Sequence[bytes]) -> tuple[str, Sequence[Value]]:
    """See `getting.Question`."""
    return _GET_TOGETHER, ([*keys],)  # type: ignore[return-value] # an array


def _of_keys(template: str) -> OfKeys:
    return lambda keys, now_ms: _reading(template, keys, now_ms)


def _reading(template: str, keys: Sequence[bytes], now_ms: int) -> Statement:
    if len(keys) > VARIABLE_LIMIT:
        codes = msgspec.json.encode([key.hex() for key in keys]).decode()
        return Statement(_with_many(template), (codes, now_ms))
    # The next power of two: few distinct statements, so that they stay prepared.
    places = 1 << (len(keys) - 1).bit_length()
    args: list[Value] = [*keys, *[keys[-1]] * (places - len(keys)), now_ms]
    return Statement(_with_places(template, places), args)


@lru_cache
def _with_places(template: str, places: int) -> str:
    return numbered(template % ",".join("?" * places))


@lru_cache
def _with_many(template: str) -> str:
    return numbered(template % _KEYS_OF_JSON)


def _get_many_within(times: Mapping[bytes, int], now_ms: int, shape: Shape, most: int) -> Statement:
    pairs = msgspec.json.encode([(key.hex(), number) for key, number in times.items()]).decode()
    return Statement(_GET_MANY_WITHIN[shape], (pairs, now_ms, most))


def _selecting(template: str) -> Selecting:
    return lambda selection, now_ms: Statement(_made(template, selection), selection.args(now_ms))


def _selecting_within(template: str) -> SelectingWithin:
    return lambda selection, now_ms, most: Statement(
        _made(template, selection), (*selection.args(now_ms), most)
    )


def _made(template: str, selection: Selection) -> str:
    where = selection.condition.sql
    if not where:
        return _plain(template, selection.shape, selection.reverse)
    return _filled(template, selection.shape, selection.reverse, where)


@lru_cache
def _plain(template: str, shape: Shape, reverse: bool) -> str:
    return _filled(template, shape, reverse, "TRUE")


def _filled(template: str, shape: Shape, reverse: bool, where: str) -> str:
    return numbered(
        template.format(
            entry=ENTRY_JSON[shape],
            size=ENTRY_SIZE[shape],
            order="DESC" if reverse else "ASC",
            where=where,
        )
    )


def _any(selection: Selection, now_ms: int) -> Statement:
    condition = selection.condition
    return Statement(_made(_ANY, selection), (*selection.keys, now_ms, *condition.args))


def _matching(keys: KeyRange, condition: RowCondition, now_ms: int) -> Statement:
    text = numbered(_MATCHING.format(where=condition.sql or "TRUE"))
    return Statement(text, (*keys, now_ms, *condition.args))


_ALL = numbered(_MATCHING.format(where="TRUE"))

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
    get_many=_of_keys(
        f"SELECT key, value, versionstamp, expires_at, metadata, {_COUNTED} {_OF_KEYS}"
    ),
    get_many_short=_of_keys(
        f"""
SELECT key, {value_up_to(LONG_VALUE)}, versionstamp, expires_at, metadata, {_COUNTED},
  {VALUE_SIZE}
{_OF_KEYS}"""
    ),
    get_many_stamps=_of_keys(
        f"SELECT key, '' AS value, versionstamp, expires_at, NULL AS metadata, {_COUNTED}"
        f" {_OF_KEYS}"
    ),
    get_many_json={shape: _of_keys(text) for shape, text in _GET_MANY_JSON.items()},
    get_many_entries={shape: _of_keys(text) for shape, text in _GET_MANY_ENTRIES.items()},
    get_joined={},
    get_many_within=_get_many_within,
    rows=_selecting(f"SELECT key, value, versionstamp {_SELECTED}"),
    short_rows=_selecting(f"SELECT key, {value_up_to(SHORT_ENTRY)}, versionstamp {_SELECTED}"),
    stamps=_selecting(f"SELECT key, versionstamp {_SELECTED}"),
    behind=_selecting(f"SELECT key {_BEHIND}"),
    entries=_selecting(f"SELECT key, value, {{entry}} {_SELECTED}"),
    list_json=_selecting(_LIST_JSON),
    list_within=_selecting_within(_LIST_WITHIN),
    page_json=_selecting(_PAGE_JSON),
    page_within=_selecting_within(_PAGE_WITHIN),
    page_rows=_selecting(_PAGE_ROWS),
    page_rows_within=_selecting_within(_PAGE_ROWS_WITHIN),
    any=_any,
    matching=_matching,
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

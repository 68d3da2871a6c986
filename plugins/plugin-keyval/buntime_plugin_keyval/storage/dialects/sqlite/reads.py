"""Reading entries in SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from buntime_database import Adapter, Statement, Value

from buntime_plugin_keyval.storage.dialects.getting import GetsTogether
from buntime_plugin_keyval.storage.dialects.reads import (
    LONG_VALUE,
    READ_INLINE,
    SHORT_ENTRY,
    Getting,
    ReadSql,
    one_by_one,
)
from buntime_plugin_keyval.storage.dialects.sqlite.rows import ENTRIES
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, VALUE_SIZE, value_up_to
from buntime_plugin_keyval.storage.dialects.templates import (
    COUNTED,
    IN_RANGE,
    LIVE,
    OF_KEYS,
    Templates,
    within,
)
from buntime_plugin_keyval.storage.ranges import hexadecimal

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than an engine allows.
_KEYS_OF_JSON = "SELECT unhex(value) FROM json_each(?)"


_TEXTS = Templates(ENTRIES, keys_of_json=_KEYS_OF_JSON)

_GET_MANY_JSON = {shape: f"SELECT key, {entry} {OF_KEYS}" for shape, entry in ENTRIES.json.items()}
# NULL for an entry whose value is long, since up to 128 of them are read on the event loop.
_GET_MANY_ENTRIES = {
    shape: f"SELECT key, versionstamp, iif(long_size > {SHORT_ENTRY}, NULL, {entry}) {OF_KEYS}"
    for shape, entry in ENTRIES.json.items()
}
# All in one row: each row costs as much in Python as its text in SQLite. VALUES are looked up one
# after the other, without the sorted table that IN makes of its list. Places that are there to
# fill a statement up are NULL, and nothing for `group_concat`.
_GET_JOINED = {
    shape: f"""
SELECT group_concat(CASE
  WHEN key IS NULL THEN iif(column1 IS NULL, NULL, concat(char(30), column2, char(30)))
  WHEN long_size > {SHORT_ENTRY} THEN char(31) ELSE {entry} END, ',')
FROM (VALUES %s) LEFT JOIN kv_entries ON key = column1 AND {LIVE}"""
    for shape, entry in ENTRIES.json.items()
}
_EXACT_PLACES = 16
"""Up to so many keys, each number of them has a statement of its own."""
# Keys with the number of times that each is wanted come as a JSON array of pairs.
_GET_MANY_WITHIN = {
    shape: f"""
WITH wanted AS MATERIALIZED (
  SELECT unhex(value ->> 0) AS code, value ->> 1 AS times FROM json_each(?1)),
total AS MATERIALIZED (
  SELECT sum(times * ({ENTRIES.size[shape]})) AS bytes
  FROM wanted CROSS JOIN kv_entries ON key = code WHERE (expires_at IS NULL OR expires_at > ?2))
SELECT key, versionstamp, iif(times > 0 AND bytes <= ?3, CAST({entry} AS BLOB), NULL), bytes
FROM total CROSS JOIN wanted CROSS JOIN kv_entries ON key = code
WHERE (expires_at IS NULL OR expires_at > ?2)"""
    for shape, entry in ENTRIES.json.items()
}

# For a bare variable behind LIMIT, SQLite would prepare the statement anew each time, which takes
# longer than a short list.
_SELECTED = f"""FROM kv_entries
WHERE {IN_RANGE} AND {LIVE} AND {{where}} ORDER BY key {{order}} LIMIT +?"""
_BEHIND = _SELECTED.replace("LIMIT +?", "LIMIT 1 OFFSET ?")

# Joined by SQLite: a hundred entries in one row, none touched by Python. As a text, so that
# damaged bytes, which are no UTF-8, are noticed.
_LIST_JSON = f"""
SELECT coalesce(group_concat(entry, ','), '') FROM (SELECT {{entry}} AS entry {_SELECTED})"""
_PAGE_JSON = f"""
SELECT coalesce(group_concat(entry, ','), ''), {{last}}(key), count(*) FROM (
  SELECT key, {{entry}} AS entry {_SELECTED})"""

# For lists that are long: the entries that are found, with the bytes up to and with each.
_FOUND = f"""
WITH found AS MATERIALIZED (
  SELECT code, row_number() OVER behind AS number, sum(size) OVER behind AS bytes
  FROM (SELECT key AS code, {{size}} AS size {_SELECTED})
  WINDOW behind AS (ORDER BY code {{order}} ROWS UNBOUNDED PRECEDING))"""

# Their keys, those that a condition lets through, in their order: sorted behind the join they would
# be there once more, with all that they hold. The LIMIT keeps SQLite from doing just that.
_FITTING = """(
  SELECT code FROM found WHERE {condition} ORDER BY number LIMIT -1) CROSS JOIN kv_entries"""
_FITTING_PART = _FITTING.format(condition="number = 1 OR bytes <= ?")

# Of these as many as there is room for, but at least one.
_PAGE_WITHIN = f"""{_FOUND}
SELECT coalesce(CAST(group_concat(entry, ',') AS BLOB), x''), {{last}}(code), count(*),
  (SELECT count(*) FROM found)
FROM (SELECT code, {{entry}} AS entry FROM {_FITTING_PART} ON key = code)"""

# All of these, or none if there is no room for all.
_LIST_WITHIN = f"""{_FOUND}
SELECT coalesce(CAST(group_concat(entry, ',') AS BLOB), x''), (SELECT count(*) FROM found),
  coalesce((SELECT max(bytes) FROM found), 0)
FROM (
  SELECT {{entry}} AS entry
  FROM {_FITTING.format(condition="(SELECT max(bytes) FROM found) <= ?")} ON key = code)"""

# As rows: a page of a snapshot may be too large for one text.
_PAGE_ROWS = f"SELECT key, iif({{size}} > {SHORT_ENTRY}, NULL, {{entry}}) {_SELECTED}"
_PAGE_ROWS_WITHIN = f"""{_FOUND}
SELECT code, CAST({{entry}} AS BLOB), (SELECT count(*) FROM found)
FROM {_FITTING_PART} ON key = code"""

# All minus the expired ones, both from narrow indexes: the entries themselves are wide.
_ALL = f"""
SELECT (SELECT count(*) FROM kv_entries INDEXED BY kv_entries_key WHERE {IN_RANGE})
     - (SELECT count(*) FROM kv_entries INDEXED BY kv_entries_expiry
        WHERE expires_at <= ? AND {IN_RANGE})"""

_UP_TO = f"SELECT count(*) FROM (SELECT 1 FROM kv_entries WHERE {IN_RANGE} LIMIT ?)"


_GET_TOGETHER = f"""
SELECT key, {value_up_to(READ_INLINE)}, versionstamp, expires_at
FROM kv_entries WHERE key IN ({_KEYS_OF_JSON})"""


def getting(adapter: Adapter) -> Getting:
    """See `Dialect.getting`."""
    if adapter.capabilities.dear_statements:
        return GetsTogether(adapter, _get_together)
    return one_by_one(READS.get_short)(adapter)


def _get_together(keys: Sequence[bytes]) -> tuple[str, Sequence[Value]]:
    """See `getting.Question`."""
    return _GET_TOGETHER, (hexadecimal(keys),)


def _joining(template: str) -> Callable[[Sequence[bytes], int], Statement]:
    def joining(keys: Sequence[bytes], now_ms: int) -> Statement:
        number = len(keys)
        if number <= _EXACT_PLACES:
            return Statement(_with_rows(template, number), (*keys, now_ms))
        rows = 1 << (number - 1).bit_length()  # as `Templates.of_keys`
        filled = (*keys, *[None] * (rows - number), now_ms)
        return Statement(_with_rows(template, rows), filled)

    return joining


@lru_cache(maxsize=256)
def _with_rows(template: str, rows: int) -> str:
    return template % ",".join([f"(?,{place})" for place in range(rows)])


READS = ReadSql(
    get=f"SELECT {VALUE}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}",
    get_short=f"""
SELECT {value_up_to(READ_INLINE)}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}""",
    head=f"""
SELECT {VALUE_SIZE} + octet_length(versionstamp), versionstamp
FROM kv_entries WHERE key = ? AND {LIVE}""",
    get_many=_TEXTS.of_keys(
        f"SELECT key, {VALUE}, versionstamp, expires_at, metadata, {COUNTED} {OF_KEYS}"
    ),
    get_many_short=_TEXTS.of_keys(
        f"""
SELECT key, {value_up_to(LONG_VALUE)}, versionstamp, expires_at, metadata, {COUNTED}, long_size
{OF_KEYS}"""
    ),
    get_many_stamps=_TEXTS.of_keys(
        f"SELECT key, '', versionstamp, expires_at, NULL, {COUNTED} {OF_KEYS}"
    ),
    get_many_json={shape: _TEXTS.of_keys(text) for shape, text in _GET_MANY_JSON.items()},
    get_many_entries={shape: _TEXTS.of_keys(text) for shape, text in _GET_MANY_ENTRIES.items()},
    get_joined={shape: _joining(text) for shape, text in _GET_JOINED.items()},
    get_many_within=within(_GET_MANY_WITHIN),
    rows=_TEXTS.selecting(f"SELECT key, {VALUE}, versionstamp {_SELECTED}"),
    short_rows=_TEXTS.selecting(
        f"SELECT key, {value_up_to(SHORT_ENTRY)}, versionstamp {_SELECTED}"
    ),
    stamps=_TEXTS.selecting(f"SELECT key, versionstamp {_SELECTED}"),
    behind=_TEXTS.selecting(f"SELECT key {_BEHIND}"),
    entries=_TEXTS.selecting(f"SELECT key, {VALUE}, {{entry}} {_SELECTED}"),
    list_json=_TEXTS.selecting(_LIST_JSON),
    list_within=_TEXTS.selecting_within(_LIST_WITHIN),
    page_json=_TEXTS.selecting(_PAGE_JSON),
    page_within=_TEXTS.selecting_within(_PAGE_WITHIN),
    page_rows=_TEXTS.selecting(_PAGE_ROWS),
    page_rows_within=_TEXTS.selecting_within(_PAGE_ROWS_WITHIN),
    any=_TEXTS.any(),
    matching=_TEXTS.matching,
    all=lambda keys, now_ms: Statement(_ALL, (*keys, now_ms, *keys)),
    up_to=lambda keys, number: Statement(_UP_TO, (*keys, number)),
    next_expiry="SELECT min(expires_at) FROM kv_entries WHERE expires_at IS NOT NULL",
    # What has expired and is not removed yet is no entry any more. It is found by its own index.
    totals=f"""
SELECT
  entries - (SELECT count(*) FROM kv_entries WHERE expires_at <= ?1),
  bytes - (
    SELECT coalesce(sum(length(key) + {VALUE_SIZE}), 0) FROM kv_entries WHERE expires_at <= ?1)
FROM kv_totals""",
)

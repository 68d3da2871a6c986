"""Reading entries in SQLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import msgspec
from buntime_database import Adapter, Statement, Value
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.dialects.getting import GetsTogether
from buntime_plugin_keyval.storage.dialects.reads import (
    LONG_VALUE,
    READ_INLINE,
    SHORT_ENTRY,
    Getting,
    OfKeys,
    ReadSql,
    Selecting,
    SelectingWithin,
    one_by_one,
)
from buntime_plugin_keyval.storage.dialects.sqlite.rows import (
    ENTRY_JSON,
    ENTRY_SIZE,
    IN_RANGE,
    LIVE,
)
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, VALUE_SIZE, value_up_to
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition, Selection

VARIABLE_LIMIT = 1024
"""Keys that one statement takes as variables; engines stop somewhere above 32,000."""

# Any number of keys in one argument, as JSON array of hexadecimal texts: one statement, so one
# snapshot, and no more variables than an engine allows.
_KEYS_OF_JSON = "SELECT unhex(value) FROM json_each(?)"

_COUNTED = "revision, type"

# In what reads keys, %s is where they go in.
_OF_KEYS = f"FROM kv_entries WHERE key IN (%s) AND {LIVE}"
_GET_MANY_JSON = {shape: f"SELECT key, {entry} {_OF_KEYS}" for shape, entry in ENTRY_JSON.items()}
# NULL for an entry whose value is long, since up to 128 of them are read on the event loop.
_GET_MANY_ENTRIES = {
    shape: f"SELECT key, versionstamp, iif(long_size > {SHORT_ENTRY}, NULL, {entry}) {_OF_KEYS}"
    for shape, entry in ENTRY_JSON.items()
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
    for shape, entry in ENTRY_JSON.items()
}
_EXACT_PLACES = 16
"""Up to so many keys, each number of them has a statement of its own."""
# Keys with the number of times that each is wanted come as a JSON array of pairs.
_GET_MANY_WITHIN = {
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

# In what lists, `{entry}` is its JSON and `{size}` about how many bytes that has, `{where}` TRUE or
# a filter, `{order}` ASC or DESC, and `{last}` what finds the last key. For a bare variable behind
# LIMIT, SQLite would prepare the statement anew each time, which takes longer than a short list.
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

_ANY = f"SELECT EXISTS (SELECT 1 FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}})"

_MATCHING = f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"

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
    return _GET_TOGETHER, (msgspec.json.encode([key.hex() for key in keys]).decode(),)


def _of_keys(template: str) -> OfKeys:
    return lambda keys, now_ms: _reading(template, keys, now_ms)


def _reading(template: str, keys: Sequence[bytes], now_ms: int) -> Statement:
    if len(keys) > VARIABLE_LIMIT:
        codes = msgspec.json.encode([key.hex() for key in keys]).decode()
        return Statement(template % _KEYS_OF_JSON, (codes, now_ms))
    # The next power of two: few distinct statements, so that they stay prepared.
    places = 1 << (len(keys) - 1).bit_length()
    args: list[Value] = [*keys, *[keys[-1]] * (places - len(keys)), now_ms]
    return Statement(_with_places(template, places), args)


@lru_cache
def _with_places(template: str, places: int) -> str:
    return template % ",".join("?" * places)


def _joining(template: str) -> Callable[[Sequence[bytes], int], Statement]:
    def joining(keys: Sequence[bytes], now_ms: int) -> Statement:
        number = len(keys)
        if number <= _EXACT_PLACES:
            return Statement(_with_rows(template, number), (*keys, now_ms))
        rows = 1 << (number - 1).bit_length()  # as `_reading`
        filled = (*keys, *[None] * (rows - number), now_ms)
        return Statement(_with_rows(template, rows), filled)

    return joining


@lru_cache(maxsize=256)
def _with_rows(template: str, rows: int) -> str:
    return template % ",".join([f"(?,{place})" for place in range(rows)])


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
    return template.format(
        entry=ENTRY_JSON[shape],
        size=ENTRY_SIZE[shape],
        order="DESC" if reverse else "ASC",
        where=where,
        last="min" if reverse else "max",
    )


def _any(selection: Selection, now_ms: int) -> Statement:
    condition = selection.condition
    return Statement(_made(_ANY, selection), (*selection.keys, now_ms, *condition.args))


def _matching(keys: KeyRange, condition: RowCondition, now_ms: int) -> Statement:
    where = condition.sql or "TRUE"
    return Statement(_MATCHING.format(where=where), (*keys, now_ms, *condition.args))


READS = ReadSql(
    get=f"SELECT {VALUE}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}",
    get_short=f"""
SELECT {value_up_to(READ_INLINE)}, versionstamp FROM kv_entries WHERE key = ? AND {LIVE}""",
    head=f"""
SELECT {VALUE_SIZE} + octet_length(versionstamp), versionstamp
FROM kv_entries WHERE key = ? AND {LIVE}""",
    get_many=_of_keys(
        f"SELECT key, {VALUE}, versionstamp, expires_at, metadata, {_COUNTED} {_OF_KEYS}"
    ),
    get_many_short=_of_keys(
        f"""
SELECT key, {value_up_to(LONG_VALUE)}, versionstamp, expires_at, metadata, {_COUNTED}, long_size
{_OF_KEYS}"""
    ),
    get_many_stamps=_of_keys(
        f"SELECT key, '', versionstamp, expires_at, NULL, {_COUNTED} {_OF_KEYS}"
    ),
    get_many_json={shape: _of_keys(text) for shape, text in _GET_MANY_JSON.items()},
    get_many_entries={shape: _of_keys(text) for shape, text in _GET_MANY_ENTRIES.items()},
    get_joined={shape: _joining(text) for shape, text in _GET_JOINED.items()},
    get_many_within=_get_many_within,
    rows=_selecting(f"SELECT key, {VALUE}, versionstamp {_SELECTED}"),
    short_rows=_selecting(f"SELECT key, {value_up_to(SHORT_ENTRY)}, versionstamp {_SELECTED}"),
    stamps=_selecting(f"SELECT key, versionstamp {_SELECTED}"),
    behind=_selecting(f"SELECT key {_BEHIND}"),
    entries=_selecting(f"SELECT key, {VALUE}, {{entry}} {_SELECTED}"),
    list_json=_selecting(_LIST_JSON),
    list_within=_selecting_within(_LIST_WITHIN),
    page_json=_selecting(_PAGE_JSON),
    page_within=_selecting_within(_PAGE_WITHIN),
    page_rows=_selecting(_PAGE_ROWS),
    page_rows_within=_selecting_within(_PAGE_ROWS_WITHIN),
    any=_any,
    matching=_matching,
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

"""The SQL of a search, and what can be asked of one."""

from __future__ import annotations

import base64
import binascii
import functools
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from buntime_database import Statement, Value
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.searching import HitMarks

from buntime_plugin_keyval.features.search.indexes import Index
from buntime_plugin_keyval.model.where import Where
from buntime_plugin_keyval.storage.dialects.sqlite.rows import ENTRY_MEMBERS, LIVE
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, value_up_to
from buntime_plugin_keyval.storage.entry_json import entry_json
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition
from buntime_plugin_keyval.storage.within import Text

_OFFSET = re.compile(rb"[0-9]{1,9}")
_HTML = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("''", "&#39;"))
"""Characters as SQL writes them, the ampersand first."""

EVERYTHING = -1
"""The limit that is none."""

FEW = 64
"""Matches below which a search is a small read."""

SHORT_VALUE = 16 * 1024
"""Bytes of a value that a small read may have."""

# Without a filter a search need not look at the entries before it knows the best hits: what has
# expired is little, since the sweeper removes it.
_NOT_EXPIRED = "doc_key NOT IN (SELECT key FROM kv_entries WHERE expires_at <= ?)"


class SearchOptions(NamedTuple):
    """How to search, and what to give back."""

    limit: int
    offset: int = 0
    reverse: bool = False
    where: Where | None = None
    start: bytes | None = None
    end: bytes | None = None
    weights: Mapping[str, float] = MappingProxyType({})
    """How much a hit in a field counts; 1 for those that are not named."""
    highlight: HitMarks | None = None
    """Texts around each hit in `highlight`, which then goes with each entry."""
    snippet_words: int | None = None
    """Length of the extracts in `snippet`, which then go with each entry."""
    fuzzy: bool = False
    """Whether to look for similar words where nothing is found."""
    most_bytes: int | None = None
    """How large the entries of an answer may be together; None for any size."""

    @property
    def is_narrowed(self) -> bool:
        """Whether only a part of the keys is asked for."""
        return self.start is not None or self.end is not None


SmallHit = tuple[int, int | None, str, str | None, str]
"""How many entries were ranked; when this one expires; its key as JSON; its value, None for a long
one; its versionstamp."""


class FoundPage(NamedTuple):
    """What was found, up to the limit."""

    entries: Text
    """The inside of a JSON array."""
    has_more: bool
    warnings: tuple[str, ...] = ()
    """What the index could not look for."""
    searched_for: str | None = None
    """The query that was answered, where it is not the one that was asked."""
    limit: int | None = None
    """The limit that was answered, where the one that was asked for is too large an answer."""


def make_search_cursor(options: SearchOptions) -> str:
    """The cursor of the page behind the one with these options."""
    return base64.urlsafe_b64encode(b"search:%d" % (options.offset + options.limit)).decode()


def parse_search_cursor(cursor: str | None) -> int:
    """How many hits a cursor skips. Raises `InvalidInput`."""
    if not cursor:
        return 0
    try:
        name, _, number = base64.urlsafe_b64decode(cursor).partition(b":")
    except (binascii.Error, ValueError):
        name, number = b"", b""
    if name != b"search" or not _OFFSET.fullmatch(number):
        raise InvalidInput("Invalid cursor")
    return int(number)


def page_statement(
    index: Index,
    match: str,
    options: SearchOptions,
    condition: RowCondition,
    now_ms: int,
    *,
    as_bytes: bool = False,
) -> Statement:
    """One row: the entries that were found, as the inside of a JSON array, and whether more were.

    One row, since a thread that reads many rows asks for the interpreter's lock as often.
    Raises `InvalidInput` for the weight of an unknown field.
    """
    entries = "group_concat(entry, ',')"
    entries = f"coalesce(CAST({entries} AS BLOB), x'')" if as_bytes else f"coalesce({entries}, '')"
    hits = _hits(index, options, condition)
    found, found_args = _found(index, match, options, "entry")
    sql = f"""
{hits}
SELECT {entries}, (SELECT count(*) FROM hits) > ?
FROM ({found} LIMIT ?)"""
    # One more than is wanted says whether there are more.
    one_more = options._replace(limit=options.limit + 1)
    args = _hits_args(index, match, one_more, condition, now_ms)
    if options.limit == EVERYTHING:
        args = _hits_args(index, match, options, condition, now_ms)
        return Statement(sql, (*args, 1 << 62, *found_args, EVERYTHING))
    return Statement(sql, (*args, options.limit, *found_args, options.limit))


def small_statement(index: Index, match: str, options: SearchOptions) -> Statement:
    """A row for each entry of a page, live or not, and for one more: see `SmallHit`.

    Ranks `FEW` and one entries at the most, so for one word this is a bounded read. Raises
    `InvalidInput` for the weight of an unknown field.
    """
    weights = _weights(index, options)
    narrowed = _narrowed(index.keys, options) if options.is_narrowed else ()
    sql = _small_sql(index.table, len(weights), options.is_narrowed, options.reverse)
    one_more = options.limit if options.limit == EVERYTHING else options.limit + 1
    return Statement(sql, (*weights, match, *narrowed, one_more, options.offset))


@functools.lru_cache(maxsize=256)
def _small_sql(table: str, weights: int, is_narrowed: bool, reverse: bool) -> str:
    score = ", ".join([table, *"?" * weights])
    inside = "WHERE doc_key >= ? AND doc_key < ?" if is_narrowed else ""
    order = _order(reverse)
    return f"""
WITH hits AS MATERIALIZED (
  SELECT doc_key, bm25({score}) AS score FROM {table} CROSS JOIN kv_docs ON doc = {table}.rowid
  WHERE {table} MATCH ? LIMIT {FEW + 1})
SELECT (SELECT count(*) FROM hits), expires_at, key_json,
  {value_up_to(SHORT_VALUE)}, versionstamp
FROM (SELECT doc_key, score FROM hits {inside} ORDER BY {order} LIMIT ? OFFSET ?)
CROSS JOIN kv_entries ON key = doc_key ORDER BY {order}"""


def small_page(rows: list[SmallHit], options: SearchOptions, now_ms: int) -> FoundPage | None:
    """The page that `small_statement` read, or None where it takes more than that.

    That is so if more than `FEW` match, for an expired entry, which took the place of another, and
    for a long value.
    """
    if not rows:
        # Nothing matches, unless what was ranked is not what was asked for.
        is_all = not options.is_narrowed and not options.offset
        return FoundPage("", has_more=False) if is_all else None
    if rows[0][0] > FEW or any(row[1] is not None and row[1] <= now_ms for row in rows):
        return None
    page = rows if options.limit == EVERYTHING else rows[: options.limit]
    entries = []
    for _, _, key, value, versionstamp in page:
        if value is None:
            return None
        entries.append(entry_json(key, value, versionstamp))
    return FoundPage(",".join(entries), len(page) < len(rows))


def rows_statement(
    index: Index, match: str, options: SearchOptions, condition: RowCondition, now_ms: int
) -> Statement:
    """A row for each entry: its JSON text, and its value for a condition to be looked at again.

    Raises `InvalidInput` for the weight of an unknown field.
    """
    found, found_args = _found(index, match, options, f"entry, {VALUE}")
    args = _hits_args(index, match, options, condition, now_ms)
    return Statement(f"{_hits(index, options, condition)} {found}", (*args, *found_args))


def _hits(index: Index, options: SearchOptions, condition: RowCondition) -> str:
    """The keys of the best hits. Everything that decides what is a hit comes before the limit."""
    table = index.table
    joined, alive = "", _NOT_EXPIRED
    if options.where is not None:
        joined, alive = "JOIN kv_entries ON key = doc_key", f"{LIVE} AND {condition.sql}"
    return f"""
WITH hits AS MATERIALIZED (
  SELECT {table}.rowid AS hit, doc_key, bm25({_score_args(index, options)}) AS score
  FROM {table} JOIN kv_docs ON doc = {table}.rowid {joined}
  WHERE {table} MATCH ? AND doc_key >= ? AND doc_key < ? AND {alive}
  ORDER BY {_order(options.reverse)} LIMIT ? OFFSET ?)"""


def _hits_args(
    index: Index, match: str, options: SearchOptions, condition: RowCondition, now_ms: int
) -> tuple[Value, ...]:
    return (
        *_weights(index, options),
        match,
        *_narrowed(index.keys, options),
        now_ms,
        *condition.args,
        options.limit,
        options.offset,
    )


def _found(
    index: Index, match: str, options: SearchOptions, columns: str
) -> tuple[str, list[Value]]:
    """What belongs to the hits, in their order. Only these entries are put together."""
    entry, args = _entry(index, options)
    again = ""
    if options.highlight is not None or options.snippet_words is not None:
        # What shows hits in their texts needs the query once more.
        again = f"JOIN {index.table} ON {index.table}.rowid = hit AND {index.table} MATCH ?"
        args.append(match)
    # CROSS: in the order of the hits, however many the planner takes them for.
    sql = f"""
SELECT {columns.replace("entry", f"{entry} AS entry")}
FROM hits CROSS JOIN kv_entries ON key = doc_key {again} ORDER BY {_order(options.reverse)}"""
    return sql, args


def _order(reverse: bool) -> str:
    return "score DESC, doc_key DESC" if reverse else "score, doc_key"


def _score_args(index: Index, options: SearchOptions) -> str:
    weights = "?" * len(index.options.fields) if options.weights else ""
    return ", ".join([index.table, *weights])


def _narrowed(keys: KeyRange, options: SearchOptions) -> KeyRange:
    if options.start is not None:
        keys = keys.from_key(options.start)
    if options.end is not None:
        keys = keys.before(options.end)
    return keys


def _weights(index: Index, options: SearchOptions) -> list[float]:
    fields = index.options.fields
    if not options.weights:
        return []
    for field in options.weights:
        if field not in fields:
            raise InvalidInput(f"weights.{field}: the index has no such field")
    return [options.weights.get(field, 1.0) for field in fields]


def _entry(index: Index, options: SearchOptions) -> tuple[str, list[Value]]:
    """SQL for a result, with its arguments: the entry and what was asked for beside it."""
    members = [ENTRY_MEMBERS]
    args: list[Value] = []
    fields = list(enumerate(index.options.fields))
    if options.highlight is not None:
        marked = _Marked(options.highlight)
        texts = [marked.sql(f"highlight({index.table}, {n}, ?, ?)") for n, _ in fields]
        members.append(_member("highlight", texts))
        args += [arg for _, field in fields for arg in (field, *marked.given, *marked.shown)]
    if options.snippet_words is not None:
        marked = _Marked(options.highlight or HitMarks("", ""))
        texts = [marked.sql(f"snippet({index.table}, {n}, ?, ?, '…', ?)") for n, _ in fields]
        members.append(_member("snippet", texts))
        words = options.snippet_words
        args += [arg for _, field in fields for arg in (field, *marked.given, words, *marked.shown)]
    return f"""concat({", ".join([*members, "'}'"])})""", args


def _member(name: str, texts: list[str]) -> str:
    pairs = ", ".join(f"?, {text}" for text in texts)
    return f"""',"{name}":', json_object({pairs})"""


class _Marked:
    """The marks of hits. Where texts are escaped, FTS5 is given others, which no text contains."""

    def __init__(self, marks: HitMarks) -> None:
        self._escapes = marks.escape is not None
        self.given: tuple[Value, ...] = marks[:2]
        self.shown: tuple[Value, ...] = ()
        if self._escapes:
            own = secrets.token_hex(8)
            self.given = (f"\x02{own}\x02", f"\x03{own}\x03")
            self.shown = (self.given[0], marks.before, self.given[1], marks.after)

    def sql(self, call: str) -> str:
        """A call of FTS5, its text escaped if it shall be; `shown` are its further arguments."""
        if not self._escapes:
            return call
        for char, entity in _HTML:
            call = f"replace({call}, '{char}', '{entity}')"
        return f"replace(replace({call}, ?, ?), ?, ?)"

"""Asking an index in SQLite."""

from __future__ import annotations

import functools
import secrets

from buntime_database import Statement, Value
from buntime_keyval.wire.searching import HitMarks

from buntime_plugin_keyval.storage import searching
from buntime_plugin_keyval.storage.dialects.search import SearchQuestion
from buntime_plugin_keyval.storage.dialects.sqlite.rows import ENTRIES
from buntime_plugin_keyval.storage.dialects.sqlite.search.tables import vocabulary_of
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE, value_up_to
from buntime_plugin_keyval.storage.dialects.templates import LIVE

_HTML = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("''", "&#39;"))
"""Characters as SQL writes them, the ampersand first."""

# Without a filter a search need not look at the entries before it knows the best hits: what has
# expired is little, since the sweeper removes it.
_NOT_EXPIRED = "doc_key NOT IN (SELECT key FROM kv_entries WHERE expires_at <= ?)"


def page(question: SearchQuestion) -> Statement:
    """One row: the entries that were found, as the inside of a JSON array, and whether more were.

    One row, since a thread that reads many rows asks for the interpreter's lock as often.
    Raises `InvalidInput` for the weight of an unknown field.
    """
    options, as_bytes = question.options, question.as_bytes
    entries = "group_concat(entry, ',')"
    entries = f"coalesce(CAST({entries} AS BLOB), x'')" if as_bytes else f"coalesce({entries}, '')"
    hits = _hits(question)
    found, found_args = _found(question, "entry")
    sql = f"""
{hits}
SELECT {entries}, (SELECT count(*) FROM hits) > ?
FROM ({found} LIMIT +?)"""
    # One more than wanted shows whether there are more.
    args = _hits_args(question, options.limit + 1)
    if options.limit == searching.EVERYTHING:
        args = _hits_args(question, searching.EVERYTHING)
        return Statement(sql, (*args, 1 << 62, *found_args, searching.EVERYTHING))
    return Statement(sql, (*args, options.limit, *found_args, options.limit))


def small(index: searching.Index, match: str, options: searching.SearchOptions) -> Statement:
    """A row for each entry of a page, live or not, and for one more: see `SmallHit`.

    Ranks `FEW` and one entries at the most, so for one word this is a bounded read. Raises
    `InvalidInput` for the weight of an unknown field.
    """
    weights = options.weights_of(index.options.fields)
    narrowed = options.narrowed(index.keys) if options.is_narrowed else ()
    sql = _small_sql(index.table, len(weights), options.is_narrowed, options.reverse)
    one_more = options.limit if options.limit == searching.EVERYTHING else options.limit + 1
    return Statement(sql, (*weights, match, *narrowed, one_more, options.offset))


@functools.lru_cache(maxsize=256)
def _small_sql(table: str, weights: int, is_narrowed: bool, reverse: bool) -> str:
    score = ", ".join([table, *"?" * weights])
    inside = "WHERE doc_key >= ? AND doc_key < ?" if is_narrowed else ""
    order = _order(reverse)
    return f"""
WITH hits AS MATERIALIZED (
  SELECT doc_key, bm25({score}) AS score FROM {table} CROSS JOIN kv_docs ON doc = {table}.rowid
  WHERE {table} MATCH ? LIMIT {searching.FEW + 1})
SELECT (SELECT count(*) FROM hits), expires_at, key_json,
  {value_up_to(searching.SHORT_VALUE)}, versionstamp
FROM (SELECT doc_key, score FROM hits {inside} ORDER BY {order} LIMIT ? OFFSET ?)
CROSS JOIN kv_entries ON key = doc_key ORDER BY {order}"""


def rows(question: SearchQuestion) -> Statement:
    """A row for each entry: its JSON text, and its value for a condition to be looked at again.

    Raises `InvalidInput` for the weight of an unknown field.
    """
    found, found_args = _found(question, f"entry, {VALUE}")
    args = _hits_args(question, question.options.limit)
    return Statement(f"{_hits(question)} {found}", (*args, *found_args))


def _hits(question: SearchQuestion) -> str:
    """The keys of the best hits. All conditions on hits come before the limit."""
    # For a bare variable behind LIMIT, SQLite would prepare the statement anew each time.
    index, options, condition = question.searched, question.options, question.condition
    table = index.table
    joined, alive = "", _NOT_EXPIRED
    if options.where is not None:
        joined, alive = "JOIN kv_entries ON key = doc_key", f"{LIVE} AND {condition.sql or 'TRUE'}"
    return f"""
WITH hits AS MATERIALIZED (
  SELECT {table}.rowid AS hit, doc_key, bm25({_score_args(index, options)}) AS score
  FROM {table} JOIN kv_docs ON doc = {table}.rowid {joined}
  WHERE {table} MATCH ? AND doc_key >= ? AND doc_key < ? AND {alive}
  ORDER BY {_order(options.reverse)} LIMIT +? OFFSET ?)"""


def _hits_args(question: SearchQuestion, limit: int) -> tuple[Value, ...]:
    index, options = question.searched, question.options
    return (
        *options.weights_of(index.options.fields),
        question.match,
        *options.narrowed(index.keys),
        question.now_ms,
        *question.condition.args,
        limit,
        options.offset,
    )


def _found(question: SearchQuestion, columns: str) -> tuple[str, list[Value]]:
    """The parts of the hits, in their order. Only these entries are put together."""
    index, options = question.searched, question.options
    entry, args = _entry(index, options)
    again = ""
    if options.highlight is not None or options.snippet_words is not None:
        # Highlighting needs the query again.
        again = f"JOIN {index.table} ON {index.table}.rowid = hit AND {index.table} MATCH ?"
        args.append(question.match)
    # CROSS: in the order of the hits, however many the planner takes them for.
    sql = f"""
SELECT {columns.replace("entry", f"{entry} AS entry")}
FROM hits CROSS JOIN kv_entries ON key = doc_key {again} ORDER BY {_order(options.reverse)}"""
    return sql, args


def _order(reverse: bool) -> str:
    return "score DESC, doc_key DESC" if reverse else "score, doc_key"


def _score_args(index: searching.Index, options: searching.SearchOptions) -> str:
    weights = "?" * len(index.options.fields) if options.weights else ""
    return ", ".join([index.table, *weights])


def _entry(index: searching.Index, options: searching.SearchOptions) -> tuple[str, list[Value]]:
    """SQL for a result, with its arguments: the entry and the requested parts beside it."""
    members = [ENTRIES.members]
    args: list[Value] = []
    if options.explain:
        members.append("""',"score":', -score""")
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


def words(index: searching.Index, letter: str, lengths: tuple[int, int], limit: int) -> Statement:
    """Words of an index that begin with a letter, if one is given, with the number of entries."""
    text = f"SELECT term, doc FROM {vocabulary_of(index)} WHERE length(term) BETWEEN ?1 AND ?2"
    args: tuple[Value, ...] = (*lengths, limit)
    if letter:
        text += " AND term >= ?4 AND term < ?5"
        args += (letter, chr(ord(letter) + 1))
    return Statement(f"{text} LIMIT +?3", args)

"""Asking an index in PostgreSQL.

What makes a question of a query is in subqueries of their own, which the server answers once and
not for each entry.
"""

from __future__ import annotations

import msgspec
from buntime_database import Statement, Value
from buntime_keyval.wire.searching import HitMarks

from buntime_plugin_keyval.storage.dialects.postgres import rows as entry_rows
from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.rows import ENTRIES, entry_of
from buntime_plugin_keyval.storage.dialects.search import SearchQuestion
from buntime_plugin_keyval.storage.dialects.templates import LIVE
from buntime_plugin_keyval.storage.searching import EVERYTHING, Index, SearchOptions

MOST_ENTRIES = 10_000
"""Entries whose words are compared for similarity: the server has no list of all words."""

_BEYOND_EVERY_NUMBER = 1 << 62
_ENTRY = entry_of("doc_key")

# Expression, what of it, number of the index, its first and its last field, tokenizer.
_ASKED = "(SELECT kv_query(?::jsonb -> '{}', ?::bigint, ?::bigint, ?::bigint, ?::text))"
MATCH, _TERMS = _ASKED.format("match"), _ASKED.format("terms")
"""The words of the query, and the terms that rank them; `asked` has their arguments."""

# Divided by the logarithm of the number of words: a hit in a short text counts for more.
_RANK = "?::float8 * ts_rank_cd('{1,1,1,1}', words, " + _TERMS + ", 1)"


def page(question: SearchQuestion) -> Statement:
    """One row: the entries that were found, as the inside of a JSON array, and whether more were.

    Raises `InvalidInput` for the weight of an unknown field.
    """
    options, limit = question.options, _limit(question)
    # One more than wanted shows whether there are more.
    hits, hits_args = _hits(question, limit + 1)
    entry, entry_args = _entry(question)
    order = _order(options)
    entries = f"coalesce(string_agg(entry, ',' ORDER BY {order}), '')"
    if question.as_bytes:
        entries = entry_rows.as_bytes(entries)
    sql = f"""
{hits}
SELECT {entries}, (SELECT count(*) FROM hits) > ?
FROM (
  SELECT score, doc_key, {entry} AS entry
  FROM (SELECT score, doc_key FROM hits ORDER BY {order} LIMIT ?) AS best
  CROSS JOIN {_ENTRY}) AS found"""
    return Statement(numbered(sql), (*hits_args, limit, *entry_args, limit))


def rows(question: SearchQuestion) -> Statement:
    """A row for each entry: its JSON text, and its value for a condition to be looked at again.

    Raises `InvalidInput` for the weight of an unknown field.
    """
    hits, hits_args = _hits(question, _limit(question))
    entry, entry_args = _entry(question)
    sql = f"""
{hits}
SELECT {entry}, value FROM hits CROSS JOIN {_ENTRY} ORDER BY {_order(question.options)}"""
    return Statement(numbered(sql), (*hits_args, *entry_args))


def _limit(question: SearchQuestion) -> int:
    limit = question.options.limit
    return _BEYOND_EVERY_NUMBER if limit == EVERYTHING else limit


def _hits(question: SearchQuestion, limit: int) -> tuple[str, list[Value]]:
    """The keys of the best hits. All conditions on hits come before the limit."""
    index, match, options, condition = question[:4]
    score, args = _score(index, match, options)
    # Lexemes have the number of their index, so that they alone say what matches. Without the fence
    # a server that has not looked at the table yet goes through all of the index. The limit is what
    # is evaluated first, and whatever there is.
    sql = f"""
WITH hits AS MATERIALIZED (
  SELECT doc_key, {score} AS score
  FROM (SELECT index_id, doc_key, words FROM kv_docs WHERE words @@ {MATCH} OFFSET 0) AS matching
  CROSS JOIN {_ENTRY}
  WHERE index_id = ? AND doc_key >= ? AND doc_key < ?
    AND {LIVE} AND {condition.sql or "TRUE"}
  ORDER BY {_order(options)} LIMIT kv_asked(?, ?) OFFSET ?)"""
    args += [*asked(index, match), index.id, *options.narrowed(index.keys)]
    args += [question.now_ms, *condition.args, index.id, limit, options.offset]
    return sql, args


def asked(index: Index, match: str, field: int | None = None) -> tuple[Value, ...]:
    """The arguments of `_ASKED`, for one field or for all."""
    first, last = (0, len(index.options.fields) - 1) if field is None else (field, field)
    return (match, index.id, first, last, index.options.tokenize)


def _score(index: Index, match: str, options: SearchOptions) -> tuple[str, list[Value]]:
    """SQL for how good a hit is, the best the smallest, with its arguments."""
    weights = options.weights_of(index.options.fields)
    if not weights:
        return f"-{_RANK}", [1.0, *asked(index, match)]
    args: list[Value] = []
    for number, weight in enumerate(weights):
        args += [weight, *asked(index, match, number)]
    return f"-({' + '.join([_RANK] * len(weights))})", args


def _order(options: SearchOptions) -> str:
    return "score DESC, doc_key DESC" if options.reverse else "score, doc_key"


def _entry(question: SearchQuestion) -> tuple[str, list[Value]]:
    """SQL for a result, with its arguments: the entry and the requested parts beside it."""
    index, match, options = question[:3]
    members = [ENTRIES.members]
    args: list[Value] = []
    if options.explain:
        members.append("""',"score":', -score""")
    if options.highlight is not None:
        sql, given = _shown("highlight", index, match, options.highlight, None)
        members.append(sql)
        args += given
    if options.snippet_words is not None:
        marks = options.highlight or HitMarks("", "")
        sql, given = _shown("snippet", index, match, marks, options.snippet_words)
        members.append(sql)
        args += given
    return f"""concat({", ".join([*members, "'}'"])})""", args


# Expression, tokenizer, what is before and behind a hit, whether for HTML, words of an extract; the
# names of the fields.
_SHOWN = """(
SELECT string_agg(concat(to_json(name)::text, ':', to_json(kv_shown(
  kv_text_at(value, kv_json(value), path), ?::jsonb #> '{terms,any}', number - 1, ?::text,
  ?::text, ?::text, ?::boolean, ?::bigint))::text), ',' ORDER BY number)
FROM jsonb_array_elements((SELECT paths::jsonb FROM kv_indexes WHERE id = ?))
  WITH ORDINALITY AS listed (path, number)
JOIN json_array_elements_text(?::json) WITH ORDINALITY AS named (name, place) ON place = number)"""


def _shown(
    name: str, index: Index, match: str, marks: HitMarks, words: int | None
) -> tuple[str, list[Value]]:
    """SQL for a member that has the text of each field."""
    fields = msgspec.json.encode(index.options.fields).decode()
    escapes = marks.escape is not None
    args: list[Value] = [match, index.options.tokenize, marks.before, marks.after, escapes]
    return f"""',"{name}":{{', {_SHOWN}, '}}'""", [*args, words, index.id, fields]


def words(index: Index, letter: str, lengths: tuple[int, int], limit: int) -> Statement:
    """Words of an index that begin with a letter, if one is given, with the number of entries."""
    shortest, longest = lengths
    return Statement(_WORDS, (index.id, shortest, longest, letter, limit))


_WORDS = f"""
SELECT word, sum(ndoc)::bigint FROM (
  SELECT substr(word, length(substring(word FROM '^[0-9]+[.][0-9]+[.]')) + 1) AS word, ndoc
  FROM ts_stat(format(
    'SELECT words FROM kv_docs WHERE index_id = %s LIMIT {MOST_ENTRIES}', $1::bigint))) AS told
WHERE length(word) BETWEEN $2 AND $3 AND starts_with(word, $4)
GROUP BY word LIMIT $5"""

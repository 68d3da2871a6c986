"""Search queries, parsed into trees.

    query  = either { "OR" either }
    either = both { ["AND"] both }
    both   = one { "NOT" one }
    one    = [field ":"] ( word | word* | "a phrase" ) | "(" query ")"

Operators are upper case. A query that does not parse is taken as plain words, all of which must
occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from buntime_keyval.wire import InvalidInput

MAX_QUERY_LENGTH = 4096
"""The most characters of a query."""

MAX_TERMS = 200
"""The most words and phrases of a query; FTS5 limits the depth of its expressions."""

MAX_DEPTH = 10
"""The deepest nesting of parentheses; a query with more is taken as plain words.

Each level takes up to seven of the hundred places of the stack of FTS5's parser.
"""

_TOKEN = re.compile(r'"(?:[^"]|"")*"\*?|[()]|[^\s()"]+(?:"(?:[^"]|"")*"\*?)?')
_OPERATORS = frozenset({"AND", "OR", "NOT"})
_PLAIN_WORD = re.compile(r"([^\W_]+:)?([^\W_]+)")


class Term(NamedTuple):
    """A word or a phrase, in the field with this index if one is given."""

    text: str
    is_prefix: bool = False
    """Whether it also matches longer words that begin with it."""
    field: int | None = None


class AnyOf(NamedTuple):
    """At least one part."""

    parts: tuple[Query, ...]


class AllOf(NamedTuple):
    """Every part."""

    parts: tuple[Query, ...]


class Without(NamedTuple):
    """The first part, and none of the others."""

    wanted: Query
    unwanted: tuple[Query, ...]


Query: TypeAlias = Term | AnyOf | AllOf | Without


class _Unparsable(Exception):
    """The query does not follow the grammar."""


def parse_query(query: str, fields: Sequence[str]) -> Query:
    """Parse a query. Terms may be preceded by names of `fields`.

    Raises `InvalidInput` for queries beyond the limits.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise InvalidInput(f"query too long: {len(query)} characters (max {MAX_QUERY_LENGTH})")
    if query.isalnum():
        return Term(query)
    tokens = _tokens_of(query)
    numbers = {field: number for number, field in enumerate(fields)}
    try:
        return _Parser(tokens, numbers).parse()
    except _Unparsable:
        return AllOf(tuple([Term(_unquoted(word)) for word in _words_of(tokens)]))


def terms_of(query: Query) -> Iterator[Term]:
    """All words and phrases of a query, including excluded ones."""
    if isinstance(query, Term):
        yield query
        return
    parts = (query.wanted, *query.unwanted) if isinstance(query, Without) else query.parts
    for part in parts:
        yield from terms_of(part)


def plain_words(query: str) -> list[str]:
    """The words of a query that are neither in a phrase nor prefixes."""
    words = [_PLAIN_WORD.fullmatch(token) for token in _tokens_of(query)]
    return [word[2] for word in words if word is not None and word[0] not in _OPERATORS]


def with_alternatives(
    query: str, fields: Sequence[str], others: Mapping[str, Sequence[str]]
) -> str:
    """The query, with alternatives added to each plain word in `others`."""
    tokens = _tokens_of(query)
    try:
        _Parser(tokens, dict.fromkeys(fields, 0)).parse()
    except _Unparsable:
        tokens = _words_of(tokens)
    written = []
    for token in tokens:
        word = _PLAIN_WORD.fullmatch(token)
        found = others.get(word[2], ()) if word is not None and token not in _OPERATORS else ()
        if word is None or not found:
            written.append(token)
            continue
        field = word[1] or ""
        alternatives = [f"{field}{other}" for other in found]
        written.append(alternatives[0] if len(found) == 1 else f"({' OR '.join(alternatives)})")
    return " ".join(written)


def _tokens_of(query: str) -> list[str]:
    # A NUL would end the expression for FTS5, and no tokenizer finds words with one.
    tokens = _TOKEN.findall(query.replace("\0", " "))
    if len(tokens) > MAX_TERMS:
        raise InvalidInput(f"query has too many words: {len(tokens)} (max {MAX_TERMS})")
    return tokens


def _words_of(tokens: list[str]) -> list[str]:
    """The words of a query that does not follow the grammar."""
    return [token for token in tokens if token not in ("(", ")")]


class _Parser:
    """One pass over the tokens."""

    def __init__(self, tokens: list[str], fields: Mapping[str, int]) -> None:
        self._tokens = tokens
        self._fields = fields
        self._position = 0
        self._depth = 0

    def parse(self) -> Query:
        expression = self._query()
        if self._position != len(self._tokens):
            raise _Unparsable
        return expression

    def _next(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _query(self) -> Query:
        parts = [self._either()]
        while self._next() == "OR":
            self._position += 1
            parts.append(self._either())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _either(self) -> Query:
        parts = [self._both()]
        while (word := self._next()) not in (None, ")", "OR"):
            if word == "AND":
                self._position += 1
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _both(self) -> Query:
        wanted = self._one()
        parts = []
        while self._next() == "NOT":
            self._position += 1
            parts.append(self._one())
        return Without(wanted, tuple(parts)) if parts else wanted

    def _one(self) -> Query:
        word = self._next()
        if word is None or word == ")" or word in _OPERATORS:
            raise _Unparsable
        self._position += 1
        if word == "(":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise _Unparsable
            inner = self._query()
            if self._next() != ")":
                raise _Unparsable
            self._position += 1
            self._depth -= 1
            return inner
        field, colon, rest = word.partition(":")
        number = self._fields.get(field) if colon and rest else None
        if number is None:
            rest = word
        is_prefix = len(rest) > 1 and rest.endswith("*")
        return Term(_unquoted(rest.rstrip("*") if is_prefix else rest), is_prefix, number)


def _unquoted(token: str) -> str:
    if len(token) > 1 and token.startswith('"') and token.endswith('"'):
        return token[1:-1].replace('""', '"')
    return token.replace('"', " ")

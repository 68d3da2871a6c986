"""From what people type to FTS5's query language, safely.

    query  = either { "OR" either }
    either = both { ["AND"] both }
    both   = one { "NOT" one }
    one    = [field ":"] ( word | word* | "a phrase" ) | "(" query ")"

Operators are upper case. What does not parse is taken as plain words, all of which must occur.
Every word goes to FTS5 as a quoted string, so nothing in it is syntax there. What holds no word,
such as a dash, is left out: FTS5 would find nothing where one side of an AND is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from unicodedata import ucd_3_2_0

from buntime_keyval.wire import InvalidInput

MAX_QUERY_LENGTH = 4096
"""Characters of a query."""

MAX_TERMS = 200
"""Words and phrases of a query; FTS5 limits the depth of its expressions."""

MAX_DEPTH = 10
"""Parentheses inside each other; what has more is taken as plain words.

Each takes up to seven of the hundred places that the stack of FTS5's parser has.
"""

_TOKEN = re.compile(r'"(?:[^"]|"")*"\*?|[()]|[^\s()"]+(?:"(?:[^"]|"")*"\*?)?')
_OPERATORS = frozenset({"AND", "OR", "NOT"})
_MIN_TRIGRAM = 3


class _Unparsable(Exception):
    """The query is no expression of the grammar."""


def to_match(query: str, fields: Sequence[str], tokenize: str) -> str | None:
    """The FTS5 expression of a query; None if it holds nothing to look for.

    `fields` may be named in front of a term; their columns are `f0`, `f1`, …
    Raises `InvalidInput` for queries beyond the limits.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise InvalidInput(f"query too long: {len(query)} characters (max {MAX_QUERY_LENGTH})")
    finds = _FINDS[tokenize]
    if query.isalnum():
        return _term(query, False, finds)
    # FTS5 takes a NUL for the end of its expression; no tokenizer finds a word with one.
    tokens = _TOKEN.findall(query.replace("\0", " "))
    if len(tokens) > MAX_TERMS:
        raise InvalidInput(f"query has too many words: {len(tokens)} (max {MAX_TERMS})")
    columns = {field: f"f{number}" for number, field in enumerate(fields)}
    try:
        parser = _Parser(tokens, columns, finds)
        expression = parser.parse()
    except _Unparsable:
        words = [token for token in tokens if token not in ("(", ")")]
        expression = _all_of([_term(_unquoted(word), False, finds) for word in words])
    return expression


class _Parser:
    """One pass over the tokens; every method returns an expression, or None for an empty one."""

    def __init__(
        self, tokens: list[str], columns: Mapping[str, str], finds: Callable[[str], bool]
    ) -> None:
        self._tokens = tokens
        self._columns = columns
        self._finds = finds
        self._position = 0
        self._depth = 0

    def parse(self) -> str | None:
        expression = self._query()
        if self._position != len(self._tokens):
            raise _Unparsable
        return expression

    def _next(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _query(self) -> str | None:
        parts = [self._either()]
        while self._next() == "OR":
            self._position += 1
            parts.append(self._either())
        return _any_of(parts)

    def _either(self) -> str | None:
        parts = [self._both()]
        while (word := self._next()) not in (None, ")", "OR"):
            if word == "AND":
                self._position += 1
            parts.append(self._both())
        return _all_of(parts)

    def _both(self) -> str | None:
        wanted = self._one()
        parts = []
        while self._next() == "NOT":
            self._position += 1
            parts.append(self._one())
        unwanted = _any_of(parts)
        if wanted is None or unwanted is None:
            return wanted
        return f"({wanted} NOT {unwanted})"

    def _one(self) -> str | None:
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
        column = self._columns.get(field) if colon and rest else None
        if column is None:
            rest = word
        prefix = len(rest) > 1 and rest.endswith("*")
        term = _term(_unquoted(rest.rstrip("*") if prefix else rest), prefix, self._finds)
        return f"{{{column}}} : {term}" if column and term else term


def _term(text: str, prefix: bool, finds: Callable[[str], bool]) -> str | None:
    if not finds(text):
        return None
    quoted = '"' + text.replace('"', '""') + '"'
    return f"{quoted} *" if prefix else quoted


def _unquoted(token: str) -> str:
    if len(token) > 1 and token.startswith('"') and token.endswith('"'):
        return token[1:-1].replace('""', '"')
    return token.replace('"', " ")


def _any_of(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    return f"({' OR '.join(known)})"


def _all_of(parts: list[str | None]) -> str | None:
    """Plain terms side by side, since FTS5 then leaves out those in which it finds no word."""
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    terms = [part for part in known if not part.startswith("(")]
    groups = [part for part in known if part.startswith("(")]
    return f"({' AND '.join([*groups, *([' '.join(terms)] if terms else [])])})"


def _finds_words(text: str) -> bool:
    """Whether `unicode61` may find a word: it wants a letter, a digit, or a private character.

    It knows Unicode less well than Python, and takes what it does not know for letters. So this
    asks for the categories of an old Unicode, and says yes to what has changed since.
    """
    return any(_is_word_character(char) for char in text)


def _is_word_character(char: str) -> bool:
    if char.isascii():
        return char.isalnum()
    category = ucd_3_2_0.category(char)
    return category[0] in "LN" or category in ("Co", "Cn", "Sk", "So")


def _finds_ascii(text: str) -> bool:
    return any(char.isalnum() or not char.isascii() for char in text)


def _finds_trigrams(text: str) -> bool:
    return len(text) >= _MIN_TRIGRAM


_FINDS: Mapping[str, Callable[[str], bool]] = {
    "unicode61": _finds_words,
    "porter": _finds_words,
    "ascii": _finds_ascii,
    "trigram": _finds_trigrams,
}

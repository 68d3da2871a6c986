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
from typing import NamedTuple
from unicodedata import normalize, ucd_3_2_0

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
_PLAIN_WORD = re.compile(r"([^\W_]+:)?([^\W_]+)")
_MIN_TRIGRAM = 3

# Chinese, Japanese, Thai, Lao, Burmese, Khmer. Korean has spaces.
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff"
    "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
)


class Match(NamedTuple):
    """A query in FTS5's language."""

    expression: str | None
    """None if it holds nothing to look for."""
    warnings: tuple[str, ...] = ()
    """What the tokenizer of the index cannot look for, or only as a whole."""


class _Unparsable(Exception):
    """The query is no expression of the grammar."""


def to_match(query: str, fields: Sequence[str], tokenize: str) -> Match:
    """The FTS5 expression of a query.

    `fields` may be named in front of a term; their columns are `f0`, `f1`, …
    Raises `InvalidInput` for queries beyond the limits.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise InvalidInput(f"query too long: {len(query)} characters (max {MAX_QUERY_LENGTH})")
    terms = _Terms(tokenize)
    if query.isalnum():
        return Match(terms.make(query), terms.warnings())
    tokens = _tokens_of(query)
    columns = {field: f"f{number}" for number, field in enumerate(fields)}
    try:
        expression = _Parser(tokens, columns, terms).parse()
    except _Unparsable:
        terms = _Terms(tokenize)
        expression = _all_of([terms.make(_unquoted(word)) for word in _words_of(tokens)])
    return Match(expression, terms.warnings())


def plain_words(query: str) -> list[str]:
    """The words of a query that are neither part of a phrase nor beginnings of words."""
    words = [_PLAIN_WORD.fullmatch(token) for token in _tokens_of(query)]
    return [word[2] for word in words if word is not None and word[0] not in _OPERATORS]


def with_alternatives(
    query: str, fields: Sequence[str], others: Mapping[str, Sequence[str]]
) -> str:
    """The query with each plain word of `others` beside the words that may stand for it."""
    tokens = _tokens_of(query)
    columns = dict.fromkeys(fields, "")
    try:
        _Parser(tokens, columns, _Terms("unicode61")).parse()
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
    # FTS5 takes a NUL for the end of its expression; no tokenizer finds a word with one.
    tokens = _TOKEN.findall(query.replace("\0", " "))
    if len(tokens) > MAX_TERMS:
        raise InvalidInput(f"query has too many words: {len(tokens)} (max {MAX_TERMS})")
    return tokens


def _words_of(tokens: list[str]) -> list[str]:
    """What a query consists of that is no expression."""
    return [token for token in tokens if token not in ("(", ")")]


class _Terms:
    """Makes terms of one index, and remembers what it cannot look for."""

    def __init__(self, tokenize: str) -> None:
        self._tokenize = tokenize
        self._finds = _FINDS[tokenize]
        self._short: dict[str, None] = {}
        self._unspaced: dict[str, None] = {}

    def make(self, text: str, *, prefix: bool = False) -> str | None:
        """The FTS5 term of a text, None if no tokenizer finds a word in it."""
        if not self._finds(text):
            if self._tokenize == "trigram" and _finds_words(text):
                self._short[text] = None
            return None
        forms = [text]
        if not text.isascii():
            if self._tokenize not in ("trigram", "cjk") and _UNSPACED.search(text):
                self._unspaced[text] = None
            # A character with a mark may be stored as one character, or as two.
            forms = [*dict.fromkeys((text, normalize("NFC", text), normalize("NFD", text)))]
        star = " *" if prefix else ""
        terms = ['"' + form.replace('"', '""') + f'"{star}' for form in forms]
        return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"

    def warnings(self) -> tuple[str, ...]:
        """What the caller should know, in words."""
        found = []
        if self._short:
            found.append(
                f"{_quoted(self._short)}: left out, since the tokenizer trigram finds nothing of"
                f" less than {_MIN_TRIGRAM} characters"
            )
        if self._unspaced:
            found.append(
                f"{_quoted(self._unspaced)}: looked for as a whole, since the tokenizer"
                f" {self._tokenize} does not divide text without spaces; cjk does"
            )
        return tuple(found)


def _quoted(texts: Mapping[str, None]) -> str:
    return ", ".join(f'"{text}"' for text in list(texts)[:5])


class _Parser:
    """One pass over the tokens; every method returns an expression, or None for an empty one."""

    def __init__(self, tokens: list[str], columns: Mapping[str, str], terms: _Terms) -> None:
        self._tokens = tokens
        self._columns = columns
        self._terms = terms
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
        term = self._terms.make(_unquoted(rest.rstrip("*") if prefix else rest), prefix=prefix)
        return f"{{{column}}} : {term}" if column and term else term


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
    terms = [part for part in known if not part.endswith(")")]
    groups = [part for part in known if part.endswith(")")]
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
    "cjk": _finds_words,
}

"""From a query to FTS5's query language, safely.

Every word goes to FTS5 as a quoted string, so nothing in it is syntax there. What holds no word,
such as a dash, is left out: FTS5 would find nothing where one side of an AND is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from unicodedata import normalize, ucd_3_2_0

from buntime_plugin_keyval.storage.dialects.search import Match
from buntime_plugin_keyval.storage.queries import AllOf, AnyOf, Query, Term

_ONE_WORD = re.compile(r'(\{f[0-9]+\} : )?"[^\W_]+"')
_MIN_TRIGRAM = 3

# Chinese, Japanese, Thai, Lao, Burmese, Khmer. Korean has spaces.
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff"
    "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
)


def to_match(query: Query, tokenize: str) -> Match:
    """See `SearchSql.match`. The columns of fields are `f0`, `f1`, …"""
    terms = _Terms(tokenize)
    expression = _expression(query, terms)
    is_word = (
        expression is not None
        and _ONE_WORD.fullmatch(expression) is not None
        and tokenize not in ("trigram", "cjk")  # a word of ours is several there
    )
    return Match(expression, terms.warnings(), is_word)


def _expression(query: Query, terms: _Terms) -> str | None:
    """None for what holds nothing to look for."""
    if isinstance(query, Term):
        term = terms.make(query.text, prefix=query.is_prefix)
        return term if term is None or query.field is None else f"{{f{query.field}}} : {term}"
    if isinstance(query, AnyOf):
        return _any_of([_expression(part, terms) for part in query.parts])
    if isinstance(query, AllOf):
        return _all_of([_expression(part, terms) for part in query.parts])
    wanted = _expression(query.wanted, terms)
    unwanted = _any_of([_expression(part, terms) for part in query.unwanted])
    if wanted is None or unwanted is None:
        return wanted
    return f"({wanted} NOT {unwanted})"


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

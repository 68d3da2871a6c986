"""Translates a query safely into FTS5's query language.

Every word goes to FTS5 as a quoted string, so nothing in it is syntax there. A term without a word,
such as a dash, is left out: FTS5 would find nothing where one side of an AND is empty.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from buntime_plugin_keyval.storage.dialects.search import Match
from buntime_plugin_keyval.storage.queries import AllOf, AnyOf, Query, Term
from buntime_plugin_keyval.storage.sought import Sought

_ONE_WORD = re.compile(r'(\{f[0-9]+\} : )?"[^\W_]+"')


def to_match(query: Query, tokenize: str) -> Match:
    """See `SearchSql.match`. The columns of fields are `f0`, `f1`, …"""
    sought = Sought(tokenize)
    expression = _expression(query, sought)
    is_word = (
        expression is not None
        and _ONE_WORD.fullmatch(expression) is not None
        and tokenize not in ("trigram", "cjk")  # a word of ours is several there
    )
    return Match(expression, sought.warnings(), is_word)


def _expression(query: Query, sought: Sought) -> str | None:
    """None for a query without anything to look for."""
    if isinstance(query, Term):
        if not sought.can_find(query.text):
            return None
        term = _term(query.text, prefix=query.is_prefix)
        return term if query.field is None else f"{{f{query.field}}} : {term}"
    if isinstance(query, AnyOf):
        return _any_of([_expression(part, sought) for part in query.parts])
    if isinstance(query, AllOf):
        return _all_of([_expression(part, sought) for part in query.parts])
    wanted = _expression(query.wanted, sought)
    unwanted = _any_of([_expression(part, sought) for part in query.unwanted])
    if wanted is None or unwanted is None:
        return wanted
    return f"({wanted} NOT {unwanted})"


def _term(text: str, *, prefix: bool) -> str:
    """The FTS5 term of a text in which a word may be found."""
    forms = [text]
    if not text.isascii():
        # A character with a mark may be stored as one character, or as two.
        forms = [*dict.fromkeys((text, normalize("NFC", text), normalize("NFD", text)))]
    star = " *" if prefix else ""
    terms = ['"' + form.replace('"', '""') + f'"{star}' for form in forms]
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


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

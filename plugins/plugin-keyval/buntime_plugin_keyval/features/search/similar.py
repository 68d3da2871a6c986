"""Words of an index that are similar to a word that is not in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from buntime_database import Value

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.searching import Index

MAX_ALTERNATIVES = 5
"""The most words that replace one."""

MAX_WORDS = 20
"""The most words of a query that are replaced."""

MAX_CANDIDATES = 20_000
"""The most words of the index that one word is compared with."""

_SHORT, _LONG = 3, 6
"""Lengths from which a word is recognisable with one mistake, and with two."""


def most_mistakes(word: str) -> int:
    """The number of mistakes that are allowed in a word."""
    return (len(word) >= _SHORT) + (len(word) >= _LONG)


async def similar_words(db: Database, index: Index, word: str) -> list[str]:
    """Words of the index that are similar to this one, the nearest and most frequent first.

    Compares it with words of nearly the same length that begin with its first or second letter, and
    if none of those will do with all of that length, as the mistake may be at the beginning. A word
    in which no mistake is allowed has no similar words.
    """
    folded = fold(word)
    most = most_mistakes(folded)
    if not most:
        return []
    stems = index.options.tokenize == "porter"
    lengths = (1 if stems else len(folded) - most, len(folded) + most)
    for letters in (dict.fromkeys(folded[:2]), ("",)):
        found: dict[str, tuple[int, int]] = {}
        for letter in letters:
            rows = await _candidates(db, index, letter, lengths)
            for term, documents in rows:
                mistakes = _mistakes(folded, str(term), most, stems=stems)
                if mistakes <= most:
                    found[str(term)] = (mistakes, -int(documents or 0))
        if found:
            return sorted(found, key=lambda term: (*found[term], term))[:MAX_ALTERNATIVES]
    return []


def fold(word: str) -> str:
    """A word as tokenizers write it: in lower case, without diacritics."""
    parts = unicodedata.normalize("NFD", word.casefold())
    return "".join(char for char in parts if unicodedata.category(char) != "Mn")


def distance(one: str, other: str, most: int) -> int:
    """The number of letters added, left out, replaced or swapped with the next one.

    This is the optimal string alignment distance; `most` + 1 as soon as it is larger than `most`.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row = row, [number]
        for place, its in enumerate(other, 1):
            cost = min(above[place] + 1, row[-1] + 1, above[place - 1] + (letter != its))
            swapped = number > 1 and place > 1 and letter == other[place - 2]
            if swapped and its == one[number - 2]:
                cost = min(cost, before[place - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        before = above
    return min(row[-1], most + 1)


def _mistakes(word: str, term: str, most: int, *, stems: bool) -> int:
    mistakes = distance(word, term, most)
    if stems and mistakes and _SHORT <= len(term) < len(word):
        # The index has dropped the ending, so that it cannot be compared.
        mistakes = min(mistakes, distance(word[: len(term)], term, most))
    return mistakes


async def _candidates(
    db: Database, index: Index, letter: str, lengths: tuple[int, int]
) -> Iterable[tuple[Value, ...]]:
    statement = db.sql.search.words(index, letter, lengths, MAX_CANDIDATES)
    return await db.adapter.query(*statement)

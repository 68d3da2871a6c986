"""Words of an index that may have been meant by a word that is not in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from buntime_database import Value

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.searching import Index

MAX_ALTERNATIVES = 5
"""Words that stand for one."""

MAX_WORDS = 20
"""Words of a query that others are looked for."""

MAX_CANDIDATES = 20_000
"""Words of the index that one word is compared with."""

_SHORT, _LONG = 3, 6
"""Lengths from which one mistake, and from which two, leave a word recognisable."""


def most_mistakes(word: str) -> int:
    """How many characters may differ."""
    return (len(word) >= _SHORT) + (len(word) >= _LONG)


async def similar_words(db: Database, index: Index, word: str) -> list[str]:
    """Words of the index that are like this one, the nearest and most frequent first.

    Compares with words of nearly the same length that begin with its first or second letter, and
    with all of that length if none of those will do: a mistake may be at the beginning. What no
    mistake is allowed in has none.
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
    """A word as tokenizers write it: in small letters, without marks."""
    parts = unicodedata.normalize("NFD", word.casefold())
    return "".join(char for char in parts if unicodedata.category(char) != "Mn")


def distance(one: str, other: str, most: int) -> int:
    """Letters that were added, left out, exchanged or swapped with the next; `most` + 1 if more.

    The optimal string alignment distance, left as soon as it is too large.
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
        # The index has lost the ending, which nobody can compare.
        mistakes = min(mistakes, distance(word[: len(term)], term, most))
    return mistakes


async def _candidates(
    db: Database, index: Index, letter: str, lengths: tuple[int, int]
) -> Iterable[tuple[Value, ...]]:
    statement = db.sql.search.words(index, letter, lengths, MAX_CANDIDATES)
    return await db.adapter.query(*statement)

"""Words that are not quite those of the index."""

from __future__ import annotations

import random

import pytest
from buntime_keyval.shared import Tokenizer
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.search.similar import distance, fold
from buntime_plugin_keyval.storage.queries import plain_words, with_alternatives

TEXTS = {
    1: "A dessert of cream and sugar",
    2: "The desert is dry",
    3: "Nguyễn running home",
    4: "sugary sweets",
}


@pytest.fixture
async def filled(kv: LocalKv) -> LocalKv:
    for number, text in TEXTS.items():
        await kv.set(["t", number], {"text": text, "other": "nothing"})
    await kv.create_index(["t"], fields=["text", "other"])
    return kv


CASES = [
    ("sugar", {1}, None),
    ("sugr", {1}, "sugar"),
    ("suagr", {1}, "sugar"),
    ("xugar", {1}, "sugar"),
    ("usgar", {1}, "sugar"),
    ("creem", {1}, "cream"),
    ("dessrt", {1, 2}, "(desert OR dessert)"),
    ("nguyan", {3}, "nguyen"),
    ("NGUYÊM", {3}, "nguyen"),
    ("creem sugr", {1}, "cream sugar"),
    ("cream sugr", {1}, "cream sugar"),
    ("cream dry", set(), None),
    ("text:sugr", {1}, "text:sugar"),
    ("sugr OR dri", {1, 2}, "sugar OR dry"),
    ("(sugr OR creem) NOT dessret", set(), "( sugar OR cream ) NOT (dessert OR desert)"),
    ("(sugr", {1}, "sugar"),
    ('"sugr"', set(), None),
    ("sugr*", set(), None),
    ("zzzzzz", set(), None),
    ("is", {2}, None),
    ("ix", set(), None),
    ("", set(), None),
]


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize(
    ("query", "found", "searched_for"),
    CASES,
)
async def test_similar_words(
    filled: LocalKv, query: str, found: set[int], searched_for: str | None
) -> None:
    page = await filled.paginate_search(["t"], query, fuzzy=True)
    assert ({entry.key[1] for entry in page.entries}, page.searched_for) == (found, searched_for)
    hits = {hit.key[1] async for hit in filled.search(["t"], query, fuzzy=True)}
    assert hits == found


async def test_without_the_option_nothing_is_found(filled: LocalKv) -> None:
    page = await filled.paginate_search(["t"], "sugr")
    assert (page.entries, page.searched_for) == ([], None)


@pytest.mark.parametrize(
    ("tokenize", "query", "found"),
    [("porter", "runnning", {3}), ("ascii", "deseert", {1, 2}), ("trigram", "sugr", {1, 4})],
)
async def test_with_other_tokenizers(
    kv: LocalKv, tokenize: Tokenizer, query: str, found: set[int]
) -> None:
    for number, text in TEXTS.items():
        await kv.set(["t", number], {"text": text})
    await kv.create_index(["t"], fields=["text"], tokenize=tokenize)
    page = await kv.paginate_search(["t"], query, fuzzy=True)
    assert {entry.key[1] for entry in page.entries} == found


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_pages_of_a_fuzzy_search(kv: LocalKv) -> None:
    for number in range(5):
        await kv.set(["t", number], {"text": "sugar"})
    await kv.create_index(["t"], fields=["text"])
    keys, cursor = [], None
    while True:
        page = await kv.paginate_search(["t"], "sugr", fuzzy=True, limit=2, cursor=cursor)
        assert page.searched_for == "sugar"
        keys += [hit.key[1] for hit in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    assert keys == [0, 1, 2, 3, 4]


def test_the_query_is_changed_in_its_plain_words_only() -> None:
    query = 'a b* "c d" text:e (f OR g) AND h'
    assert plain_words(query) == ["a", "e", "f", "g", "h"]
    others = {"a": ["x"], "e": ["y", "z"], "AND": ["never"], "h": []}
    changed = 'x b* "c d" (text:y OR text:z) ( f OR g ) AND h'
    assert with_alternatives(query, ["text"], others) == changed


def naive(one: str, other: str) -> int:
    """Optimal string alignment, as its definition says it."""
    if not one or not other:
        return len(one) + len(other)
    costs = [
        naive(one[:-1], other) + 1,
        naive(one, other[:-1]) + 1,
        naive(one[:-1], other[:-1]) + (one[-1] != other[-1]),
    ]
    if len(one) > 1 and len(other) > 1 and one[-1] == other[-2] and one[-2] == other[-1]:
        costs.append(naive(one[:-2], other[:-2]) + 1)
    return min(costs)


def test_the_distance_is_that_of_its_definition() -> None:
    choose = random.Random(7)
    for _ in range(400):
        one, other = ("".join(choose.choices("abc", k=choose.randint(0, 5))) for _ in range(2))
        for most in range(4):
            assert distance(one, other, most) == min(naive(one, other), most + 1)


def test_folding() -> None:
    assert fold("NGUYỄN") == "nguyen"

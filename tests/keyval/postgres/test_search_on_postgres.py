"""Search on PostgreSQL finds what it finds in a file: the cases of there, many in one store each.

A store for each case takes a server longer than all of its searches.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from buntime_keyval import SearchTerm
from buntime_keyval.shared import Tokenizer
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.where.paths import parse_path
from keyval.search.test_search_cjk import CASES as CJK_CASES
from keyval.search.test_search_cjk import TEXTS as CJK_TEXTS
from keyval.search.test_search_fields import CASES as FIELD_CASES
from keyval.search.test_search_fields import HOSTILE, VALUE
from keyval.search.test_search_queries import CASES as QUERY_CASES
from keyval.search.test_search_queries import DOCUMENTS
from keyval.search.test_search_similar import CASES as SIMILAR_CASES
from keyval.search.test_search_similar import TEXTS as SIMILAR_TEXTS
from keyval.search.test_search_tokenizers import CASES as WORD_CASES
from keyval.search.test_search_tokenizers import TEXTS as WORD_TEXTS
from keyval.service.world import World

pytestmark = pytest.mark.engines("postgres")


async def fill(kv: LocalKv, prefix: str, values: Mapping[int, Any]) -> None:
    for number, value in values.items():
        await kv.set([prefix, number], value)


def texts(of: Mapping[int, str]) -> dict[int, dict[str, str]]:
    return {number: {"text": text, "other": "nothing"} for number, text in of.items()}


async def found(kv: LocalKv, prefix: str, query: str) -> set[Any]:
    return {entry.key[1] for entry in (await kv.paginate_search([prefix], query)).entries}


async def differences(kv: LocalKv, cases: Iterable[tuple[str, str, set[int]]]) -> list[Any]:
    """Where something else is found than a case of prefix, query and numbers wants."""
    return [
        (prefix, query, wanted, others)
        for prefix, query, wanted in cases
        if (others := await found(kv, prefix, query)) != wanted
    ]


async def test_words_of_all_tokenizers(kv: LocalKv) -> None:
    tokenizers: tuple[Tokenizer, ...] = ("unicode61", "porter", "ascii", "trigram")
    for tokenize in tokenizers:
        await fill(kv, tokenize, texts(WORD_TEXTS))
        await kv.create_index([tokenize], fields=["text"], tokenize=tokenize)
    await kv.create_index(["cjk"], fields=["text"], tokenize="cjk")
    await fill(kv, "cjk", texts(CJK_TEXTS))
    cases = [*WORD_CASES, *(("cjk", query, wanted) for query, wanted in CJK_CASES)]
    assert await differences(kv, cases) == []


async def test_the_grammar(kv: LocalKv) -> None:
    await fill(kv, "d", DOCUMENTS)
    await kv.create_index(["d"], fields=["title", "body"])
    assert await differences(kv, [("d", query, wanted) for query, wanted in QUERY_CASES]) == []


async def test_fields(kv: LocalKv) -> None:
    fields = dict.fromkeys(field for field, _, _ in FIELD_CASES)
    for field in fields:
        await kv.create_index(["by trigger", field], fields=[field])
        await kv.set(["by trigger", field, 1], VALUE)
        await kv.set(["by filling", field, 1], VALUE)
        await kv.create_index(["by filling", field], fields=[field])
    for field, query, matches in FIELD_CASES:
        for prefix in ("by trigger", "by filling"):
            hits = [hit.key async for hit in kv.search([prefix, field], query)]
            assert (field, query, hits) == (field, query, [(prefix, field, 1)] * matches)


async def test_hostile_names_are_names(kv: LocalKv) -> None:
    for number, field in enumerate(HOSTILE):
        value: Any = "needle"
        for step in reversed(parse_path(field)):
            value = {step: value}
        await kv.create_index([number], fields=[field, "other"])
        await kv.set([number, 1], value)
        await kv.set([number, 2], {"x": "needle"})
        options: Any = {"highlight": True, "weights": {field: 2}}
        (hit,) = [it async for it in kv.search([number], "needle", **options)]
        assert hit.highlight == {field: "<mark>needle</mark>", "other": ""}


async def test_similar_words(kv: LocalKv) -> None:
    await fill(kv, "t", texts(SIMILAR_TEXTS))
    await kv.create_index(["t"], fields=["text", "other"])
    for query, wanted, searched_for in SIMILAR_CASES:
        page = await kv.paginate_search(["t"], query, fuzzy=True)
        hits = {entry.key[1] for entry in page.entries}
        assert (query, hits, page.searched_for) == (query, wanted, searched_for)


SHOWN: list[tuple[Tokenizer, str, str, str, str]] = [
    ("unicode61", "A quick, quick fox", "quick", "A [quick], [quick] fox", "…[quick], [quick] fox"),
    ("unicode61", "one. two three", '"two three"', "one. [two three]", "one. [two three]"),
    ("unicode61", "a b a b a", '"a b a"', "[a b a b a]", "[a b a]…"),
    ("unicode61", "x y z last", "last", "x y z [last]", "…y z [last]"),
    ("unicode61", "«Crème» …", "creme", "«[Crème]» …", "«[Crème]» …"),
    ("unicode61", "nothing here to see", "other", "nothing here to see", "nothing here to…"),
    ("porter", "He was running", "runs", "He was [running]", "He was [running]"),
    ("trigram", "snake_case", "e_c", "snak[e_c]ase", "…[e_c]…"),
    ("cjk", "日本語の全文検索", "全文", "日本語の[全文]検索", "…[全文]検…"),
    ("unicode61", "half \0 \x01 it", "it", "half \ufffd \x01 [it]", "half \ufffd \x01 [it]"),
    ("unicode61", "", "other", "", ""),
]
"""Tokenizer, text, query, the text with its hits, an extract of three words."""


async def test_hits_are_shown(kv: LocalKv) -> None:
    for number, (tokenize, text, query, highlight, snippet) in enumerate(SHOWN):
        await kv.create_index([number], fields=["text", "more"], tokenize=tokenize)
        await kv.set([number, 1], {"text": text, "more": "other"})
        (hit,) = [it async for it in kv.search([number], query, highlight=("[", "]"), snippet=3)]
        assert hit.highlight is not None
        assert hit.snippet is not None
        shown = (hit.highlight["text"], hit.snippet["text"])
        assert (text, query, *shown) == (text, query, highlight, snippet)


async def test_a_page_says_how_it_was_found(kv: LocalKv) -> None:
    await fill(kv, "why", {1: {"text": "running home"}, 2: {"text": "sugar"}})
    await kv.create_index(["why"], fields=["text"], tokenize="porter")
    page = await kv.paginate_search(["why"], "text:run OR sug*", explain=True)
    assert [hit.score is not None and hit.score > 0 for hit in page.entries] == [True, True]
    assert page.explained is not None
    assert page.explained.terms == (
        SearchTerm("run", 1, field="text"), SearchTerm("sug", 1, prefix=True),
    )  # fmt: skip
    assert "cost=" in page.explained.plan[0]


async def test_long_texts_are_found_as_far_as_there_is_room(kv: LocalKv) -> None:
    await kv.create_index(["t"], fields=["text"])
    many = " ".join(f"word{number}" for number in range(20_000))
    await kv.set(["t", 1], {"text": f"first pair {many} last"})
    await kv.set(["t", 2], {"text": "x" * 9_000 + " behind"})
    await kv.set(["t", 3], {"text": "same " * 20_000 + "at the end"})
    assert await found(kv, "t", '"first pair"') == {1}
    assert await found(kv, "t", "word19999") == {1}
    assert await found(kv, "t", "behind") == {2}
    assert await found(kv, "t", "end") == {3}


async def test_what_is_written_in_any_way_is_found_and_what_is_gone_is_not(world: World) -> None:
    """After random writes of all kinds a search finds what a look at every entry does."""
    kv, chance = world.kv, random.Random(7)
    words = ["ant", "bee", "cow", "dog"]

    def text() -> dict[str, str]:
        return {"text": " ".join(chance.choices(words, k=3))}

    async def commit_of_several(key: list[Any]) -> None:
        atomic = kv.atomic().set(key, text()).set([*key, "below"], text())
        await atomic.delete(["a", chance.randrange(6)]).commit()

    async def refused(key: list[Any]) -> None:
        assert not (await kv.atomic().check((key, "another")).set(key, text()).commit()).ok

    async def expire(key: list[Any]) -> None:
        await kv.set(key, text(), expires_in="50ms")
        world.clock.advance(60)
        if chance.random() < 0.5:
            await world.store.expire(100)

    ways = (
        lambda key: kv.set(key, text()),
        commit_of_several,
        refused,
        expire,
        lambda key: kv.delete(key),
        lambda key: kv.delete(key, exact=True),
        lambda key: kv.delete(["a"], where={"text": {"$contains": "ant bee"}}),
    )
    await kv.create_index(["a"], fields=["text"])
    await kv.create_index(["a", 1], fields=["text"])
    for number in range(60):
        await chance.choice(ways)([chance.choice("ab"), chance.randrange(6)])
        if number % 6:
            continue
        entries = [entry async for entry in kv.list()]
        for prefix in (("a",), ("a", 1)):
            for word in words:
                wanted = [
                    entry.key
                    for entry in entries
                    if entry.key[: len(prefix)] == prefix and word in entry.value["text"].split()
                ]
                hits = [hit.key async for hit in kv.search(list(prefix), word)]
                assert sorted(map(str, hits)) == sorted(map(str, wanted))
    ((orphans,),) = await world.rows(
        "SELECT count(*) FROM kv_docs WHERE doc_key NOT IN (SELECT key FROM kv_entries)"
    )
    assert orphans == 0

"""Which entries a search gives back, in which order, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput, KvEntry
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.errors import IndexNotFound
from buntime_plugin_keyval.storage.searching import FEW
from keyval.service.world import FakeClock
from support.api import Api


async def found(kv: LocalKv, query: str, **options: Any) -> list[Any]:
    return [entry.key[-1] async for entry in kv.search(["d"], query, **options)]


async def fill(kv: LocalKv, texts: dict[int, str], **more: Any) -> None:
    for number, text in texts.items():
        await kv.set(["d", number], {"text": text, "number": number, **more})


@pytest.fixture
async def indexed(kv: LocalKv) -> LocalKv:
    await kv.create_index(["d"], fields=["text"])
    return kv


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_the_best_come_first_and_equally_good_ones_by_key(indexed: LocalKv) -> None:
    filler = " ".join(["filler"] * 20)
    texts = {9: "word", 10: "word", 2: f"word {filler}", 3: "word word word", 1: "none"}
    await fill(indexed, texts)
    assert await found(indexed, "word") == [3, 9, 10, 2]
    assert await found(indexed, "word", reverse=True) == [2, 10, 9, 3]


@pytest.mark.parametrize("count", [FEW - 1, FEW, 3 * FEW])
@pytest.mark.parametrize("more", [{}, {"highlight": True}, {"where": {"even": {"$ne": None}}}])
async def test_few_and_many_are_found_alike(
    indexed: LocalKv, count: int, more: dict[str, Any]
) -> None:
    for number in range(count):
        await indexed.set(["d", number], {"text": "word " * (1 + number % 3), "even": True})
    best_first = [n for rest in (2, 1, 0) for n in range(count) if n % 3 == rest]
    assert await found(indexed, "word", **more) == best_first
    assert await found(indexed, "word", reverse=True, **more) == best_first[::-1]
    assert await found(indexed, "word", limit=5, **more) == best_first[:5]
    inside = [n for n in best_first if 10 <= n < 40]
    options = {"start": ["d", 10], "end": ["d", 40], **more}
    assert await found(indexed, "word", **options) == inside
    assert await found(indexed, "word", limit=7, **options) == inside[:7]


async def test_what_is_left_behind_is_not_missed_among_many(
    indexed: LocalKv, clock: FakeClock
) -> None:
    # More than are looked at first, and none of those is what was asked for.
    for number in range(2 * FEW):
        expires_in = 1000 if number < FEW else None
        await indexed.set(["d", number], {"text": "word"}, expires_in=expires_in)
    last = [2 * FEW - 2, 2 * FEW - 1]
    assert await found(indexed, "word", start=["d", last[0]]) == last
    assert await found(indexed, "word", end=["d", 0]) == []
    clock.advance(1000)
    assert await found(indexed, "word", limit=2) == [FEW, FEW + 1]
    assert await found(indexed, "word", limit=2, reverse=True) == last[::-1]
    for number in range(FEW + 3, 2 * FEW):
        await indexed.delete(("d", number))
    await indexed._store.expire(FEW - 1)
    # Few now, and the one that has expired would be the first.
    assert await found(indexed, "word") == [FEW, FEW + 1, FEW + 2]
    assert await found(indexed, "word", limit=3) == [FEW, FEW + 1, FEW + 2]
    assert await found(indexed, "word", limit=1) == [FEW]


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_everything_that_decides_comes_before_the_limit(indexed: LocalKv) -> None:
    await fill(indexed, dict.fromkeys(range(100), "same words"))
    options: dict[str, Any] = {
        "where": {"number": {"$gte": 20}}, "start": ["d", 10], "end": ["d", 90], "limit": 3,
    }  # fmt: skip
    assert await found(indexed, "words", **options) == [20, 21, 22]
    assert await found(indexed, "words", **options, reverse=True) == [89, 88, 87]


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_a_filter_that_a_server_cannot_decide_comes_before_the_limit(
    indexed: LocalKv,
) -> None:
    for number in range(10):
        value = {"text": "word", "name": "STRASSE" if number % 2 else "x"}
        await indexed.set(["d", number], value)
    where: dict[str, Any] = {"name": {"$containsi": "straße"}}
    for reverse, numbers in ((False, [1, 3, 5]), (True, [9, 7, 5])):
        found = indexed.search(["d"], "word", where=where, limit=3, reverse=reverse)
        assert [hit.key[1] async for hit in found] == numbers
    found = indexed.search(["d"], "word", where=where)
    assert [hit.key[1] async for hit in found] == [1, 3, 5, 7, 9]


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_what_has_expired_is_not_found(indexed: LocalKv, clock: FakeClock) -> None:
    await fill(indexed, dict.fromkeys(range(3), "word"))
    await indexed.set(["d", 1], {"text": "word"}, expires_in=1000)
    clock.advance(999)
    ways: list[dict[str, Any]] = [
        {}, {"highlight": True}, {"where": {"text": "word"}}, {"limit": 9},
    ]  # fmt: skip
    for options in ways:
        assert await found(indexed, "word", **options) == [0, 1, 2]
    clock.advance(1)
    for options in [*ways, {"limit": 2}]:
        assert await found(indexed, "word", **options) == [0, 2]


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weights(kv: LocalKv) -> None:
    await kv.set(["d", 1], {"title": "word other", "body": "some text"})
    await kv.set(["d", 2], {"title": "some text", "body": "word other"})
    await kv.create_index(["d"], fields=["title", "body"])
    assert await found(kv, "word") == [1, 2]
    assert await found(kv, "word", weights={"body": 5}) == [2, 1]
    assert await found(kv, "word", weights={"title": 5}) == [1, 2]
    assert await found(kv, "word other", weights={"title": 0.5, "body": 1}) == [2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"nope": 1}}, "weights.nope: the index has no such field"),
        ({"weights": {"text": -1}}, "weights.text must be a number that is not negative"),
        ({"weights": {"text": 10**400}}, "weights.text must be a number that is not negative"),
        ({"weights": {"text": float("nan")}}, "weights.text must be a number"),
        ({"weights": {"text": True}}, "weights.text must be a number"),
        ({"weights": [1]}, "weights must be an object"),
        ({"highlight": "b"}, "highlight must be true, a pair of texts"),
        ({"highlight": ("a", 1)}, "highlight must be true, a pair of texts"),
        ({"snippet": 65}, "snippet must be true or a number of words up to 64"),
        ({"snippet": 0}, "snippet must be true or a number of words up to 64"),
        ({"limit": 0}, "limit must be a positive number"),
        ({"where": {"$typo": 1}}, ""),
    ],
)
async def test_wrong_options_are_refused(
    indexed: LocalKv, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await found(indexed, "word", **options)
    assert message in str(caught.value)


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_highlight_and_snippet(kv: LocalKv) -> None:
    text = " ".join(f"w{number}" for number in range(100)) + " Café end"
    await kv.set(["d", 1], {"title": "a cafe", "body": text})
    await kv.create_index(["d"], fields=["title", "body"])
    (plain,) = [hit async for hit in kv.search(["d"], "cafe")]
    assert (plain.highlight, plain.snippet) == (None, None)
    assert isinstance(plain, KvEntry)
    (hit,) = [hit async for hit in kv.search(["d"], "cafe", highlight=True, snippet=4)]
    assert hit.value == {"title": "a cafe", "body": text}
    assert hit.versionstamp == plain.versionstamp
    assert hit.highlight is not None
    assert hit.snippet is not None
    assert hit.highlight["title"] == "a <mark>cafe</mark>"
    assert hit.highlight["body"] == text.replace("Café", "<mark>Café</mark>")
    assert hit.snippet["body"] == "…w98 w99 <mark>Café</mark> end"
    (hit,) = [hit async for hit in kv.search(["d"], "cafe", highlight=('"', "\n"))]
    assert hit.highlight is not None
    assert hit.highlight["title"] == 'a "cafe\n'
    (hit,) = [hit async for hit in kv.search(["d"], "title:cafe", snippet=True)]
    assert hit.snippet is not None
    assert hit.snippet["title"] == "a cafe"


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_values_come_back_as_they_were(indexed: LocalKv) -> None:
    value = {"text": "word", "big": 2**70, "bytes": b"\0\xff", "none": None}
    await indexed.set(["d", True, b"\0", -1.5], value)
    (hit,) = [hit async for hit in indexed.search(["d"], "word")]
    assert (hit.key, hit.value) == (("d", True, b"\0", -1.5), value)


async def test_only_an_index_of_exactly_this_prefix_is_asked(indexed: LocalKv) -> None:
    await indexed.set(["d"], {"text": "word"})
    await indexed.set(["d", "e", 1], {"text": "word"})
    await indexed.set(["d2", 1], {"text": "word"})
    keys = [hit.key async for hit in indexed.search(["d"], "word")]
    assert keys == [("d",), ("d", "e", 1)]
    for prefix, name in ((["d", "e"], '["d","e"]'), (["x"], '["x"]')):
        with pytest.raises(IndexNotFound) as caught:
            [_ async for _ in indexed.search(prefix, "word")]
        assert str(caught.value) == f"No index found for prefix: {name}"


@pytest.mark.slow
@pytest.mark.engines("sqlite", "libsql", "postgres")
def test_pages_are_the_whole_in_order(api: Api) -> None:
    for number in range(25):
        api.put(f"d/{number}", {"text": "word " * (1 + number % 2)})
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    request = {"prefix": ["d"], "query": "word"}
    whole = api.json("POST", "/search", {**request, "limit": 100})
    for size in (1, 4, 5, 25, 30):
        pages: list[Any] = []
        cursor = None
        while True:
            body = {**request, "limit": size, "cursor": cursor}
            page = api.json("POST", "/search/paginate", body)
            pages += page["entries"]
            cursor = page["cursor"]
            assert page["hasMore"] == (cursor is not None) == (len(pages) < len(whole))
            if cursor is None:
                break
            assert len(page["entries"]) == size
        assert pages == whole
    for wrong in ("x", "é", "c2VhcmNoOi0x", "c2VhcmNoOjk5OTk5OTk5OTk5OTk5OTk5OTk5OQ=="):
        message = api.error("POST", "/search/paginate", {**request, "cursor": wrong})
        assert message == "Invalid cursor"


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_texts_can_be_html(kv: LocalKv) -> None:
    text = """<b>1 & 2</b> "word" isn't \x02 <word>"""
    await kv.set(["d", 1], {"text": text})
    await kv.create_index(["d"], fields=["text"])
    safe = "&lt;b&gt;1 &amp; 2&lt;/b&gt; &quot;{}&quot; isn&#39;t \x02 &lt;{}&gt;"
    options: list[tuple[Any, str]] = [
        ({"escape": "html"}, "<mark>word</mark>"),
        ({"escape": "html", "marks": ("<i class='hit'>", "</i>")}, "<i class='hit'>word</i>"),
        ({"escape": "html", "marks": True}, "<mark>word</mark>"),
    ]
    for marks, shown in options:
        (hit,) = [it async for it in kv.search(["d"], "word", highlight=marks, snippet=64)]
        assert hit.highlight == hit.snippet == {"text": safe.format(shown, shown)}
    (plain,) = [it async for it in kv.search(["d"], "word", highlight={"marks": ("[", "]")})]
    assert plain.highlight == {"text": text.replace("word", "[word]")}

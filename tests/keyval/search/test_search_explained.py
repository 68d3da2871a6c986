"""How a page of hits was found, on every engine that may hold a store."""

from __future__ import annotations

import pytest
from buntime_keyval import SearchTerm
from buntime_plugin_keyval.faces.local.kv import LocalKv


@pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite", "libsql-replica")
async def test_every_engine_explains(kv: LocalKv) -> None:
    await kv.set(["t", 1], {"text": "running home", "more": "sugar"})
    await kv.set(["t", 2], {"text": "sugar sugar", "more": "sweet"})
    await kv.create_index(["t"], fields=["text", "more"], tokenize="porter")
    query = "text:run OR sug* NOT gone"
    page = await kv.paginate_search(["t"], query, limit=1, explain=True)
    (hit,) = page.entries
    assert hit.score is not None
    assert hit.score > 0
    assert page.has_more
    assert page.explained is not None
    assert page.explained.tokenize == "porter"
    assert page.explained.terms == (
        SearchTerm("run", 1, field="text"),
        SearchTerm("sug", 2, prefix=True),
        SearchTerm("gone", 0),
    )
    assert page.explained.asked is not None
    assert page.explained.plan != ()
    plain = await kv.paginate_search(["t"], query)
    assert plain.explained is None
    assert [found.score for found in plain.entries] == [None, None]

# Made by scripts/unasync from _async/test_search_and_metrics.py: change that one.
"""Full-text search and metrics, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import Field, InvalidInput, NotFound, SearchTerm


def test_search(kv: Any) -> None:
    for number in range(30):
        status = "published" if number % 2 else "draft"
        kv.set(["posts", number], {"title": f"python {number}", "status": status})
    kv.set(["posts", "x"], {"title": "typescript and python python"})
    kv.create_index(["posts"], fields=["title"], tokenize="porter")
    (index,) = kv.list_indexes()
    assert (index.prefix, index.fields, index.tokenize) == (("posts",), ["title"], "porter")
    found = list(kv.search(["posts"], "python"))
    assert len(found) == 31
    assert [entry.key for entry in kv.search(["posts"], "typescript")] == [("posts", "x")]
    published = kv.search(["posts"], "python", where=Field("status") == "published", limit=10)
    assert len(list(published)) == 10
    ranged = kv.search(["posts"], "python", start=["posts", 3], end=["posts", 5])
    assert sorted([entry.key[1] for entry in ranged]) == [3, 4]
    page = kv.paginate_search(["posts"], "typescript pyth*", explain=True)
    assert page.entries[0].score > 0
    terms = [SearchTerm("typescript", 1), SearchTerm("pyth", 31, prefix=True)]
    assert [*page.explained.terms] == terms
    assert (page.explained.tokenize, page.explained.plan != ()) == ("porter", True)
    backwards = [entry.key for entry in kv.search(["posts"], "python", reverse=True)]
    assert backwards == [entry.key for entry in found][::-1]
    kv.remove_index(["posts"])
    kv.remove_index(["posts"])
    assert kv.list_indexes() == []
    with pytest.raises(NotFound, match="No index found"):
        list(kv.search(["posts"], "python"))
    with pytest.raises(InvalidInput, match="fields"):
        kv.create_index(["posts"], fields=[])
    with pytest.raises(InvalidInput, match="fields"):
        kv.create_index(["posts"], fields="title")
    with pytest.raises(InvalidInput, match="query"):
        list(kv.search(["posts"], None))


def test_metrics(kv: Any) -> None:
    kv.set(["a"], 1)
    metrics = kv.metrics()
    assert metrics["operations"]["set"]["count"] >= 1
    assert metrics["storage"]["entries"] == 1
    assert "keyval_operations_total" in kv.metrics("prometheus")
    with pytest.raises(InvalidInput):
        kv.metrics("xml")

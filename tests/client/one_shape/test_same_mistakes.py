"""The same in process and behind HTTP: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput
from client.one_shape.kinds import AnyKv

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"weights": 3}, "3"),
        ({"weights": {"title": None}}, "None"),
        ({"highlight": b"b"}, "b'b'"),
        ({"highlight": {"marks": (1, 2)}}, "(1, 2)"),
        ({"highlight": {"escape": True}}, "True"),
        ({"snippet": 65}, "65"),
    ],
)
async def test_what_is_wrong_is_shown_as_python_writes_it(
    kv: AnyKv, options: dict[str, Any], received: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await anext(kv.search(["a"], "x", **options))
    assert str(caught.value).endswith(f"received {received}")


@pytest.mark.parametrize(
    "use",
    [
        lambda kv: kv.set([], 1),
        lambda kv: kv.set(["a"], object()),
        lambda kv: kv.set(["a"], 1, expires_in="soon"),
        lambda kv: kv.set(["a" * 1025], 1),
        lambda kv: kv.set([2**60 + 1], 1),
        lambda kv: kv.delete(["a"], where={"x": {"$what": 1}}),
        lambda kv: kv.count(["a"], where={"x": {"$in": 1}}),
        lambda kv: kv.paginate(["a"], limit=0),
        lambda kv: kv.paginate(["a"], cursor="?"),
        lambda kv: anext(kv.list(limit=-1)),
        lambda kv: anext(kv.list(page_size=0)),
        lambda kv: anext(kv.search(["a"], None)),
        lambda kv: anext(kv.search(["a"], "x", highlight="b")),
        lambda kv: anext(kv.search(["a"], "x", snippet=65)),
        lambda kv: anext(kv.search(["a"], "x", weights={"title": -1})),
        lambda kv: kv.paginate_search(["a"], "x", cursor="?"),
        lambda kv: kv.create_index(["a"], fields=[]),
        lambda kv: kv.create_index(["a"], fields=["x"], tokenize="words"),
        lambda kv: kv.enqueue(1, delay=-1),
        lambda kv: kv.ack_message(""),
        lambda kv: kv.release_message("an id without its lease"),
        lambda kv: kv.dlq.list(limit=0),
        lambda kv: kv.dlq.list(offset=-1),
        lambda kv: kv.dlq.get(""),
        lambda kv: kv.metrics("xml"),
        lambda kv: kv.transaction(None, max_retries=-1),
    ],
)
async def test_mistakes_are_the_same_exception(kv: AnyKv, use: Any) -> None:
    with pytest.raises(InvalidInput):
        await use(kv)

"""Filters that the server's SQL cannot decide, and what is built on them."""

from __future__ import annotations

from typing import Any

import pytest
from keyval.service.world import World
from support.api import Api

pytestmark = pytest.mark.engines("libsql", "rqlite")

NAMES = ["Straße", "STRASSE", "strasse", "Strand", "ΣΑΣ", "σας", "plain"]


@pytest.fixture
def filled(api: Api) -> Api:
    for number, name in enumerate(NAMES):
        api.put(f"names/{number}", {"name": name})
    return api


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"name": {"$containsi": "STRASSE"}}, [0, 1, 2]),
        ({"name": {"$startsWithi": "stra"}}, [0, 1, 2, 3]),
        ({"name": {"$endsWithi": "ΣΑΣ"}}, [4, 5]),
        ({"$and": [{"name": {"$containsi": "s"}}, {"name": {"$eq": "plain"}}]}, []),
        ({"$not": {"name": {"$containsi": "s"}}}, [4, 5, 6]),
    ],
)
def test_ignoring_case_as_python_does(
    filled: Api, condition: dict[str, Any], found: list[int]
) -> None:
    listed = filled.keys(prefix=["names"], where=condition)
    assert [int(key[1]) for key in listed] == found
    body = {"prefix": ["names"], "where": condition}
    assert filled.json("POST", "/keys/count", body) == {"count": len(found)}


def test_deleting_what_matches_and_nothing_else(filled: Api) -> None:
    body = {"where": {"name": {"$containsi": "STRASSE"}}}
    assert filled.json("DELETE", "/keys/names", body) == {"deletedCount": 3}
    assert [int(key[1]) for key in filled.keys(prefix=["names"])] == [3, 4, 5, 6]


async def test_more_entries_than_are_checked_at_a_time(world: World) -> None:
    atomic = world.kv.atomic()
    for number in range(2500):
        atomic.set(("n", number), {"text": "ÄB" if number % 2 else "x"})
    assert (await atomic.commit()).ok
    assert await world.kv.count(("n",), where={"text": {"$containsi": "äb"}}) == 1250
    deleted = await world.kv.delete(("n",), where={"text": {"$containsi": "äb"}})
    assert deleted.deleted_count == 1250
    assert await world.kv.count(("n",)) == 1250

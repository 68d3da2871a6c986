"""What a store cannot do on PostgreSQL, or in another way, and how its callers hear of that."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_database import Batch
from buntime_keyval.wire import encode_key
from keyval.service.world import World
from support.api import Api

pytestmark = pytest.mark.engines("postgres")

LONG = [f"{number}" * 1000 for number in (1, 2, 3)]
"""A key that other databases take."""
MESSAGE = "Key too long for this database: "


def commit_of(mutation: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return "POST", "/atomic", {"mutations": [mutation]}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/keys/" + "/".join(LONG), 1),
        commit_of({"type": "set", "key": LONG, "value": 1}),
        commit_of({"type": "sum", "key": LONG, "value": 1}),
        commit_of({"type": "set", "key": [*LONG[:2], "x" * 570, {"$uuidv7": True}], "value": 1}),
        commit_of({"type": "enqueue", "value": 1, "keysIfUndelivered": [LONG]}),
        ("POST", "/queue/enqueue", {"value": 1, "options": {"keysIfUndelivered": [LONG]}}),
    ],
)
def test_a_key_that_is_too_long_is_refused(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.send(method, path, body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(MESSAGE)
    assert answer.json()["error"].endswith("(max 2600). Use shorter parts, or fewer")


def test_among_others_it_is_refused_alone(api: Api) -> None:
    sets = [{"key": key, "value": 1} for key in (["a"], LONG, ["b"])]
    results = api.json("POST", "/keys/set-batch", {"sets": sets})
    assert [result.get("ok", False) for result in results] == [True, False, True]
    assert results[1]["error"].startswith(MESSAGE)


def test_it_can_be_looked_for(api: Api) -> None:
    path = "/keys/" + "/".join(LONG)
    assert api.send("GET", path).status_code == 404
    assert api.json("DELETE", f"{path}?exact=true")["deletedCount"] == 0


async def test_the_longest_one_is_stored(world: World) -> None:
    key = (*LONG[:2], "x" * (2600 - len(encode_key((*LONG[:2], "")))))
    assert len(encode_key(key)) == 2600
    await world.kv.set(key, 1)
    assert (await world.kv.get(key)).value == 1
    assert await world.kv.delete(key, exact=True)


async def test_texts_with_nul_are_stored_and_found(world: World) -> None:
    for number, text in enumerate(("a\0b", "a\x01b", "\\u0000", "a")):
        await world.kv.set(("t", number), {"text": text, text: 1})
    for where, found in (
        ({"text": "a\0b"}, [0]),
        ({"text": {"$lt": "a\x01"}}, [0, 2, 3]),
        ({"text": {"$contains": "\0"}}, [0]),
        ({"text": {"$endsWith": "b"}}, [0, 1]),
        ({"text": "\\u0000"}, [2]),
    ):
        listed = [entry.key[1] async for entry in world.kv.list(("t",), where=where)]
        assert listed == found


async def test_groups_of_the_common_writes_are_one_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else there is goes the engine's own way, which is slower and not less right."""
    calls: list[list[int]] = []
    commit = world.adapter.batch_each

    async def noted(batches: list[Batch]) -> Any:
        calls.append([len(batch.steps) for batch in batches])
        assert all(batch.repeatable for batch in batches)
        return await commit(batches)

    monkeypatch.setattr(world.adapter, "batch_each", noted)
    kv = world.kv
    first = (("a",), (await kv.set(("a",), 1)).versionstamp)
    assert (await kv.atomic().check(first).sum(("n",), 5).delete(("a",)).commit()).ok
    assert not (await kv.atomic().check(first).set(("b",), 1).commit()).ok
    await kv.set(("c",), 1, expires_in=1000)
    assert (await kv.atomic().enqueue({"x": 1}).delete(("missing",)).commit()).ok
    assert (await kv.delete(("c",), exact=True)).deleted_count == 1
    assert (await kv.get(("n",))).value == 5
    assert calls
    assert all(steps == [1] for steps in calls)

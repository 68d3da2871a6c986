"""Messages that are enqueued by a commit, together with its data or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.queue.test_queue_messages import drain, states
from keyval.service.world import FakeClock, World
from support.api import Api


async def test_message_and_data_come_together(kv: LocalKv, clock: FakeClock) -> None:
    result = await (
        kv.atomic()
        .check((["order", 1], None))
        .set(("order", 1), "new")
        .enqueue({"ship": 1}, delay=500, backoff_schedule=[], keys_if_undelivered=[["lost"]])
        .enqueue("second")
        .commit()
    )
    assert result.ok
    assert result.versionstamp == (await kv.get(["order", 1])).versionstamp
    assert await drain(kv) == ["second"]
    clock.advance(500)
    message = await kv.dequeue()
    assert message is not None
    await kv.nack_message(message)
    assert (await kv.get(["lost"])).value == {"ship": 1}


async def test_a_failed_check_enqueues_nothing(kv: LocalKv) -> None:
    await kv.set(["taken"], 1)
    result = await kv.atomic().check((["taken"], None)).enqueue("x").set(["a"], 1).commit()
    assert not result.ok
    assert await states(kv) == (0, 0, 0)


async def test_a_mutation_that_fails_enqueues_nothing(kv: LocalKv) -> None:
    await kv.set(["text"], "no number")
    with pytest.raises(InvalidInput):
        await kv.atomic().enqueue("x").sum(["text"], 1).commit()
    assert await states(kv) == (0, 0, 0)


async def test_a_database_that_refuses_the_message_refuses_the_data(
    kv: LocalKv, world: World
) -> None:
    await world.adapter.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON kv_queue BEGIN SELECT raise(ABORT, 'full'); END"
    )
    with pytest.raises(Exception, match="full"):
        await kv.atomic().set(["a"], 1).enqueue("x").commit()
    assert (await kv.get(["a"])).versionstamp is None


async def test_a_message_alone_is_a_commit_too(kv: LocalKv) -> None:
    result = await kv.atomic().enqueue("alone").commit()
    assert result.ok
    assert result.versionstamp
    assert await drain(kv) == ["alone"]


async def test_listeners_learn_of_it(kv: LocalKv) -> None:
    async with kv.listen_queue() as messages:
        for value in ("wake up", "again"):
            await kv.atomic().set(["a"], 1).enqueue(value).commit()
            assert (await anext(messages)).value == value


@pytest.mark.parametrize("kind", ["atomic", "plain", "requeued", "nacked", "given back"])
async def test_listeners_wake_without_looking(kv: LocalKv, world: World, kind: str) -> None:
    world.service.dispatcher._foreign_poll_ms = 3_600_000
    if kind != "plain":
        await kv.enqueue("x", backoff_schedule=[] if kind == "requeued" else [0])
    other = world.service.dispatcher.attach(prefetch=1)
    held = None if kind == "plain" else await other.next()
    listener = world.service.dispatcher.attach(prefetch=1)
    if kind == "atomic" and held is not None:
        await kv.ack_message(held.id)
    waiting = asyncio.create_task(listener.next(15))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    if kind == "atomic":
        await kv.atomic().enqueue("x").commit()
    elif kind == "plain":
        await kv.enqueue("x")
    elif kind == "given back":
        other.close()
    elif held is not None:
        await kv.nack_message(held.id)
        if kind == "requeued":
            await kv.dlq.requeue((await kv.dlq.list())[0].id)
    message = await waiting
    assert message is not None
    assert message.value == '"x"'


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/atomic", "/transaction"])
def test_the_wire_form(api: Api, path: str) -> None:
    message = {"type": "enqueue", "value": {"a": {"$now": True}}, "delay": "0s",
               "backoffSchedule": [], "keysIfUndelivered": [["lost", 1]]}  # fmt: skip
    mutations = [{"type": "set", "key": ["a"], "value": 1}, message]
    conflict = {"checks": [{"key": ["a"], "versionstamp": "x"}], "mutations": mutations}
    assert api.json("POST", path, conflict)["ok"] is False
    assert api.json("GET", "/queue/stats")["total"] == 0
    assert api.json("POST", path, {"mutations": mutations})["ok"] is True
    assert api.value("a") == 1
    found = api.json("GET", "/queue/poll")["message"]
    assert isinstance(found["value"]["a"], int)
    api.json("POST", "/queue/nack", {"id": found["id"]})
    assert api.value("lost", 1) == found["value"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "value is required"),
        ({"value": 1, "delay": "soon"}, "delay must be"),
        ({"value": 1, "backoffSchedule": [-1]}, "backoffSchedule[0] must be"),
        ({"value": 1, "keysIfUndelivered": [[]]}, "keysIfUndelivered: "),
        ({"value": 1, "key": ["a"]}, "key is not allowed on an enqueue"),
        ({"value": 1, "expiresIn": 5}, "expiresIn is not allowed on an enqueue"),
    ],
)
@pytest.mark.parametrize("path", ["/atomic", "/transaction"])
def test_a_wrong_message_is_refused(api: Api, path: str, fields: dict[str, Any], text: str) -> None:
    mutations = [{"type": "set", "key": ["a"], "value": 1}, {"type": "enqueue", **fields}]
    assert text in api.error("POST", path, {"mutations": mutations})
    assert api.value("a") is None

"""Numbers of single queues: of as many as administrators have told something, and no more."""

from __future__ import annotations

import pytest
from buntime_plugin_keyval.features.queue import part
from keyval.metrics.test_metrics_formats import parse
from keyval.service.world import World

pytestmark = pytest.mark.engines("sqlite", "postgres")

NAME = "keyval_queue_messages"


async def test_queues_with_options_have_numbers_of_their_own(world: World) -> None:
    kv = world.kv
    for name in ("emails", "made-up-1", "made-up-2", ""):
        await kv.enqueue(1, queue=name)
    assert NAME not in parse(await kv.metrics.to_prometheus())
    assert "named" not in (await kv.metrics.to_json())["queue"]
    await kv.queues.set_options("emails", max_running=1)
    await kv.queues.pause("films")
    await kv.enqueue(2, queue="emails")
    assert await kv.dequeue("emails") is not None
    found = parse(await kv.metrics.to_prometheus())[NAME]
    told = {(dict(labels)["queue"], dict(labels)["state"]): it for labels, it in found.items()}
    assert told == {
        ("emails", "pending"): 1,
        ("emails", "processing"): 1,
        ("emails", "dlq"): 0,
        **{("films", state): 0 for state in ("pending", "processing", "dlq")},
    }
    queue = (await kv.metrics.to_json())["queue"]
    assert queue["pending"] == 4  # of all queues
    assert queue["named"]["emails"] == {"pending": 1, "processing": 1, "dlq": 0}


async def test_there_are_few(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "MOST_LABELLED", 3)
    for number in range(5):
        await world.kv.queues.pause(f"queue-{number}")
    assert len(parse(await world.kv.metrics.to_prometheus())[NAME]) == 3 * 3

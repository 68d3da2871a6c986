"""What the metrics say, as JSON and in Prometheus' format."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.engine.recorder import BUCKETS_MS
from keyval.service.world import World
from prometheus_client.parser import text_string_to_metric_families
from support.api import Api

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def parse(text: str) -> Samples:
    """Values by sample name and labels; a sample that is there twice is an error."""
    found: Samples = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found[sample.name], sample
            found[sample.name][labels] = sample.value
    return found


def of(operation: str, **more: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"operation": operation, **more}.items()))


async def use_everything(world: World) -> None:
    kv = world.kv
    await kv.set(["d", 1], {"text": "word"})
    await kv.set(["d", 2], "x", expires_in=1000)
    await kv.get(["d", 1])
    await kv.get([["d", 1], ["d", 2]])
    [_ async for _ in kv.list(["d"])]
    await kv.count(["d"])
    await kv.atomic().sum(["n"], 1).commit()
    with pytest.raises(InvalidInput):
        await kv.atomic().sum(["d", 1], 1).commit()
    await kv.create_index(["d"], fields=["text"])
    [_ async for _ in kv.search(["d"], "word")]
    await kv.enqueue({"job": 1})
    message = await kv.dequeue()
    assert message is not None
    await kv.ack_message(message)
    await kv.enqueue({"job": 2})
    await kv.delete(("d", 2))


@pytest.mark.engines("sqlite", "libsql")
async def test_json_holds_operations_in_both_places(world: World) -> None:
    await use_everything(world)
    report = await world.kv.metrics.to_json()
    operations = report["operations"]
    nested = operations["operations"]
    assert set(nested) == {
        "set", "get", "list", "count", "atomic_commit", "search", "delete",
        "queue_enqueue", "queue_dequeue", "queue_ack",
    }  # fmt: skip
    assert {name: operations[name] for name in nested} == nested
    assert operations["totals"] == {
        "operations": sum(item["count"] for item in nested.values()),
        "errors": 1,
    }
    assert (nested["set"]["count"], nested["get"]["count"]) == (2, 2)
    assert nested["atomic_commit"] == {
        "count": 2, "errors": 1, "avgLatencyMs": nested["atomic_commit"]["avgLatencyMs"],
    }  # fmt: skip
    assert all(item["avgLatencyMs"] > 0 for item in nested.values())
    assert report["queue"]["pending"] == report["queue"]["total"] == 1
    assert report["storage"]["entries"] == 2
    assert report["indexes"] == {"total": 1, "unfinished": 0}
    assert report["changes"] == {"entries": 4}


async def test_prometheus_says_what_json_says(world: World) -> None:
    await use_everything(world)
    text = await world.kv.metrics.to_prometheus()
    report = await world.kv.metrics.to_json()
    found = parse(text)
    for name, item in report["operations"]["operations"].items():
        assert found["keyval_operations_total"][of(name)] == item["count"]
        count = found["keyval_operation_duration_ms_count"][of(name)]
        total = found["keyval_operation_duration_ms_sum"][of(name)]
        assert count == item["count"]
        assert math.isclose(total / count, item["avgLatencyMs"])
        bounds = [*map(str, BUCKETS_MS), "+Inf"]
        buckets = [
            found["keyval_operation_duration_ms_bucket"][of(name, le=bound)] for bound in bounds
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == count
    assert found["keyval_errors_total"] == {of("atomic_commit"): 1}
    assert found["keyval_queue_pending"] == {(): 1}
    assert found["keyval_entries_total"] == {(): 2}
    assert found["keyval_storage_bytes"] == {(): report["storage"]["sizeBytes"]}
    assert found["keyval_changelog_entries"] == {(): 4}
    assert found["keyval_indexes"] == {(): 1}
    assert found["keyval_database_commit_duration_seconds_count"][()] > 5
    assert found["keyval_database_commit_duration_seconds_sum"][()] > 0
    assert found["keyval_database_commit_batches_sum"][()] >= 5
    assert found["keyval_database_file_bytes"][()] > 0
    assert found["keyval_database_wal_bytes"][()] > 0
    assert text.endswith("\n")
    renamed = parse(await world.kv.metrics.to_prometheus("shop"))
    assert {name.replace("shop_", "keyval_", 1) for name in renamed} == set(found)


async def test_only_what_failed_counts_as_an_error(world: World) -> None:
    recorder = world.store.recorder
    with pytest.raises(InvalidInput):
        [_ async for _ in world.kv.list(["d"], limit=0)]
    assert recorder.totals == {}  # refused before it was an operation
    await world.kv.set(["a"], "text")
    check = world.kv.atomic().check((("a",), "other")).set(["a"], 1)
    assert not (await check.commit()).ok
    assert recorder.totals["atomic_commit"].errors == 0
    with pytest.raises(InvalidInput):
        await world.kv.atomic().sum(["a"], 1).commit()
    assert recorder.totals["atomic_commit"].errors == 1
    task = asyncio.create_task(world.kv.set(["b"], 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (recorder.totals["set"].count, recorder.totals["set"].errors) == (2, 0)


async def test_sums_and_buckets_are_exact(world: World) -> None:
    recorder = world.store.recorder
    latencies = [0.5, 1, 1.0001, 5, 7.25, 10, 5000, 5000.5, 60_000]
    for latency in latencies:
        recorder.record("set", latency / 1000)
    found = parse(await world.kv.metrics.to_prometheus())
    name = "keyval_operation_duration_ms"
    assert found[f"{name}_sum"][of("set")] == sum(latency / 1000 * 1000 for latency in latencies)
    assert found[f"{name}_count"][of("set")] == len(latencies)
    for bound in BUCKETS_MS:
        below = sum(latency <= bound for latency in latencies)
        assert found[f"{name}_bucket"][of("set", le=str(bound))] == below
    assert found[f"{name}_bucket"][of("set", le="+Inf")] == len(latencies)


@pytest.mark.engines("sqlite", "libsql")
async def test_reset(world: World) -> None:
    await world.kv.set(["a"], 1)
    await world.kv.metrics.reset()
    report = await world.kv.metrics.to_json()
    assert report["operations"]["totals"] == {"errors": 0, "operations": 0}
    assert report["storage"]["entries"] == 1


def test_over_http(api: Api) -> None:
    api.put("a", 1)
    response = api.send("GET", "/metrics/prometheus")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert parse(response.text)["keyval_entries_total"] == {(): 1}
    other = api.send("GET", "/metrics", query={"format": "prometheus"})
    assert other.headers["content-type"] == response.headers["content-type"]
    body: dict[str, Any] = api.json("GET", "/metrics")
    assert body["storage"]["entries"] == 1


def test_weakness_50_the_text_ends_with_a_line_end(api: Api) -> None:
    text = api.send("GET", "/metrics/prometheus").text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\r" not in text

"""The measurements of a running plugin, as JSON and as Prometheus metric families."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_keyval import QueueStats
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from buntime_plugin_keyval.engine.recorder import BUCKETS_MS, Samples
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.queue.queue import Queue

# What has expired and is not removed yet is no entry any more. It is found through its own index.
_TOTALS = """
SELECT
  entries - (SELECT count(*) FROM kv_entries WHERE expires_at <= ?),
  bytes - (
    SELECT coalesce(sum(length(key) + octet_length(value)), 0)
    FROM kv_entries WHERE expires_at <= ?)
FROM kv_totals"""
DATABASE_SECONDS = 1.0
"""How long the database has for its part of a report, which a monitor may wait for."""

_INDEXES = "SELECT count(*), count(*) FILTER (WHERE NOT ready) FROM kv_indexes"


@dataclass(frozen=True)
class StoredTotals:
    """What the database has."""

    queue: QueueStats
    entries: int
    size_bytes: int
    changes: int
    indexes: int
    unfinished_indexes: int


@dataclass(frozen=True)
class Report:
    """Everything that is measured, at one moment."""

    operations: Mapping[str, Samples]
    dead_letters_expired: int
    watchers: int
    listeners: int
    engine: Mapping[str, float]
    stored: StoredTotals | None
    """None where the database did not tell in time: whoever looks then needs the rest most."""


async def measure_stored(store: Store, queue: Queue) -> StoredTotals | None:
    """Ask the database, with a few small reads: none of them looks at every entry."""
    with suppress(TimeoutError, DatabaseError):
        async with asyncio.timeout(DATABASE_SECONDS):
            return await _measure_stored(store, queue)
    return None


async def _measure_stored(store: Store, queue: Queue) -> StoredTotals:
    now_ms = store.clock.now()
    ((entries, size_bytes),) = await store.adapter.query(_TOTALS, (now_ms, now_ms))
    ((indexes, unfinished),) = await store.adapter.query(_INDEXES, point=True)
    return StoredTotals(
        queue=await queue.stats(),
        entries=int(entries or 0),
        size_bytes=int(size_bytes or 0),
        changes=await store.count_changes(),
        indexes=int(indexes or 0),
        unfinished_indexes=int(unfinished or 0),
    )


def to_json(report: Report) -> dict[str, Any]:
    """The JSON form: operations both below `operations.operations` and one level higher."""
    operations = {
        name: {
            "avgLatencyMs": samples.latency_ms / samples.count if samples.count else 0,
            "count": samples.count,
            "errors": samples.errors,
        }
        for name, samples in report.operations.items()
    }
    totals = {
        "errors": sum(samples.errors for samples in report.operations.values()),
        "operations": sum(samples.count for samples in report.operations.values()),
    }
    stored = report.stored
    of_database = dict.fromkeys(("queue", "storage", "changes", "indexes"))
    if stored is not None:
        of_database = {
            "queue": msgspec.to_builtins(stored.queue),
            "storage": {"entries": stored.entries, "sizeBytes": stored.size_bytes},
            "changes": {"entries": stored.changes},
            "indexes": {"total": stored.indexes, "unfinished": stored.unfinished_indexes},
        }
    return {
        "operations": {**operations, "operations": operations, "totals": totals},
        **of_database,
        "deadLetters": {"expired": report.dead_letters_expired},
        "streams": {"listeners": report.listeners, "watchers": report.watchers},
        "engine": dict(report.engine),
    }


def to_families(report: Report, prefix: str = "keyval") -> list[Metric]:
    """The Prometheus form, for a registry to write out."""
    return [
        *_operations(report, prefix),
        *(
            GaugeMetricFamily(f"{prefix}_{name}", text, value=value)
            for name, text, value in _gauges(report)
        ),
        CounterMetricFamily(
            f"{prefix}_queue_dlq_expired",
            "Dead letters that were deleted because of their age",
            value=report.dead_letters_expired,
        ),
        *_engine(report.engine, prefix),
    ]


def _operations(report: Report, prefix: str) -> Iterable[Metric]:
    total = CounterMetricFamily(
        f"{prefix}_operations", "Total operations by type", labels=["operation"]
    )
    errors = CounterMetricFamily(
        f"{prefix}_errors", "Total errors by operation type", labels=["operation"]
    )
    latency = HistogramMetricFamily(
        f"{prefix}_operation_duration_ms", "Operation latency in milliseconds", labels=["operation"]
    )
    bounds = [*map(str, BUCKETS_MS), "+Inf"]
    for name, samples in report.operations.items():
        total.add_metric([name], samples.count)
        if samples.errors:
            errors.add_metric([name], samples.errors)
        buckets = list(zip(bounds, accumulate(samples.buckets), strict=True))
        latency.add_metric([name], buckets, samples.latency_ms)
    return total, errors, latency


def _gauges(report: Report) -> Iterable[tuple[str, str, float]]:
    yield "watchers", "Open watch streams", report.watchers
    yield "listeners", "Open queue listeners", report.listeners
    stored = report.stored
    yield "database_up", "Whether the database answered in time", stored is not None
    if stored is None:
        return
    queue = stored.queue
    yield from (
        ("queue_pending", "Pending messages in queue", queue.pending),
        ("queue_processing", "Messages being processed", queue.processing),
        ("queue_dlq", "Messages in dead letter queue", queue.dlq),
        ("queue_total", "Total messages in queue", queue.total),
        ("entries_total", "Total entries in store", stored.entries),
        ("storage_bytes", "Storage size in bytes", stored.size_bytes),
        ("changelog_entries", "Changes kept in the change log", stored.changes),
        ("indexes", "Full-text indexes", stored.indexes),
        ("indexes_unfinished", "Full-text indexes being built", stored.unfinished_indexes),
    )


def _engine(engine: Mapping[str, float], prefix: str) -> Iterable[Metric]:
    """What the database says of itself; another engine says other things."""
    rest = dict(engine)
    commits = rest.pop("commits", None)
    for name, unit, text in (
        ("commit_seconds", "commit_duration_seconds", "Time from the start of a commit to its end"),
        ("batches", "commit_batches", "Writes that share a commit"),
    ):
        total = rest.pop(name, None)
        if commits is not None and total is not None:
            yield SummaryMetricFamily(
                f"{prefix}_database_{unit}", text, count_value=int(commits), sum_value=total
            )
    for name, number in rest.items():
        text = _ENGINE_HELP.get(name, "Number that the database engine keeps of itself")
        yield GaugeMetricFamily(f"{prefix}_database_{name}", text, value=number)


_ENGINE_HELP = {
    "file_bytes": "Size of the database file",
    "wal_bytes": "Size of the write-ahead log",
}

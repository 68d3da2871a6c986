"""The measurements of a running plugin, as JSON and as Prometheus metric families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from buntime_plugin_keyval.engine.recorder import BUCKETS_MS, Samples
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Measure

OF_STORE = (
    Measure("entries_total", "Total entries in store", "storage.entries"),
    Measure("storage_bytes", "Storage size in bytes", "storage.sizeBytes"),
    Measure("changelog_entries", "Changes kept in the change log", "changes.entries"),
)
"""What is measured of the entries themselves, whatever features there are."""


@dataclass(frozen=True)
class Report:
    """Everything that is measured, at one moment."""

    operations: Mapping[str, Samples]
    engine: Mapping[str, float]
    measures: Sequence[Measure]
    numbers: Mapping[str, float]
    """Of the measures, by their names."""
    stored_measures: Sequence[Measure]
    """Of features; those of the store itself come on top."""
    stored: Mapping[str, float]
    """Empty where the database did not tell in time: whoever looks then needs the rest most."""


async def measure_store(store: Store) -> Mapping[str, float]:
    """Ask the database, with a few small reads: none of them looks at every entry."""
    entries, size_bytes = await store.totals()
    return {
        "entries_total": entries,
        "storage_bytes": size_bytes,
        "changelog_entries": await store.count_changes(),
    }


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
    places: dict[str, dict[str, float] | None] = {}
    for measure in (*report.stored_measures, *OF_STORE, *report.measures):
        part, _, name = measure.place.partition(".")
        number = report.stored.get(measure.name, report.numbers.get(measure.name))
        if number is None:
            places.setdefault(part, None)
        else:
            places[part] = {**(places.get(part) or {}), name: number}
    return {
        "operations": {**operations, "operations": operations, "totals": totals},
        **places,
        "engine": dict(report.engine),
    }


def to_families(report: Report, prefix: str = "keyval") -> list[Metric]:
    """The Prometheus form, for a registry to write out."""
    return [
        *_operations(report, prefix),
        GaugeMetricFamily(
            f"{prefix}_database_up",
            "Whether the database answered in time",
            value=bool(report.stored),
        ),
        *_measured(report.measures, report.numbers, prefix),
        *_measured((*report.stored_measures, *OF_STORE), report.stored, prefix),
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


def _measured(
    measures: Sequence[Measure], numbers: Mapping[str, float], prefix: str
) -> Iterable[Metric]:
    for measure in measures:
        if measure.name in numbers:
            family = CounterMetricFamily if measure.is_counter else GaugeMetricFamily
            name = f"{prefix}_{measure.name}"
            yield family(name, measure.text, value=numbers[measure.name])


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

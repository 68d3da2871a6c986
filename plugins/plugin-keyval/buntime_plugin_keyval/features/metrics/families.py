"""The measurements of a running plugin as Prometheus metric families.

Imported on first use: a process that is never scraped need not load the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client import core

from buntime_plugin_keyval.engine.recorder import BUCKETS_MS
from buntime_plugin_keyval.features.feature import Labelled, Measure
from buntime_plugin_keyval.features.metrics.report import OF_STORE, Report


def to_families(report: Report, prefix: str = "keyval") -> list[core.Metric]:
    """The metric families for a Prometheus registry."""
    return [
        *_operations(report, prefix),
        core.GaugeMetricFamily(
            f"{prefix}_database_up",
            "Whether the database answered in time",
            value=bool(report.stored),
        ),
        *_measured(report.measures, report.numbers, prefix),
        *_measured((*report.stored_measures, *OF_STORE), report.stored, prefix),
        *_labelled(report.labelled_measures, report.labelled, prefix),
        *_engine(report.engine, prefix),
    ]


def _operations(report: Report, prefix: str) -> Iterable[core.Metric]:
    total = core.CounterMetricFamily(
        f"{prefix}_operations", "Total operations by type", labels=["operation"]
    )
    errors = core.CounterMetricFamily(
        f"{prefix}_errors", "Total errors by operation type", labels=["operation"]
    )
    latency = core.HistogramMetricFamily(
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
) -> Iterable[core.Metric]:
    for measure in measures:
        if measure.name in numbers:
            family = core.CounterMetricFamily if measure.is_counter else core.GaugeMetricFamily
            name = f"{prefix}_{measure.name}"
            yield family(name, measure.text, value=numbers[measure.name])


def _labelled(
    measures: Sequence[Measure], labelled: Labelled, prefix: str
) -> Iterable[core.Metric]:
    for measure in measures:
        if numbers := labelled.get(measure.name):
            family = core.GaugeMetricFamily(
                f"{prefix}_{measure.name}", measure.text, labels=measure.labels
            )
            for labels, number in numbers.items():
                family.add_metric(labels, number)
            yield family


def _engine(engine: Mapping[str, float], prefix: str) -> Iterable[core.Metric]:
    """The numbers that the database engine reports; they differ between engines."""
    rest = dict(engine)
    commits = rest.pop("commits", None)
    for name, unit, text in (
        ("commit_seconds", "commit_duration_seconds", "Time from the start of a commit to its end"),
        ("batches", "commit_batches", "Writes that share a commit"),
    ):
        total = rest.pop(name, None)
        if commits is not None and total is not None:
            yield core.SummaryMetricFamily(
                f"{prefix}_database_{unit}", text, count_value=int(commits), sum_value=total
            )
    for name, number in rest.items():
        text = _ENGINE_HELP.get(name, "Number that the database engine keeps of itself")
        yield core.GaugeMetricFamily(f"{prefix}_database_{name}", text, value=number)


_ENGINE_HELP = {
    "file_bytes": "Size of the database file",
    "wal_bytes": "Size of the write-ahead log",
}

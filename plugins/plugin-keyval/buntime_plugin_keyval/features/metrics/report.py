"""The measurements of a running plugin, and their form as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from buntime_plugin_keyval.engine.recorder import Samples
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Labelled, Measure

OF_STORE = (
    Measure("entries_total", "Total entries in store", "storage.entries"),
    Measure("storage_bytes", "Storage size in bytes", "storage.sizeBytes"),
    Measure("changelog_entries", "Changes kept in the change log", "changes.entries"),
)
"""Measures of the entries themselves, independent of features."""


class Report(msgspec.Struct, frozen=True):
    """All measurements at one moment."""

    operations: Mapping[str, Samples]
    engine: Mapping[str, float]
    measures: Sequence[Measure]
    numbers: Mapping[str, float]
    """Values of the measures, by name."""
    stored_measures: Sequence[Measure]
    """Measures of features; those of the store itself are added."""
    stored: Mapping[str, float]
    """Empty if the database did not answer in time; the other numbers are reported all the same."""
    labelled_measures: Sequence[Measure] = ()
    labelled: Labelled = msgspec.field(default_factory=dict)
    """Empty in the same case."""


async def measure_store(store: Store) -> Mapping[str, float]:
    """Measure the store with a few small reads, none of which looks at every entry."""
    entries, size_bytes = await store.totals()
    return {
        "entries_total": entries,
        "storage_bytes": size_bytes,
        "changelog_entries": await store.count_changes(),
    }


def to_json(report: Report) -> dict[str, Any]:
    """The report for JSON; operations are both below `operations.operations` and a level higher."""
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
    places: dict[str, dict[str, Any] | None] = {}
    for measure in (*report.stored_measures, *OF_STORE, *report.measures):
        part, _, name = measure.place.partition(".")
        number = report.stored.get(measure.name, report.numbers.get(measure.name))
        if number is None:
            places.setdefault(part, None)
        else:
            places[part] = {**(places.get(part) or {}), name: number}
    for measure in report.labelled_measures:
        if numbers := report.labelled.get(measure.name):
            part, _, name = measure.place.partition(".")
            places[part] = {**(places.get(part) or {}), name: _nested(numbers)}
    return {
        "operations": {**operations, "operations": operations, "totals": totals},
        **places,
        "engine": dict(report.engine),
    }


def _nested(numbers: Mapping[tuple[str, ...], float]) -> dict[str, Any]:
    """Numbers by their first label, by their second one, and so on."""
    nested: dict[str, Any] = {}
    for labels, number in numbers.items():
        inner = nested
        for label in labels[:-1]:
            inner = inner.setdefault(label, {})
        inner[labels[-1]] = number
    return nested

"""Metrics of the plugins in Prometheus' text format."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric

from buntime_host.blame import describe
from buntime_host.connections.edge import EdgeMetrics
from buntime_host.errors import PluginError
from buntime_host.plugins.hooks import Hook, run_hook

_NAME = re.compile(r"^# TYPE (\S+)", re.MULTILINE)

_SAMPLE = re.compile(r"^([^#\n].* )([0-9.e+-]+)$", re.MULTILINE)
_EXACT = 2**53
"""From here on not every whole number is a double."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger("App")


class _Gathered:
    """Measured families, as a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def metrics_text(families: Iterable[Metric]) -> str:
    """The families as text, of type `CONTENT_TYPE`; the registry lives for this call alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gathered(families))
    return _SAMPLE.sub(_whole, generate_latest(registry).decode())


def _whole(sample: re.Match[str]) -> str:
    """A sample; a whole number is written as an integer: 366, neither 366.0 nor 3.66e+02."""
    number = float(sample[2])
    whole = abs(number) < _EXACT and number.is_integer()
    return f"{sample[1]}{int(number)}" if whole else sample[0]


def edge_families(edge: EdgeMetrics) -> list[Metric]:
    """The host's metrics of its connections."""
    refused = CounterMetricFamily(
        "buntime_refused",
        "Requests and connections that were refused or cut off below the plugins",
        labels=["reason"],
    )
    for reason, count in edge.refused.items():
        refused.add_metric([reason], count)
    return [
        refused,
        GaugeMetricFamily(
            "buntime_connections", "Open connections of this process", value=edge.connections
        ),
        GaugeMetricFamily(
            "buntime_upload_bytes",
            "Bytes of request bodies that are not complete",
            value=edge.upload_bytes,
        ),
        GaugeMetricFamily(
            "buntime_unsent_bytes",
            "Bytes of answers that clients have not taken",
            value=edge.unsent_bytes,
        ),
        CounterMetricFamily(
            "buntime_log_lines_dropped",
            "Lines that the log of this process does not have, because it was not read in time",
            value=edge.dropped_lines,
        ),
    ]


def task_family(failures: Mapping[str, int]) -> Metric:
    """How often background work of plugins failed."""
    family = CounterMetricFamily(
        "buntime_plugin_task_failures",
        "Failures of what plugins do in the background, in all workers",
        labels=["plugin"],
    )
    for plugin, count in failures.items():
        family.add_metric([plugin], count)
    return family


def process_families() -> list[Metric]:
    """The system's metrics of this process: processor time, memory, open files, its start."""
    return list(ProcessCollector(registry=None).collect())


async def gather_metrics(
    hooks: Mapping[str, Hook], own: Iterable[Metric] = (), *, timeout: float
) -> str:
    """The results of the plugins' `metrics()` hooks and the host's own, as one text.

    A plugin that fails, or repeats families of another one, is left out as a whole and logged: one
    broken family would make Prometheus refuse everything.
    """
    texts = [metrics_text(own)]
    owners: dict[str, str] = {}
    _claim(texts[0], "the host", owners)
    gathered = GaugeMetricFamily(
        "buntime_plugin_metrics_gathered",
        "Whether the metrics of a plugin are part of this answer",
        labels=["plugin"],
    )
    for plugin, hook in hooks.items():
        try:
            text = metrics_text(await run_hook(hook, what="metrics", timeout=timeout))
        except PluginError as error:
            problem: str | None = str(error)
        except Exception as error:  # noqa: BLE001 - a plugin may return anything
            problem = f"metrics are not valid: {describe(error)}"
        else:
            problem = _claim(text, plugin, owners)
        if problem is None:
            texts.append(text)
        else:
            logger.warning("Plugin %s: %s", plugin, problem)
        gathered.add_metric([plugin], problem is None)
    return "".join([*texts, metrics_text([gathered])])


def _claim(text: str, plugin: str, owners: dict[str, str]) -> str | None:
    """Register the families of a text; return what is wrong with them."""
    names = _NAME.findall(text)
    for name in names:
        if name in owners:
            return f"{name} is a metric of {owners[name]} already"
        if names.count(name) > 1:
            return f"{name} is there twice"
    owners.update(dict.fromkeys(names, plugin))
    return None

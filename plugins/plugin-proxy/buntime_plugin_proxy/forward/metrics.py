"""The proxy's measurements as Prometheus metric families.

Imported on request: their library is large for a process that is not scraped.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from buntime_plugin_proxy.forward.counts import ForwardTotals
from buntime_plugin_proxy.rules.table import RuleTable
from buntime_plugin_proxy.upstream.pool import UpstreamPool


def families(totals: ForwardTotals, table: RuleTable, pool: UpstreamPool) -> Iterable[Metric]:
    """All metric families of the proxy."""
    answers = CounterMetricFamily("proxy_answers", "Answers of targets", labels=["status"])
    for status, count in totals.answers.items():
        answers.add_metric([status], count)
    failures = CounterMetricFamily(
        "proxy_failures", "Requests that no target has answered", labels=["code"]
    )
    for code, count in totals.failures.items():
        failures.add_metric([code], count)
    rules = GaugeMetricFamily("proxy_rules", "Rules, in force or not", labels=["source"])
    rules.add_metric(["configuration"], len(table.static))
    rules.add_metric(["store"], len(table.dynamic))
    connections = GaugeMetricFamily(
        "proxy_connections", "Connections of this process to targets", labels=["state"]
    )
    connections.add_metric(["used"], pool.used)
    connections.add_metric(["idle"], pool.idle)
    return [
        answers,
        failures,
        CounterMetricFamily(
            "proxy_answers_broken_off",
            "Answers that targets have not completed",
            value=totals.broken_off,
        ),
        CounterMetricFamily(
            "proxy_websockets", "Websockets that targets accepted", value=totals.websockets
        ),
        GaugeMetricFamily(
            "proxy_open_websockets", "Websockets that are open", value=totals.open_websockets
        ),
        rules,
        connections,
    ]

"""The metrics of the gateway, as Prometheus metric families.

Imported on first use: a process that is never scraped need not load the library.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from buntime_plugin_gateway.cache import ResponseCache
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.parts import Parts


def families(parts: Parts) -> Iterable[Metric]:
    """The families of the parts that are on."""
    if parts.limiter is not None:
        yield from _of_limits(parts.limiter)
    if parts.cache is not None:
        yield from _of_cache(parts.cache)


def _of_limits(limiter: Limiter) -> Iterable[Metric]:
    totals = limiter.totals()
    requests = CounterMetricFamily(
        "gateway_requests", "Requests that a limit is for", labels=["outcome"]
    )
    requests.add_metric(["allowed"], totals.allowed)
    requests.add_metric(["limited"], totals.blocked)
    yield requests
    yield GaugeMetricFamily(
        "gateway_buckets", "Clients that have not their whole limit", value=totals.buckets
    )


def _of_cache(cache: ResponseCache) -> Iterable[Metric]:
    hits, misses = cache.lookups()
    lookups = CounterMetricFamily(
        "gateway_cache_lookups", "Requests that a kept answer may be for", labels=["outcome"]
    )
    lookups.add_metric(["hit"], hits)
    lookups.add_metric(["miss"], misses)
    yield lookups
    yield GaugeMetricFamily(
        "gateway_cache_entries", "Answers that this process keeps", value=cache.entries
    )
    yield GaugeMetricFamily("gateway_cache_bytes", "What they take, about", value=cache.size)

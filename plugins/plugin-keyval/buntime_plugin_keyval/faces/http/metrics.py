"""The endpoints `/metrics` and `/health`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from buntime_host import Answer
from buntime_host.access import EVERYONE

from buntime_plugin_keyval.faces.local.metrics import KvMetrics
from buntime_plugin_keyval.requests.asked import Asked, Request, Route
from buntime_plugin_keyval.requests.kinds import one_of
from buntime_plugin_keyval.requests.permissions import METRICS_READ, Permits
from buntime_plugin_keyval.requests.shape import RequestShape
from buntime_plugin_keyval.service import KeyValService

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class ReportRequest(RequestShape, frozen=True, kw_only=True):
    format: Annotated[str, one_of("json", "prometheus")] = "json"


def report_metrics(service: KeyValService, request: Request[ReportRequest]) -> Asked:
    """`GET /metrics`: counts, errors and latencies; JSON, or `?format=prometheus`."""
    if request.given.format == "prometheus":
        return report_to_prometheus(service, request)

    async def run() -> str:
        return msgspec.json.encode(await KvMetrics(service, Permits(EVERYONE)).to_json()).decode()

    return Asked("metrics", "read", run, needs=(METRICS_READ,))


def report_to_prometheus(service: KeyValService, request: Request[RequestShape]) -> Asked:
    """`GET /metrics/prometheus`: the metrics in Prometheus' text format."""

    async def run() -> Answer:
        return Answer(200, await KvMetrics(service, Permits(EVERYONE)).to_prometheus(), PROMETHEUS)

    return Asked("metrics", "read", run, needs=(METRICS_READ,))


def report_health(service: KeyValService, request: Request[RequestShape]) -> Asked:
    """`GET /health`: 200 as long as the plugin answers at all."""

    async def run() -> str:
        return '{"status":"ok"}'

    return Asked("health", "read", run, needs=())


METRICS = Route(report_metrics, ReportRequest)
PROMETHEUS_METRICS = Route(report_to_prometheus, RequestShape, media_type="text/plain")
HEALTH = Route(report_health, RequestShape)

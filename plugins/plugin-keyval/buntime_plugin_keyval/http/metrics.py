"""Endpoints that report: `/metrics` and `/health`."""

from __future__ import annotations

import msgspec

from buntime_plugin_keyval.http.answers import Answer
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.metrics.local import KvMetrics
from buntime_plugin_keyval.service import KeyValService

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


async def metrics(service: KeyValService, request: Request) -> str | Answer:
    """`GET /metrics`, with `?format=prometheus` as `GET /metrics/prometheus`."""
    if request.query("format") == "prometheus":
        return await prometheus(service, request)
    return msgspec.json.encode(await KvMetrics(service).to_json()).decode()


async def prometheus(service: KeyValService, request: Request) -> Answer:
    """`GET /metrics/prometheus`"""
    return Answer(200, await KvMetrics(service).to_prometheus(), PROMETHEUS)


async def health(service: KeyValService, request: Request) -> str:
    """`GET /health`: answers while the plugin can be asked at all."""
    return '{"status":"ok"}'

"""The metrics for Python callers, and as text."""

from __future__ import annotations

import re
from typing import Any, Literal, overload

from buntime_keyval import InvalidInput

from buntime_plugin_keyval.features.metrics.report import to_json
from buntime_plugin_keyval.requests.permissions import ADMIN, METRICS_READ, Permits
from buntime_plugin_keyval.service import KeyValService

# The order of labels has no meaning, but some clients look for this text.
_BOUND_FIRST = re.compile(r'\{(le="[^"]+"),(operation="[^"]+")\}')


class KvMetrics:
    """`kv.metrics`: the metrics of the store. Call it like the client's method of that name."""

    def __init__(self, service: KeyValService, permits: Permits) -> None:
        self._service = service
        self._permits = permits

    @overload
    async def __call__(self, format: Literal["json"] = "json") -> dict[str, Any]: ...
    @overload
    async def __call__(self, format: Literal["prometheus"]) -> str: ...
    async def __call__(self, format: str = "json") -> dict[str, Any] | str:
        """The metrics as a dict, or as Prometheus' text format."""
        if format == "prometheus":
            return await self.to_prometheus()
        if format != "json":
            raise InvalidInput(f"format must be json or prometheus, received {format!r}")
        return await self.to_json()

    async def to_json(self) -> dict[str, Any]:
        """The answer to `GET /metrics`."""
        self._permits.need(METRICS_READ)
        return to_json(await self._service.report())

    async def to_prometheus(self, prefix: str = "keyval") -> str:
        """The answer to `GET /metrics/prometheus`, with names that start with `prefix`."""
        self._permits.need(METRICS_READ)
        from buntime_host import metrics_text

        from buntime_plugin_keyval.features.metrics.families import to_families

        text = metrics_text(to_families(await self._service.report(), prefix))
        return _BOUND_FIRST.sub(r"{\2,\1}", text)

    async def flush(self) -> None:
        """Save the metrics now; does nothing without `metrics.persistent`."""
        self._permits.need(ADMIN)
        if self._service.metrics_saver is not None:
            await self._service.metrics_saver.flush()

    async def reset(self) -> None:
        """Reset the counts of operations to zero, saved ones included."""
        self._permits.need(ADMIN)
        if self._service.metrics_saver is not None:
            await self._service.metrics_saver.reset()
        else:
            self._service.store.recorder.reset()

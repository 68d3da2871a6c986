"""The metrics for Python callers, and as text."""

from __future__ import annotations

import re
from typing import Any

from buntime_host import metrics_text

from buntime_plugin_keyval.metrics.report import make_report, to_families, to_json
from buntime_plugin_keyval.service import KeyValService

# The order of labels means nothing, but clients exist that look for this text.
_BOUND_FIRST = re.compile(r'\{(le="[^"]+"),(operation="[^"]+")\}')


class KvMetrics:
    """`kv.metrics`: what was measured of the store, now."""

    def __init__(self, service: KeyValService) -> None:
        self._service = service

    async def to_json(self) -> dict[str, Any]:
        """What `GET /metrics` answers."""
        return to_json(await make_report(self._service))

    async def to_prometheus(self, prefix: str = "keyval") -> str:
        """What `GET /metrics/prometheus` answers, with names that start with `prefix`."""
        text = metrics_text(to_families(await make_report(self._service), prefix))
        return _BOUND_FIRST.sub(r"{\2,\1}", text)

    async def flush(self) -> None:
        """Save now what survives restarts; nothing unless `metrics.persistent`."""
        if self._service.metrics_saver is not None:
            await self._service.metrics_saver.flush()

    async def reset(self) -> None:
        """Start to count operations at zero again, also what is saved."""
        if self._service.metrics_saver is not None:
            await self._service.metrics_saver.reset()
        else:
            self._service.store.recorder.reset()

"""The parts of the gateway of one host; None for those that are off."""

from __future__ import annotations

from typing import NamedTuple

from buntime_plugin_gateway.cache import ResponseCache
from buntime_plugin_gateway.compression import Compression
from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.history import MetricsHistory
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.request_log import RequestLog
from buntime_plugin_gateway.shell.excludes import StoredExcludes
from buntime_plugin_gateway.shell.serving import Shell


class Parts(NamedTuple):
    """See the module."""

    log: RequestLog
    limiter: Limiter | None = None
    cors: CorsPolicy | None = None
    cache: ResponseCache | None = None
    compression: Compression | None = None
    shell: Shell | None = None
    excludes: StoredExcludes | None = None
    """Excludes of the shell, if plugin-keyval is loaded."""
    history: MetricsHistory | None = None
    """History of the limits, if plugin-keyval is loaded."""

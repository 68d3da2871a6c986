"""What the gateway of one host is made of; None for what is off."""

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
    """Of the shell, where plugin-keyval is there."""
    history: MetricsHistory | None = None
    """Of the limits, where plugin-keyval is there."""

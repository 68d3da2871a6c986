"""Reports of the API about the parts of the gateway."""

from __future__ import annotations

from typing import Any

from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.parts import Parts

RECENT = 10
"""The number of logged requests in events."""


def limit_metrics(limiter: Limiter) -> dict[str, int]:
    """The counts since the host started."""
    totals = limiter.totals()
    return {
        "totalRequests": totals.total,
        "blockedRequests": totals.blocked,
        "allowedRequests": totals.allowed,
        "activeBuckets": totals.buckets,
    }


def limit_config(limiter: Limiter) -> dict[str, Any]:
    """The limit of all paths without one of their own, the window as it was written."""
    config = limiter.config
    return {"requests": config.requests, "window": config.window.written, "keyBy": config.key_by}


def cors_config(cors: CorsPolicy) -> dict[str, Any]:
    """The CORS policy."""
    return {
        "origin": [*cors.origins],
        "credentials": cors.credentials,
        "methods": [*cors.methods],
        "maxAge": cors.config.max_age,
    }


def cache_report(parts: Parts) -> dict[str, Any]:
    """The cache of this process."""
    cache = parts.cache
    return {"enabled": cache is not None, "entries": 0 if cache is None else cache.entries}


def compression_report(parts: Parts) -> dict[str, Any]:
    """The encodings of large answers."""
    compression = parts.compression
    return {
        "enabled": compression is not None,
        "encodings": [] if compression is None else compression.encodings,
    }


def shell_report(parts: Parts) -> dict[str, Any]:
    """The location of the shell, and the number of its excludes."""
    shell = parts.shell
    return {
        "enabled": shell is not None,
        "dir": None if shell is None else str(shell.folder),
        "excludesCount": len(_excludes(parts)),
    }


def config_of(parts: Parts) -> dict[str, Any]:
    """The configuration; null for parts that are off."""
    cache, shell, limiter, cors = parts.cache, parts.shell, parts.limiter, parts.cors
    return {
        "rateLimit": None if limiter is None else limit_config(limiter),
        "cors": None if cors is None else cors_config(cors),
        "cache": None
        if cache is None
        else {
            "ttl": cache.config.ttl.written,
            "methods": sorted(cache.methods),
            "maxEntries": cache.config.max_entries,
        },
        "shell": None
        if shell is None
        else {"dir": str(shell.folder), "envExcludes": sorted(shell.excludes)},
    }


def events_report(parts: Parts, now_ms: int) -> dict[str, Any]:
    """The contents of an event."""
    limiter, cors, shell = parts.limiter, parts.cors, parts.shell
    return {
        "timestamp": now_ms,
        "rateLimit": None
        if limiter is None
        else {"metrics": limit_metrics(limiter), "config": limit_config(limiter)},
        "cors": None if cors is None else {"enabled": True, **cors_config(cors)},
        "shell": None
        if shell is None
        else {"enabled": True, "dir": str(shell.folder), "excludes": sorted(_excludes(parts))},
        "recentLogs": [entry.to_json() for entry in parts.log.entries()[:RECENT]],
    }


def _excludes(parts: Parts) -> set[str]:
    found = set() if parts.shell is None else {*parts.shell.excludes}
    return found if parts.excludes is None else found | {*parts.excludes.added_at}

"""What the API tells of the parts of a gateway."""

from __future__ import annotations

from typing import Any

from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.parts import Parts

RECENT = 10
"""Requests of the log that events tell."""


def limit_metrics(limiter: Limiter) -> dict[str, int]:
    """What was counted since the host started."""
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
    return {
        "requests": config.requests,
        "window": config.window.written,
        "keyBy": config.key_by,
    }


def cors_config(cors: CorsPolicy) -> dict[str, Any]:
    """Whose pages may do what."""
    return {
        "origin": [*cors.origins],
        "credentials": cors.credentials,
        "methods": [*cors.methods],
        "maxAge": cors.config.max_age,
    }


def cache_report(parts: Parts) -> dict[str, Any]:
    """How much is kept in this process."""
    cache = parts.cache
    return {"enabled": cache is not None, "entries": 0 if cache is None else cache.entries}


def compression_report(parts: Parts) -> dict[str, Any]:
    """In which encodings large answers go out."""
    compression = parts.compression
    return {
        "enabled": compression is not None,
        "encodings": [] if compression is None else compression.encodings,
    }


def shell_report(parts: Parts) -> dict[str, Any]:
    """Where the shell is, and how many paths are not its own."""
    shell = parts.shell
    return {
        "enabled": shell is not None,
        "dir": None if shell is None else str(shell.folder),
        "excludesCount": len(_excludes(parts)),
    }


def config_of(parts: Parts) -> dict[str, Any]:
    """What is configured; null for what is off."""
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
    """What an event tells."""
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

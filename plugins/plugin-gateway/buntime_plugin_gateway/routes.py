"""The API of the gateway, below `/api`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

import msgspec
from buntime_host import Action, BadRequest, check_parameters, find_doubled, has_doubled
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from buntime_plugin_gateway.events import event_stream
from buntime_plugin_gateway.limits.buckets import BucketState
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.parts import Parts
from buntime_plugin_gateway.report import (
    cache_report,
    compression_report,
    config_of,
    cors_config,
    events_report,
    limit_config,
    limit_metrics,
    shell_report,
)
from buntime_plugin_gateway.request_log import LogEntry, statistics
from buntime_plugin_gateway.shell.excludes import StoredExcludes, is_basename
from buntime_plugin_gateway.shell.serving import Shell

READ = "gateway:read"
ADMIN = "gateway:admin"
PERMISSIONS: Mapping[str, Action] = {
    "read": Action(doc="see limits, counts, the configuration and the log of requests"),
    "admin": Action(covers=("*",), doc="all of that, and reset limits, log, history and cache"),
}
MOST_BUCKETS = 10_000
MOST_SNAPSHOTS = 3_600

Endpoint = Callable[[Request], Awaitable[Response]]


class GatewayRoutes:
    """Endpoints that show what the gateway does, and reset it."""

    def __init__(self, parts: Parts, log_size: int, closing: asyncio.Event) -> None:
        self._parts = parts
        self._log = parts.log
        self._log_size = log_size
        self._closing = closing

    def routes(self) -> list[Route]:
        """All of them, each with its permission and the parameters that it takes."""
        buckets = "/rate-limit/buckets"
        excludes = "/shell/excludes"
        return [
            _route("GET", "/sse", self._events, READ),
            _route("GET", "/stats", self._stats, READ),
            _route("GET", "/config", self._config, READ),
            _route("GET", "/rate-limit/metrics", self._metrics, READ),
            _route("GET", buckets, self._buckets, READ, "limit"),
            _route("DELETE", f"{buckets}/{{key:path}}", self._forget, ADMIN),
            _route("POST", "/rate-limit/clear", self._clear, ADMIN),
            _route("GET", "/metrics/history", self._history, READ, "limit"),
            _route("DELETE", "/metrics/history", self._clear_history, ADMIN),
            _route("GET", excludes, self._excludes, READ),
            _route("POST", excludes, self._exclude, ADMIN),
            _route("DELETE", f"{excludes}/{{basename}}", self._include, ADMIN),
            _route("GET", "/logs", self._logs, READ, "limit", "ip", "rateLimited", "statusRange"),
            _route("DELETE", "/logs", self._clear_logs, ADMIN),
            _route("GET", "/logs/stats", self._log_stats, READ),
            _route("POST", "/cache/invalidate", self._invalidate, ADMIN),
        ]

    async def _events(self, request: Request) -> Response:
        """The numbers of the gateway as events, again and again."""

        def tell() -> dict[str, Any]:
            return events_report(self._parts, int(time.time() * 1000))

        return event_stream(tell, request.state.principal, self._closing)

    async def _stats(self, _: Request) -> Response:
        """What the gateway does now, all of its parts."""
        parts = self._parts
        limiter, cors = parts.limiter, parts.cors
        return JSONResponse(
            {
                "rateLimit": {
                    "enabled": limiter is not None,
                    "metrics": None if limiter is None else limit_metrics(limiter),
                    "config": None if limiter is None else limit_config(limiter),
                },
                "cors": {
                    "enabled": cors is not None,
                    "config": None if cors is None else cors_config(cors),
                },
                "cache": cache_report(parts),
                "compression": compression_report(parts),
                "shell": shell_report(parts),
                "logs": statistics(self._log.entries()),
            }
        )

    async def _config(self, _: Request) -> Response:
        """Show the options that the gateway runs with."""
        return JSONResponse(config_of(self._parts))

    async def _metrics(self, _: Request) -> Response:
        """How many requests the limits let pass, and refused."""
        limiter = self._limits()
        config = {"capacity": limiter.config.requests, "windowSeconds": limiter.window}
        return JSONResponse({**limit_metrics(limiter), "config": config})

    async def _buckets(self, request: Request) -> Response:
        """List the clients that limits are counted for."""
        limiter = self._limits()
        limit = number_of(request, "limit", 100, MOST_BUCKETS)
        states = await limiter.buckets.recent(limit)
        now, epoch = time.monotonic(), time.time()
        return JSONResponse([_bucket(state, now, epoch) for state in states])

    async def _forget(self, request: Request) -> Response:
        """Forget what was counted for one client."""
        key = request.path_params["key"]
        return JSONResponse({"deleted": self._limits().buckets.forget(key), "key": key})

    async def _clear(self, _: Request) -> Response:
        """Forget what was counted for all clients."""
        return JSONResponse({"cleared": self._limits().buckets.clear()})

    async def _history(self, request: Request) -> Response:
        """Snapshots of the numbers, as they were kept."""
        limit = number_of(request, "limit", 60, MOST_SNAPSHOTS)
        history = self._parts.history
        return JSONResponse([] if history is None else await history.read(limit))

    async def _clear_history(self, _: Request) -> Response:
        """Remove the snapshots that were kept."""
        if self._parts.history is not None:
            await self._parts.history.clear()
        return JSONResponse({"cleared": True})

    async def _excludes(self, _: Request) -> Response:
        """List the paths that the shell leaves alone."""
        shell = self._shell()
        stored = {} if self._parts.excludes is None else self._parts.excludes.added_at
        found: list[dict[str, Any]] = [
            {"basename": basename, "source": "env"} for basename in sorted(shell.excludes)
        ]
        for basename, added_at in stored.items():
            entry: dict[str, Any] = {"basename": basename, "source": "keyval"}
            if added_at:
                entry["addedAt"] = added_at
            found.append(entry)
        return JSONResponse(found)

    async def _exclude(self, request: Request) -> Response:
        """Have the shell leave a path alone."""
        shell = self._shell()
        basename = (await _members(request, "basename")).get("basename")
        if basename is None or basename == "":
            raise BadRequest("basename is required")
        if not isinstance(basename, str) or not is_basename(basename):
            raise BadRequest("Invalid basename format")
        if basename in shell.excludes:
            raise BadRequest("Already excluded via environment")
        added = await self._stored_excludes().add(basename)
        return JSONResponse({"added": added, "basename": basename, "source": "keyval"})

    async def _include(self, request: Request) -> Response:
        """Have the shell serve a path again."""
        shell = self._shell()
        basename = request.path_params["basename"]
        if not is_basename(basename):
            raise BadRequest("Invalid basename format")
        if basename in shell.excludes:
            raise BadRequest("Cannot remove environment-based exclude")
        removed = await self._stored_excludes().remove(basename)
        return JSONResponse({"removed": removed, "basename": basename})

    async def _logs(self, request: Request) -> Response:
        """List the newest requests."""
        limit = number_of(request, "limit", 50, self._log_size)
        fits = _log_filter(request)
        found = [entry.to_json() for entry in self._log.entries() if fits(entry)]
        return JSONResponse(found[:limit])

    async def _clear_logs(self, _: Request) -> Response:
        """Remove the requests that are listed."""
        self._log.clear(time.time())
        return JSONResponse({"cleared": True})

    async def _log_stats(self, _: Request) -> Response:
        """How many requests are listed, by their status."""
        return JSONResponse(statistics(self._log.entries()))

    async def _invalidate(self, request: Request) -> Response:
        """Forget answers that are kept, all of them or some."""
        cache = self._parts.cache
        if cache is None:
            raise BadRequest("Cache not enabled")
        said = await _members(request, "key", "pattern")
        for name, value in said.items():
            if not isinstance(value, str) or not value:
                raise BadRequest(f"{name} must be a text")
        if len(said) == 2:
            raise BadRequest(
                "key and pattern exclude each other: give one of them, or neither for all"
            )
        count = cache.invalidate(said.get("key"), said.get("pattern"))
        return JSONResponse({"invalidated": count if said else "all"})

    def _limits(self) -> Limiter:
        if self._parts.limiter is None:
            raise BadRequest("Rate limiting not enabled")
        return self._parts.limiter

    def _shell(self) -> Shell:
        if self._parts.shell is None:
            raise BadRequest("Shell not configured")
        return self._parts.shell

    def _stored_excludes(self) -> StoredExcludes:
        if self._parts.excludes is None:
            raise BadRequest("Excludes cannot be changed: plugin-keyval is not configured")
        return self._parts.excludes


def number_of(request: Request, name: str, default: int, most: int) -> int:
    """A positive number of the query, at most `most`. Raises `BadRequest`."""
    text = request.query_params.get(name)
    if text is None:
        return min(default, most)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0):
        raise BadRequest(f"{name} must be a whole number from 1 on, not {text!r}")
    return min(int(text), most)


async def _members(request: Request, *names: str) -> dict[str, Any]:
    """The body, a JSON object with some of these members; empty for none. Raises `BadRequest`."""
    body = await request.body()
    if not body:
        return {}
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"The body has to be a JSON object: {error}") from error
    if not isinstance(given, dict):
        raise BadRequest("The body has to be a JSON object")
    if has_doubled(body, given) and (doubled := find_doubled(body)) is not None:
        raise BadRequest(f"{doubled.name!r} is there twice")
    for name in given:
        if name not in names:
            raise BadRequest(f"Unknown member {name!r}; there may be {' and '.join(names)}")
    return given


def _bucket(state: BucketState, now: float, epoch: float) -> dict[str, Any]:
    missing = max(state.full_at - now, 0.0)
    tokens = state.capacity - missing / state.pause
    wait = max(missing - (state.capacity - 1) * state.pause, 0.0)
    return {
        "key": state.key,
        "tokens": max(int(tokens + 1e-6), 0),
        "retryAfter": int(-(-wait // 1)),
        "lastActivity": int((epoch - now + state.asked_at) * 1000),
    }


def _log_filter(request: Request) -> Callable[[LogEntry], bool]:
    query = request.query_params
    ip, limited, status = query.get("ip"), query.get("rateLimited"), query.get("statusRange")
    if limited not in (None, "true", "false"):
        raise BadRequest(f"rateLimited must be true or false, not {limited!r}")
    if status is not None and status not in {*"12345"}:
        raise BadRequest(f"statusRange must be a digit from 1 to 5, not {status!r}")

    def fits(entry: LogEntry) -> bool:
        return (
            (ip is None or entry.ip == ip)
            and (limited is None or entry.limited == (limited == "true"))
            and (status is None or entry.status // 100 == int(status))
        )

    return fits


def _route(method: str, path: str, endpoint: Endpoint, scope: str, *parameters: str) -> Route:
    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        request.state.principal.require(scope)
        check_parameters(request, parameters)
        return await endpoint(request)

    return Route(f"/api{path}", guarded, methods=[method])

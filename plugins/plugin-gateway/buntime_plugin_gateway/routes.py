"""The API of the gateway, below `/api`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from buntime_host import Action, BadRequest, check_parameters
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.limits.buckets import BucketState
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.request_log import LogEntry, RequestLog, statistics

READ = "gateway:read"
ADMIN = "gateway:admin"
PERMISSIONS: Mapping[str, Action] = {
    "read": Action(doc="see limits, counts, the configuration, and who asked for what"),
    "admin": Action(covers=("*",), doc="all of that, and reset limits, log and history"),
}
MOST_BUCKETS = 10_000

Endpoint = Callable[[Request], Awaitable[Response]]


class GatewayRoutes:
    """Tells what the gateway does, and resets it."""

    def __init__(
        self, limiter: Limiter | None, cors: CorsPolicy | None, log: RequestLog, log_size: int
    ) -> None:
        self._limiter = limiter
        self._cors = cors
        self._log = log
        self._log_size = log_size

    def routes(self) -> list[Route]:
        """All of them, each with its permission."""
        return [
            _route("GET", "/stats", self._stats, READ),
            _route("GET", "/config", self._config, READ),
            _route("GET", "/rate-limit/metrics", self._metrics, READ),
            _route("GET", "/rate-limit/buckets", self._buckets, READ, "limit"),
            _route("DELETE", "/rate-limit/buckets/{key:path}", self._forget, ADMIN),
            _route("POST", "/rate-limit/clear", self._clear, ADMIN),
            _route("GET", "/logs", self._logs, READ, "limit", "ip", "rateLimited", "statusRange"),
            _route("DELETE", "/logs", self._clear_logs, ADMIN),
            _route("GET", "/logs/stats", self._log_stats, READ),
        ]

    async def _stats(self, _: Request) -> Response:
        return JSONResponse(
            {
                "rateLimit": {
                    "enabled": self._limiter is not None,
                    "metrics": None if self._limiter is None else limit_metrics(self._limiter),
                    "config": None if self._limiter is None else limit_config(self._limiter),
                },
                "cors": {
                    "enabled": self._cors is not None,
                    "config": None if self._cors is None else cors_config(self._cors),
                },
                "logs": statistics(self._log.entries()),
            }
        )

    async def _config(self, _: Request) -> Response:
        return JSONResponse(
            {
                "rateLimit": None if self._limiter is None else limit_config(self._limiter),
                "cors": None if self._cors is None else cors_config(self._cors),
            }
        )

    async def _metrics(self, _: Request) -> Response:
        limiter = self._limits()
        config = {"capacity": limiter.config.requests, "windowSeconds": limiter.window}
        return JSONResponse({**limit_metrics(limiter), "config": config})

    async def _buckets(self, request: Request) -> Response:
        limiter = self._limits()
        limit = number_of(request, "limit", 100, MOST_BUCKETS)
        states = await limiter.buckets.recent(limit)
        now, epoch = time.monotonic(), time.time()
        return JSONResponse([_bucket(state, now, epoch) for state in states])

    async def _forget(self, request: Request) -> Response:
        key = request.path_params["key"]
        return JSONResponse({"deleted": self._limits().buckets.forget(key), "key": key})

    async def _clear(self, _: Request) -> Response:
        return JSONResponse({"cleared": self._limits().buckets.clear()})

    async def _logs(self, request: Request) -> Response:
        limit = number_of(request, "limit", 50, self._log_size)
        fits = _log_filter(request)
        found = [entry.to_json() for entry in self._log.entries() if fits(entry)]
        return JSONResponse(found[:limit])

    async def _clear_logs(self, _: Request) -> Response:
        self._log.clear(time.time())
        return JSONResponse({"cleared": True})

    async def _log_stats(self, _: Request) -> Response:
        return JSONResponse(statistics(self._log.entries()))

    def _limits(self) -> Limiter:
        if self._limiter is None:
            raise BadRequest("Rate limiting not enabled")
        return self._limiter


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


def number_of(request: Request, name: str, default: int, most: int) -> int:
    """A positive number of the query, at most so much. Raises `BadRequest`."""
    text = request.query_params.get(name)
    if text is None:
        return min(default, most)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadRequest(f"{name} must be a whole number from 1 on, not {text!r}")
    return min(int(text), most)


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
    async def guarded(request: Request) -> Response:
        request.state.principal.require(scope)
        check_parameters(request, parameters)
        return await endpoint(request)

    return Route(f"/api{path}", guarded, methods=[method])

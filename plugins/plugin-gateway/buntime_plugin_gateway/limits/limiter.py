"""Which limit a request has, and whether it is within it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from buntime_host import Answer, DirectRequest, Numbers, OptionError, Workers
from buntime_host.direct import failed
from buntime_host.errors import TooManyRequests

from buntime_plugin_gateway.config import RateLimit, listed, window_seconds
from buntime_plugin_gateway.limits.buckets import Buckets, OwnBuckets
from buntime_plugin_gateway.limits.clients import ClientKey, client_key
from buntime_plugin_gateway.limits.shared_buckets import SharedBuckets
from buntime_plugin_gateway.paths import matcher

COUNTS = "gateway.requests"
_ALLOWED, _BLOCKED = 0, 1
_LINES = (
    b"x-ratelimit-limit: %(limit)d\r\nx-ratelimit-remaining: %%d\r\nx-ratelimit-reset: %%d\r\n"
    b"ratelimit-limit: %(limit)d\r\nratelimit-remaining: %%d\r\nratelimit-reset: %%d\r\n"
)


class Limit(NamedTuple):
    """How much each client may ask for, of some paths or of all others."""

    fits: Callable[[bytes], object] | None
    """Whether it holds for a path; None for all."""
    prefix: str
    """Begins the keys of its buckets."""
    key_of: ClientKey
    capacity: int
    pause: float
    """Seconds in which one token comes back."""
    lines: bytes
    """Headers of an answer, with room for what is left and when all is there again."""


class Verdict(NamedTuple):
    """What became of a request that has a limit."""

    allowed: bool
    lines: bytes
    """Headers that tell of the limit."""
    retry_after: int
    """Whole seconds until the next one is allowed."""


class LimitCounts(NamedTuple):
    """What all workers have counted since the host started."""

    total: int
    blocked: int
    allowed: int
    buckets: int


class Limiter:
    """Counts requests, and finds those that are too many."""

    def __init__(self, config: RateLimit, workers: Workers) -> None:
        """Raises `OptionError`."""
        self.config = config
        self.window = window_seconds(config.window, "rateLimit.window")
        self._excludes = matcher(listed(config.exclude_paths), "rateLimit.excludePaths")
        self._limits = [
            *_route_limits(config),
            _limit(None, "", config.key_by, config.requests, self.window, "rateLimit"),
        ]
        self.buckets: Buckets
        if workers.count == 1:
            self.buckets = OwnBuckets(config.max_buckets)
        else:
            try:
                self.buckets = SharedBuckets(workers, config.max_buckets)
            except (MemoryError, ValueError) as error:
                raise OptionError(f"rateLimit.maxBuckets: {error}") from error
        self._counts: Numbers = workers.numbers(COUNTS, 2)
        self._own = self._counts.own
        self.active = 0
        """Buckets that were not full a moment ago."""

    def judge(
        self, request: DirectRequest, address: str, now: float, epoch: float
    ) -> Verdict | None:
        """Take a token for a request; None if it has no limit.

        `now` is of the monotonic clock, `epoch` the same moment in seconds of the calendar.
        """
        path = request.whole_path
        if self._excludes is not None and self._excludes(path):
            return None
        limit = self._of(path)
        key = limit.prefix + limit.key_of(request, address)
        allowed, full_at = self.buckets.take(key, limit.capacity, limit.pause, now)
        self._own[not allowed] += 1.0
        missing = full_at - now
        left = limit.capacity - math.ceil(missing / limit.pause - 1e-6)
        reset = math.ceil(missing)
        if left < 0:  # another rule had this key with more tokens
            left = 0
        lines = limit.lines % (left, (epoch + missing) * 1000, left, reset)
        if allowed:
            return Verdict(True, lines, 0)
        wait = missing - (limit.capacity - 1) * limit.pause
        return Verdict(False, lines, max(math.ceil(wait - 1e-6), 1))

    def totals(self) -> LimitCounts:
        """What all workers have counted."""
        allowed, blocked = map(int, self._counts.totals())
        return LimitCounts(allowed + blocked, blocked, allowed, self.active)

    def sweep(self, now: float) -> None:
        """Forget buckets that are full again. For once in a second."""
        self.active = self.buckets.sweep(now)

    def _of(self, path: bytes) -> Limit:
        for limit in self._limits:
            if limit.fits is None or limit.fits(path):
                return limit
        raise AssertionError("the last limit is for all paths")


def refusal(verdict: Verdict) -> Answer:
    """The answer to a request that is one too many."""
    answer = failed(TooManyRequests("Too Many Requests", code="TOO_MANY_REQUESTS"))
    lines = b"retry-after: %d\r\n" % verdict.retry_after + verdict.lines
    return Answer(answer.status, answer.body, answer.content_type, lines=lines)


def _route_limits(config: RateLimit) -> list[Limit]:
    limits = []
    for index, route in enumerate(config.routes):
        name = f"rateLimit.routes[{index}]"
        paths = listed(route.path)
        if not paths:
            raise OptionError(f"{name}.path: says no path")
        if route.requests < 1:
            raise OptionError(f"{name}.requests: must be at least 1, received {route.requests}")
        window = window_seconds(route.window, f"{name}.window")
        limit = _limit(paths, f"{paths[0]} ", route.key_by, route.requests, window, name)
        limits.append(limit)
    return limits


def _limit(
    paths: tuple[str, ...] | None,
    prefix: str,
    key_by: str,
    requests: int,
    window: float,
    option_name: str,
) -> Limit:
    return Limit(
        None if paths is None else matcher(paths, f"{option_name}.path"),
        prefix,
        client_key(key_by, f"{option_name}.keyBy"),
        requests,
        window / requests,
        _LINES % {b"limit": requests},
    )

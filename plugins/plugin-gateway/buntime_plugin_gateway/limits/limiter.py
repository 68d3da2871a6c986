"""Which limit a request has, and whether it is within it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from buntime_host import Answer, DirectRequest, OptionError, Workers
from buntime_host.errors import TooManyRequests
from buntime_host.http.direct import failed

from buntime_plugin_gateway.config import RateLimit, RouteLimit, listed, window_seconds
from buntime_plugin_gateway.limits.buckets import Buckets, OwnBuckets, rate_of
from buntime_plugin_gateway.limits.clients import BY_ADDRESS, client_key, of_addresses
from buntime_plugin_gateway.limits.shared_buckets import SharedBuckets
from buntime_plugin_gateway.paths import beginnings, matcher

COUNTS = "gateway.requests"
_ALLOWED, _BLOCKED = 0, 1
_MOST_TOLD = 1_000
_ROUNDING = 1e-6
LIMIT_HEADERS = frozenset(
    {
        *(b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"),
        *(b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset"),
    }
)
"""What an answer says of the limit that its request counts for."""
_LINES = (
    b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n"
    b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n"
)


class Limit:
    """How much each client may ask for, of some paths or of all others."""

    def __init__(
        self,
        limit: RateLimit | RouteLimit,
        option_name: str,
        *,
        prefix: str = "",
        fits: Callable[[bytes], object] | None = None,
    ) -> None:
        """`prefix` tells its buckets from others; `fits` says whether it holds for a path, None
        for all. Raises `OptionError`."""
        self.window = window_seconds(limit.window, f"{option_name}.window")
        self.rate = rate_of(limit.requests, self.window)
        self.key_of = client_key(limit.key_by, f"{option_name}.keyBy", prefix=prefix)
        self.of_address = of_addresses(prefix) if limit.key_by == BY_ADDRESS else None
        """What `key_of` puts before an address, where it does no more than that."""
        self.fits = fits
        self._told: dict[tuple[int, int, int], bytes] = {}
        self.first = b""
        """The `lines` for who has asked for nothing lately, at moments of one second."""
        self.first_since = self.first_until = 0.0

    def lines(self, full_at: float, now: float, epoch: float) -> bytes:
        """Headers that tell what is left in a bucket that is full at a moment.

        When all is there again is told in whole seconds, so that many answers say the same; of a
        client that has asked for nothing lately, all do within a second.
        """
        capacity, pause = self.rate.capacity, self.rate.pause
        missing = full_at - now
        left = capacity - ceil(missing / pause - _ROUNDING)
        reset = ceil(missing)
        second = ceil(epoch + missing)
        known = self._told.get((left, second, reset))
        if known is None:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            known = _LINES % (capacity, left, second * 1000, capacity, left, reset)
            self._told[left, second, reset] = known
        if full_at == now + pause:
            self.first, self.first_until = known, second - pause
            self.first_since = self.first_until - 1
        return known

    def retry_after(self, missing: float) -> int:
        """Whole seconds until there is a token again."""
        rate = self.rate
        return max(ceil(missing - (rate.capacity - 1) * rate.pause - _ROUNDING), 1)


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
        excluded = listed(config.exclude_paths)
        self._excludes = matcher(excluded, "rateLimit.excludePaths")
        self._excluded = beginnings(excluded)
        self._routes = _route_limits(config)
        self._general = Limit(config, "rateLimit")
        self.window = self._general.window
        self.buckets: Buckets
        if workers.count == 1:
            self.buckets = OwnBuckets(config.max_buckets)
        else:
            try:
                self.buckets = SharedBuckets(workers, config.max_buckets)
            except (MemoryError, ValueError) as error:
                raise OptionError(f"rateLimit.maxBuckets: {error}") from error
        self._take = self.buckets.take
        self._counts = workers.numbers(COUNTS, 2)
        self._allowed = int(self._counts.own[_ALLOWED])
        self._blocked = int(self._counts.own[_BLOCKED])
        self.active = 0
        """Buckets that were not full a moment ago."""

    def judge(
        self, request: DirectRequest, address: str, now: float, epoch: float
    ) -> bytes | Answer:
        """Take a token for a request: the headers that tell of its limit, or its refusal.

        None are for a request without a limit. `now` is of the monotonic clock, `epoch` the same
        moment in seconds of the calendar.
        """
        excludes = self._excludes
        if excludes is not None:
            path = request.whole_path
            # Most paths begin otherwise, which takes no call of Python to see.
            if path.startswith(self._excluded) and excludes(path):
                return b""
        limit = self._of(request.whole_path) if self._routes else self._general
        of_address = limit.of_address
        key = limit.key_of(request, address) if of_address is None else of_address + address
        rate = limit.rate
        allowed, full_at = self._take(key, rate, now)
        if full_at == now + rate.pause and limit.first_since < epoch <= limit.first_until:
            lines = limit.first
        else:
            lines = limit.lines(full_at, now, epoch)
        if allowed:
            self._allowed += 1
            return lines
        self._blocked += 1
        return _refusal(limit.retry_after(full_at - now), lines)

    def totals(self) -> LimitCounts:
        """What all workers have counted; others tell it once in a second."""
        self._tell()
        allowed, blocked = map(int, self._counts.totals())
        return LimitCounts(allowed + blocked, blocked, allowed, self.active)

    def sweep(self, now: float) -> None:
        """Forget buckets that are full again, and tell the others. For once in a second."""
        self.active = self.buckets.sweep(now)
        self._tell()

    def _tell(self) -> None:
        self._counts.own[_ALLOWED] = self._allowed
        self._counts.own[_BLOCKED] = self._blocked

    def _of(self, path: bytes) -> Limit:
        # As plugins read it: a limit is not gone round by writing a letter in another way.
        plain = unquote_to_bytes(path) if b"%" in path else path
        for limit in self._routes:
            if limit.fits is None or limit.fits(plain):
                return limit
        return self._general


def _refusal(retry_after: int, lines: bytes) -> Answer:
    answer = failed(TooManyRequests("Too Many Requests"))
    told = b"retry-after: %d\r\n" % retry_after + lines
    return Answer(answer.status, answer.body, answer.content_type, lines=told)


def _route_limits(config: RateLimit) -> list[Limit]:
    limits = []
    for index, route in enumerate(config.routes):
        name = f"rateLimit.routes[{index}]"
        paths = listed(route.path)
        if not paths:
            raise OptionError(f"{name}.path: says no path")
        if route.requests < 1:
            raise OptionError(f"{name}.requests: must be at least 1, received {route.requests}")
        fits = matcher(paths, f"{name}.path")
        limits.append(Limit(route, name, prefix=f"{paths[0]} ", fits=fits))
    return limits

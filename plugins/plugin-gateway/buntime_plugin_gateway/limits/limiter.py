"""The limits of requests: which one applies, and whether it is exceeded."""

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
"""Headers of answers about the limit of the request."""
_LINES = (
    b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n"
    b"ratelimit-limit: %d\r\nratelimit-remaining: %d\r\nratelimit-reset: %d\r\n"
)


class Limit:
    """The limit of each client for some paths, or for all others."""

    def __init__(
        self,
        limit: RateLimit | RouteLimit,
        option_name: str,
        *,
        prefix: str = "",
        fits: Callable[[bytes], object] | None = None,
    ) -> None:
        """`prefix` distinguishes its buckets; `fits` tells whether it applies to a path, None for
        all. Raises `OptionError`."""
        self.window = window_seconds(limit.window, f"{option_name}.window")
        self.rate = rate_of(limit.requests, self.window)
        self.key_of = client_key(limit.key_by, f"{option_name}.keyBy", prefix=prefix)
        self.of_address = of_addresses(prefix) if limit.key_by == BY_ADDRESS else None
        """What `key_of` puts before the address, if it does nothing else; otherwise None."""
        self.fits = fits
        self._told: dict[tuple[int, int, int], bytes] = {}
        self.first = b""
        """The `lines` for a client without recent requests, within the present second."""
        self.first_since = self.first_until = 0.0

    def lines(self, full_at: float, now: float, epoch: float) -> bytes:
        """Header lines with the tokens left in a bucket that will be full at `full_at`.

        The time of the reset is in whole seconds, so that many answers have the same lines; for a
        client without recent requests, all answers within a second do.
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
        """Whole seconds until there is a token."""
        rate = self.rate
        return max(ceil(missing - (rate.capacity - 1) * rate.pause - _ROUNDING), 1)


class LimitCounts(NamedTuple):
    """The counts of all workers since the host started."""

    total: int
    blocked: int
    allowed: int
    buckets: int


class Limiter:
    """Counts requests, and refuses those beyond their limit."""

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
        """The number of buckets that are not full, as of the last sweep."""

    def judge(
        self, request: DirectRequest, address: str, now: float, epoch: float
    ) -> bytes | Answer:
        """Take a token for a request: the header lines about its limit, or its refusal.

        There are no lines for a request without a limit. `now` is a time of the monotonic clock,
        `epoch` the same moment in seconds since the epoch.
        """
        excludes = self._excludes
        if excludes is not None:
            path = request.whole_path
            # Most paths begin differently, which is cheap to check.
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
        """The counts of all workers; those of others may be a second old."""
        self._tell()
        allowed, blocked = map(int, self._counts.totals())
        return LimitCounts(allowed + blocked, blocked, allowed, self.active)

    def sweep(self, now: float) -> None:
        """Forget buckets that are full again, and publish the counts. Call it once a second."""
        self.active = self.buckets.sweep(now)
        self._tell()

    def _tell(self) -> None:
        self._counts.own[_ALLOWED] = self._allowed
        self._counts.own[_BLOCKED] = self._blocked

    def _of(self, path: bytes) -> Limit:
        # Decoded as plugins do it, so that a limit cannot be evaded by encoding a letter.
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
            raise OptionError(f"{name}.path: names no path")
        if route.requests < 1:
            raise OptionError(f"{name}.requests: must be at least 1, received {route.requests}")
        fits = matcher(paths, f"{name}.path")
        limits.append(Limit(route, name, prefix=f"{paths[0]} ", fits=fits))
    return limits

"""The passage of all requests and answers through the gateway."""

from __future__ import annotations

from collections.abc import Coroutine
from time import monotonic, time
from typing import Any

import msgspec
from buntime_host import Answer, Companion, DirectRequest
from buntime_host.http.cors import ORIGIN_HEADERS
from buntime_host.http.direct import RepeatedHeaders

from buntime_plugin_gateway.addresses import Addresses
from buntime_plugin_gateway.cache import MISS, CachePlace
from buntime_plugin_gateway.compression import Compression
from buntime_plugin_gateway.limits.limiter import LIMIT_HEADERS
from buntime_plugin_gateway.parts import Parts
from buntime_plugin_gateway.request_log import Arrived

Header = tuple[bytes, bytes]
_FAILED = range(400, 500)
"""Statuses after which nothing was written."""


class GatewayPassage:
    """A `RequestPassage`: counts, refuses, answers and logs requests, and changes their answers."""

    def __init__(self, addresses: Addresses, parts: Parts, *, log_all: bool) -> None:
        self._addresses = addresses
        self._limiter = parts.limiter
        self._shell = parts.shell
        self.cache = parts.cache
        self.compression = parts.compression
        self.cors = parts.cors
        self._settled: frozenset[bytes] = frozenset() if parts.cors is None else ORIGIN_HEADERS
        """Headers about origins, if the gateway sets them."""
        self._limited = self._settled | LIMIT_HEADERS
        """The same, and headers about limits."""
        self._lines = b"" if parts.cors is None else parts.cors.lines(None)
        """Header lines of answers to requests that are not from a page."""
        self.note = parts.log.add
        self.log_all = log_all
        """Whether requests that no limit has refused are logged, too."""
        self._shapes = parts.cache is not None or parts.compression is not None

    def trusts(self, origin: bytes) -> bool:
        return self.cors is not None and self.cors.allows(origin)

    def takes_cookies(self, origin: bytes) -> bool:
        return self.cors is not None and self.cors.credentials and self.cors.allows(origin)

    def preflight(self, request: DirectRequest) -> Answer | None:
        """See `RequestPassage`. Not counted by limits: browsers send preflights by themselves."""
        answer = None if self.cors is None else self.cors.preflight(request)
        if answer is not None and self.log_all:
            now = monotonic()
            arrived = (time(), self._addresses.of(request), request.method, request.whole_path, now)
            self.note((arrived, answer.status, monotonic(), False))
        return answer

    def arrives(self, request: DirectRequest) -> Answer | Companion | None:
        now, epoch = monotonic(), time()
        headers = request.headers
        known = headers.found.get(self) if type(headers) is RepeatedHeaders else None
        address, lines = self._sender(request) if known is None else known
        # Not the request itself, which refers to its companion: the cycle would keep both in
        # memory until a garbage collection.
        arrived = (epoch, address, request.method, request.whole_path, now)
        request.settled = self._settled
        if self._shell is not None:
            page = self._shell.answer(request)
            if page is not None:
                request.lines += lines
                return self.noted(arrived, page)
        if self._limiter is not None:
            verdict = self._limiter.judge(request, address, now, epoch)
            if type(verdict) is Answer:
                request.lines += lines
                self.note((arrived, verdict.status, monotonic(), True))
                return verdict
            if verdict:
                lines += verdict
                request.settled = self._limited
        request.lines += lines
        if self._shapes:
            return self._to_be_shaped(request, ShapedRequest(self, arrived), now)
        return RequestInHand(self, arrived) if self.log_all else None

    def noted(self, arrived: Arrived, answer: Answer) -> Answer:
        """Log a request that no limit has refused; returns its answer."""
        if self.log_all:
            self.note((arrived, answer.status, monotonic(), False))
        return answer

    def _sender(self, request: DirectRequest) -> tuple[str, bytes]:
        """The address of the client, and the CORS header lines of its answers."""
        address, lines = self._addresses.of(request), self._lines
        headers = request.headers
        if self.cors is not None:
            for name, value in headers:
                if name == b"origin":
                    lines = self.cors.lines(value)
        if isinstance(headers, RepeatedHeaders):
            headers.found[self] = address, lines
        return address, lines

    def _to_be_shaped(
        self, request: DirectRequest, in_hand: ShapedRequest, now: float
    ) -> Answer | Companion:
        if self.compression is not None:
            in_hand.encoding = self.compression.accepted(request)
        if self.cache is not None:
            in_hand.place = self.cache.place(request, in_hand.encoding)
            kept = None if in_hand.place is None else self.cache.find(in_hand.place, now)
            if kept is not None:
                return self.noted(in_hand.arrived, kept)
        return in_hand


# Structs, since each request makes one: other classes take several times as long.
class RequestInHand(msgspec.Struct, gc=False):
    """The `Companion` of a request that is logged with its answer."""

    gateway: GatewayPassage
    arrived: Arrived

    def answered(self, answer: Answer) -> Answer:
        self.gateway.note((self.arrived, answer.status, monotonic(), False))
        return answer

    def begun(self, status: int, headers: list[Header]) -> list[Header]:
        """See `Companion`. For a stream, the time until it begins is logged."""
        self.gateway.note((self.arrived, status, monotonic(), False))
        return headers


class ShapedRequest(msgspec.Struct, gc=False):
    """The `Companion` of a request whose answer may be compressed or cached."""

    gateway: GatewayPassage
    arrived: Arrived
    encoding: str = ""
    """The encoding of large answers for the client; empty for none."""
    place: CachePlace | None = None
    """The place in the cache for its answer, if it may be cached."""

    def answered(self, answer: Answer) -> Answer | Coroutine[Any, Any, Answer]:
        compression = self.gateway.compression
        if compression is not None and compression.is_for(answer):
            if self.encoding:
                return self._compressed(answer, compression)
            answer = compression.plain(answer)
        return self._remembered(answer)

    def begun(self, status: int, headers: list[Header]) -> list[Header]:
        self._tell_cache(status)
        gateway = self.gateway
        if gateway.log_all:
            gateway.note((self.arrived, status, monotonic(), False))
        return headers

    async def _compressed(self, answer: Answer, compression: Compression) -> Answer:
        return self._remembered(await compression.compressed(answer, self.encoding))

    def _remembered(self, answer: Answer) -> Answer:
        self._tell_cache(answer.status)
        cache, place = self.gateway.cache, self.place
        if cache is not None and place is not None:
            cache.keep(place, answer, monotonic())
            answer = msgspec.structs.replace(answer, lines=answer.lines + MISS)
        return self.gateway.noted(self.arrived, answer)

    def _tell_cache(self, status: int) -> None:
        cache = self.gateway.cache
        if cache is not None and status not in _FAILED:
            _, _, method, path, _ = self.arrived
            cache.changed(method, path)

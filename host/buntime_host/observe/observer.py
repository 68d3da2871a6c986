"""Sees each request begin and end, and reports it as the operator has chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from buntime_host.observe.access_log import LINES, AccessEntry, utc_now
from buntime_host.observe.access_log import logger as access_logger
from buntime_host.observe.http_numbers import HttpNumbers, ended, withdrawn
from buntime_host.observe.traces import Header, Traced, Traces
from buntime_host.options.settings import ObserveOptions
from buntime_host.workers import Workers

if TYPE_CHECKING:
    from buntime_host.workers import Doubles

Peer = Mapping[str, Any]
"""The sender of a request: its `client` and `headers`, as ASGI has them."""

CLIENT_GONE = 499
"""The status of a request whose client left before there was an answer."""

logger = logging.getLogger("App")


class Observer:
    """Reports requests, by the options of a host."""

    def __init__(
        self, options: ObserveOptions, workers: Workers, client_of: Callable[[Peer], str]
    ) -> None:
        """`client_of` returns the client that a request counts for."""
        self._client_of = client_of
        self._line = LINES.get(options.access_log)
        self._slow = float(options.slow_requests)
        self.numbers = HttpNumbers(workers) if options.http_metrics else None
        """The counts; None where none are kept."""
        self.traces = Traces() if options.tracing else None
        """None where requests are not traced."""
        self.only_counts = self._line is None and not self._slow and self.traces is None
        """Whether only `numbers` are kept."""

    def begin(
        self, method: str, path: bytes, route: str, headers: Iterable[Header]
    ) -> ObservedRequest:
        """See a request begin. Its path is as it was sent, without a query."""
        text = path.decode("ascii", "backslashreplace")
        numbers, traces = self.numbers, self.traces
        row = None if numbers is None else numbers.begun(method, route)
        traced = None if traces is None else traces.begin(method, route, text, headers)
        return ObservedRequest(self, method, text, route, row, traced)

    def tell(self, request: ObservedRequest, request_id: str, peer: Peer, key: str) -> None:
        """Report a request that has ended."""
        if self._slow and request.waited >= self._slow:
            logger.warning(
                "Slow request: %s %s was answered after %.0f ms",
                request.method,
                request.path,
                request.waited * 1000,
                extra={"route": request.route, "status": request.status, "requestId": request_id},
            )
        if self._line is not None:
            entry = AccessEntry(
                time=utc_now(),
                request_id=request_id,
                client=self._client_of(peer),
                key=key,
                method=request.method,
                path=request.path,
                route=request.route,
                status=request.status,
                bytes=request.size,
                ms=round((perf_counter() - request.begun) * 1000, 3),
                trace_id="" if request.traced is None else request.traced.id,
            )
            access_logger.info("%s", self._line(entry))


class ObservedRequest:
    """One request, from its head to the end of its answer."""

    __slots__ = (
        "_observer",
        "_row",
        "begun",
        "is_over",
        "method",
        "path",
        "route",
        "size",
        "status",
        "traced",
        "waited",
    )

    def __init__(
        self,
        observer: Observer,
        method: str,
        path: str,
        route: str,
        row: Doubles | None,
        traced: Traced | None,
    ) -> None:
        self._observer = observer
        self._row = row
        self.method = method
        self.path = path
        self.route = route
        self.traced = traced
        self.begun = perf_counter()
        self.status = 0
        """The status of its answer, once that has begun."""
        self.waited = 0.0
        """Seconds until the answer began."""
        self.size = 0
        """Bytes of its answer's body."""
        self.is_over = False

    def answered(self, status: int) -> None:
        """Its answer begins."""
        if not self.status:
            self.status = status
            self.waited = perf_counter() - self.begun

    def end(self, request_id: str, peer: Peer, key: str) -> None:
        """The request is over: `key` is the id of its sender. Safe to call again."""
        if self.is_over:
            return
        self.is_over = True
        self.answered(CLIENT_GONE)
        if self._row is not None:
            ended(self._row, self.status, self.waited)
        if self.traced is not None:
            self.traced.ended(self.status)
        self._observer.tell(self, request_id, peer, key)

    def withdraw(self) -> None:
        """It starts again on the other way, and is observed there."""
        self.is_over = True
        if self._row is not None:
            withdrawn(self._row)

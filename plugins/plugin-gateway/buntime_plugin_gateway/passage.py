"""The way of every request through the gateway, and of its answer back."""

from __future__ import annotations

import time

from buntime_host import Answer, Companion, DirectRequest
from buntime_host.cors import without_answer_headers
from buntime_host.direct import pairs_of

from buntime_plugin_gateway.addresses import Addresses
from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.limits.limiter import Limiter, refusal
from buntime_plugin_gateway.request_log import RequestLog

Header = tuple[bytes, bytes]


class GatewayPassage:
    """Counts, refuses and notes requests, and says what their answers say of origins."""

    def __init__(
        self,
        addresses: Addresses,
        limiter: Limiter | None,
        cors: CorsPolicy | None,
        log: RequestLog,
        *,
        log_all: bool,
    ) -> None:
        self._addresses = addresses
        self._limiter = limiter
        self.cors = cors
        self.log = log
        self.log_all = log_all
        """Whether requests are noted that no limit has refused."""

    def trusts(self, origin: bytes) -> bool:
        """See `RequestPassage`."""
        return self.cors is not None and self.cors.allows(origin)

    def takes_cookies(self, origin: bytes) -> bool:
        """See `RequestPassage`."""
        return self.cors is not None and self.cors.credentials and self.cors.allows(origin)

    def preflight(self, request: DirectRequest) -> Answer | None:
        """See `RequestPassage`. No limit counts them: a browser sends them by itself."""
        answer = None if self.cors is None else self.cors.preflight(request)
        if answer is not None and self.log_all:
            address = self._addresses.of(request)
            self.log.add(
                time.time(), address, request.method, request.whole_path, answer.status, 0.0,
                limited=False,
            )  # fmt: skip
        return answer

    def arrives(self, request: DirectRequest) -> Answer | Companion:
        """See `RequestPassage`."""
        now, epoch = time.monotonic(), time.time()
        address = self._addresses.of(request)
        lines = b""
        if self.cors is not None:
            origin = None
            for name, value in request.headers:
                if name == b"origin":
                    origin = value
            lines = self.cors.lines(origin)
        in_hand = RequestInHand(self, request, address, now, epoch)
        in_hand.lines = lines
        if self._limiter is not None:
            verdict = self._limiter.judge(request, address, now, epoch)
            if verdict is not None:
                if not verdict.allowed:
                    in_hand.is_limited = True
                    return in_hand.answered(refusal(verdict))
                in_hand.lines = lines + verdict.lines
        return in_hand


class RequestInHand:
    """Goes with one request, see `Companion`."""

    __slots__ = ("_address", "_epoch", "_gateway", "_request", "_since", "is_limited", "lines")

    def __init__(
        self,
        gateway: GatewayPassage,
        request: DirectRequest,
        address: str,
        now: float,
        epoch: float,
    ) -> None:
        self._gateway = gateway
        self._request = request
        self._address = address
        self._since = now
        self._epoch = epoch
        self.lines = b""
        """Headers of the answer."""
        self.is_limited = False
        """Whether it was one too many."""

    def answered(self, answer: Answer) -> Answer:
        """See `Companion`."""
        self._note(answer.status)
        headers = answer.headers
        if headers and self._gateway.cors is not None:
            headers = tuple(without_answer_headers(headers))
        return Answer(
            answer.status,
            answer.body,
            answer.content_type,
            answer.length,
            headers,
            answer.tag,
            answer.lines + self.lines,
        )

    def begun(self, status: int, headers: list[Header]) -> list[Header]:
        """See `Companion`. Of a stream the time until it begins is noted."""
        self._note(status)
        if self._gateway.cors is not None:
            headers = without_answer_headers(headers)
        return headers + pairs_of(self.lines)

    def _note(self, status: int) -> None:
        gateway = self._gateway
        if gateway.log_all or self.is_limited:
            request = self._request
            gateway.log.add(
                self._epoch,
                self._address,
                request.method,
                request.whole_path,
                status,
                (time.monotonic() - self._since) * 1000,
                limited=self.is_limited,
            )

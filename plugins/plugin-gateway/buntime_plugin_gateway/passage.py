"""The way of every request through the gateway, and of its answer back."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

import msgspec
from buntime_host import Answer, Companion, DirectRequest
from buntime_host.cors import without_answer_headers
from buntime_host.direct import pairs_of

from buntime_plugin_gateway.addresses import Addresses
from buntime_plugin_gateway.cache import MISS, CachePlace
from buntime_plugin_gateway.compression import Compression
from buntime_plugin_gateway.parts import Parts

Header = tuple[bytes, bytes]
_FAILED = range(400, 500)
"""Nothing was written by who is answered so."""


class GatewayPassage:
    """Answers, counts, refuses and notes requests, and sees to their answers."""

    def __init__(self, addresses: Addresses, parts: Parts, *, log_all: bool) -> None:
        self._addresses = addresses
        self._limiter = parts.limiter
        self._shell = parts.shell
        self.cache = parts.cache
        self.compression = parts.compression
        self.cors = parts.cors
        self.note = parts.log.add
        self.log_all = log_all
        """Whether requests are noted that no limit has refused."""
        self.shapes = parts.cache is not None or parts.compression is not None
        """Whether more is done with answers than to add headers."""

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
            RequestInHand(self, request, address, time.monotonic(), time.time()).note(answer.status)
        return answer

    def arrives(self, request: DirectRequest) -> Answer | Companion:
        """See `RequestPassage`."""
        now, epoch = time.monotonic(), time.time()
        address = self._addresses.of(request)
        in_hand = RequestInHand(self, request, address, now, epoch)
        if self.cors is not None:
            origin = None
            for name, value in request.headers:
                if name == b"origin":
                    origin = value
            in_hand.lines = self.cors.lines(origin)
        if self._shell is not None:
            page = self._shell.answer(request)
            if page is not None:
                return in_hand.finished(page)
        if self._limiter is not None:
            verdict = self._limiter.judge(request, address, now, epoch)
            if isinstance(verdict, Answer):
                in_hand.is_limited = True
                return in_hand.finished(verdict)
            in_hand.lines += verdict
        if self.shapes:
            kept = self._kept(request, in_hand, now)
            if kept is not None:
                return in_hand.finished(kept)
        return in_hand

    def _kept(self, request: DirectRequest, in_hand: RequestInHand, now: float) -> Answer | None:
        if self.compression is not None:
            in_hand.encoding = self.compression.accepted(request)
        if self.cache is None:
            return None
        in_hand.place = self.cache.place(request, in_hand.encoding)
        return None if in_hand.place is None else self.cache.find(in_hand.place, now)


class RequestInHand:
    """Goes with one request, see `Companion`."""

    __slots__ = (
        "_address", "_epoch", "_gateway", "_method", "_path", "_since", "encoding", "is_limited",
        "lines", "place",
    )  # fmt: skip

    def __init__(
        self,
        gateway: GatewayPassage,
        request: DirectRequest,
        address: str,
        now: float,
        epoch: float,
    ) -> None:
        self._gateway = gateway
        # Not the request itself, which refers to this: none of both would go without a collection.
        self._method = request.method
        self._path = request.whole_path
        self._address = address
        self._since = now
        self._epoch = epoch
        self.lines = b""
        """Headers of the answer."""
        self.is_limited = False
        """Whether it was one too many."""
        self.encoding = ""
        """In which the client takes large answers; empty for none."""
        self.place: CachePlace | None = None
        """Where its answer is kept."""

    def answered(self, answer: Answer) -> Answer | Coroutine[Any, Any, Answer]:
        """See `Companion`."""
        if self._gateway.shapes:
            return self._shaped(answer)
        return self.finished(answer)

    def begun(self, status: int, headers: list[Header]) -> list[Header]:
        """See `Companion`. Of a stream the time until it begins is noted."""
        self.note(status)
        self._tell_cache(status)
        if self._gateway.cors is not None:
            headers = without_answer_headers(headers)
        return headers + pairs_of(self.lines)

    def finished(self, answer: Answer) -> Answer:
        """The answer with its headers."""
        self.note(answer.status)
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

    def note(self, status: int) -> None:
        """Note how it was answered."""
        gateway = self._gateway
        if gateway.log_all or self.is_limited:
            gateway.note(
                (
                    self._epoch,
                    self._address,
                    self._method,
                    self._path,
                    status,
                    self._since,
                    time.monotonic(),
                    self.is_limited,
                )
            )

    def _shaped(self, answer: Answer) -> Answer | Coroutine[Any, Any, Answer]:
        """The answer as it goes out, compressed and kept where that may be."""
        compression = self._gateway.compression
        if compression is not None and compression.is_for(answer):
            if self.encoding:
                return self._compressed(answer, compression)
            answer = compression.plain(answer)
        return self._remembered(answer)

    async def _compressed(self, answer: Answer, compression: Compression) -> Answer:
        return self._remembered(await compression.compressed(answer, self.encoding))

    def _remembered(self, answer: Answer) -> Answer:
        self._tell_cache(answer.status)
        cache, place = self._gateway.cache, self.place
        if cache is not None and place is not None:
            cache.keep(place, answer, time.monotonic())
            answer = msgspec.structs.replace(answer, lines=answer.lines + MISS)
        return self.finished(answer)

    def _tell_cache(self, status: int) -> None:
        cache = self._gateway.cache
        if cache is not None and status not in _FAILED:
            cache.changed(self._method, self._path)

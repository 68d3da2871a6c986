"""Telling of requests, and of what became of them."""

from __future__ import annotations

import time
from typing import Any, TypeVar

from buntime_keyval._core import REQUEST_ID, Call, Reply, StreamCall, answer_of
from buntime_keyval._errors import KvError
from buntime_keyval._exchange import Exchange
from buntime_keyval._http import Settings
from buntime_keyval._transport import OutgoingRequest

R = TypeVar("R")


class Observed:
    """One request, reported to `on_exchange` once, if that is set."""

    def __init__(
        self, settings: Settings, request: OutgoingRequest, call: Call[Any] | StreamCall
    ) -> None:
        self._settings = settings
        self._observer = settings.on_exchange
        self._request = request
        self._target = call.target
        self._started = time.perf_counter() if self._observer is not None else 0.0

    def result(self, call: Call[R], reply: Reply) -> R:
        """Read the answer. Raises `KvError`."""
        self._settings.heard(self._request, reply.headers)
        try:
            result = answer_of(call, reply)
        except KvError as error:
            self.ended(reply, error)
            raise
        self.ended(reply, None)
        return result

    def ended(self, reply: Reply | None, error: KvError | None) -> None:
        """The request is over. Later events, such as the end of a stream, are not reported."""
        if self._observer is None:
            return
        observer, self._observer = self._observer, None
        answered = None if reply is None else reply.headers.get(REQUEST_ID)
        exchange = Exchange(
            self._request.method,
            self._target.partition("?")[0],
            None if reply is None else reply.status,
            time.perf_counter() - self._started,
            answered or self._request.headers.get(REQUEST_ID),
            error,
        )
        observer(exchange)

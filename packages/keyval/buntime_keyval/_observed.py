"""Telling of requests, and of what became of them."""

from __future__ import annotations

import time
from typing import TypeVar

import httpx2

from buntime_keyval._core import REQUEST_ID, Call, answer_of
from buntime_keyval._errors import KvError
from buntime_keyval._exchange import Exchange
from buntime_keyval._http import Settings, reply_of

R = TypeVar("R")


class Observed:
    """One request, told to `on_exchange` once, if anybody listens."""

    def __init__(
        self, settings: Settings, method: str, target: str, request_id: str | None
    ) -> None:
        self._settings = settings
        self._observer = settings.on_exchange
        self._method = method
        self._target = target
        self._request_id = request_id
        self._started = time.perf_counter() if self._observer is not None else 0.0

    def result(self, call: Call[R], response: httpx2.Response) -> R:
        """What the answer means. Raises `KvError`."""
        self._settings.heard(response)
        try:
            result = answer_of(call, reply_of(response, self._settings.base_url))
        except KvError as error:
            self.ended(response, error)
            raise
        self.ended(response, None)
        return result

    def ended(self, response: httpx2.Response | None, error: KvError | None) -> None:
        """The request is over. What comes later, such as the end of a stream, is not told."""
        if self._observer is None:
            return
        observer, self._observer = self._observer, None
        answered = None if response is None else response.headers.get(REQUEST_ID)
        exchange = Exchange(
            self._method,
            self._target.partition("?")[0],
            None if response is None else response.status_code,
            time.perf_counter() - self._started,
            answered or self._request_id,
            error,
        )
        observer(exchange)

"""A small HTTP client: it loads the data and checks answers; it does not measure."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60
IDLE_SECONDS = 1.0
"""A connection that rested longer is made anew: servers close it in the end, at any moment."""


class BenchmarkError(Exception):
    """The run is worth nothing: something answered wrongly, or not at all."""


class Request(NamedTuple):
    """One request, its path below the contender's base."""

    method: str
    path: str
    body: str = ""


class Client:
    """One connection to a contender."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.base = parts.path
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
        self._used = time.monotonic()

    def call(self, request: Request, headers: Mapping[str, str] = MappingProxyType({})) -> Any:
        """The decoded JSON answer. Raises `BenchmarkError` unless its status is 200."""
        body = request.body.encode() or None
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()
        try:
            self._connection.request(request.method, self.base + request.path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchmarkError(f"{request.method} {request.path[:80]}: {error!r}") from error
        self._used = time.monotonic()
        if response.status != http.HTTPStatus.OK:
            raise BenchmarkError(
                f"{request.method} {request.path[:80]}: status {response.status}: {content[:200]!r}"
            )
        return json.loads(content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

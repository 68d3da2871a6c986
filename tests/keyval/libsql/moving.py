"""A way to servers that changes with each request, for both clients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import httpx2

POSITION = "x-buntime-position"


class Moving(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Sends each request to the next of several servers; what it sent and got stays here."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses: Iterator[httpx2.URL] = itertools.cycle(map(httpx2.URL, addresses))
        self._sync = httpx2.HTTPTransport(trust_env=False)
        self._async = httpx2.AsyncHTTPTransport(trust_env=False)
        self.sent: list[str | None] = []
        self.told: list[str | None] = []
        self.next_told: str | None = None
        """What the next answer is made to tell."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._came(self._sync.handle_request(self._moved(request)))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._came(await self._async.handle_async_request(self._moved(request)))

    def close(self) -> None:
        self._sync.close()

    async def aclose(self) -> None:
        await self._async.aclose()

    def _moved(self, request: httpx2.Request) -> httpx2.Request:
        address = next(self._addresses)
        request.url = request.url.copy_with(host=address.host, port=address.port)
        self.sent.append(request.headers.get(POSITION))
        return request

    def _came(self, response: httpx2.Response) -> httpx2.Response:
        if self.next_told is not None:
            response.headers[POSITION] = self.next_told
            self.next_told = None
        self.told.append(response.headers.get(POSITION))
        return response

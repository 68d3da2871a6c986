"""Clients that come to another of two hosts with each request, where reads are of a replica."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from buntime_keyval import AsyncKv, Kv
from client.facade import Blocking
from support.api import Api

ROUNDS = 30
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


@pytest.fixture
def moving(hosts: list[Api]) -> Moving:
    return Moving([host.base for host in hosts])


@pytest.fixture(params=["async", "sync"])
async def kv(
    request: pytest.FixtureRequest, hosts: list[Api], moving: Moving
) -> AsyncIterator[Any]:
    url = hosts[0].base
    made: Any = (
        AsyncKv(url, transport=moving)
        if request.param == "async"
        else Blocking(Kv(url, transport=moving))
    )
    async with made as client:
        yield client


async def test_it_reads_what_it_wrote_to_the_other_host(kv: Any, moving: Moving) -> None:
    for number in range(ROUNDS):
        await kv.set(["own", "a"], number)
        assert (await kv.get(["own", "a"])).value == number
        await kv.set(["own", "more", number], number)
        assert await kv.count(["own", "more"]) == number + 1
        await kv.set(["own", "a"], -number)
        assert [entry.value for entry in await kv.get([["own", "a"]])] == [-number]
        await kv.delete(["own", "a"])
        assert not await kv.has(["own", "a"])
    listed = [entry.value async for entry in kv.list(["own", "more"], page_size=7)]
    assert listed == list(range(ROUNDS))
    told = [int(position) for position in moving.told if position is not None]
    assert len(told) == len(moving.told)  # each answer, also a 404
    newest = None
    for sent, position in zip(moving.sent, told, strict=True):
        assert sent == (None if newest is None else str(newest))
        newest = position if newest is None else max(newest, position)


async def test_what_it_reads_never_goes_back(kv: Any, hosts: list[Api]) -> None:
    with Kv(hosts[0].base) as other:
        seen = -1
        for number in range(ROUNDS):
            other.set(["rising"], number)
            if number % 3 == 0:  # seen on the primary, and then perhaps not on a replica
                assert (await kv.get(["rising"])).value is not None
            for _ in range(3):
                value = (await kv.get(["rising"])).value
                assert value is not None
                assert value >= seen
                seen = value


async def test_it_forgets_the_position_of_a_log_that_is_no_more(kv: Any, moving: Moving) -> None:
    moving.next_told = str(10**14)
    await kv.set(["a"], 1)
    assert (await kv.get(["a"])).value == 1
    assert moving.sent[-1] == str(10**14)
    assert (await kv.get(["a"])).value == 1
    assert moving.sent[-1] == moving.told[-2]

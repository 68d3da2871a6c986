"""The life of a client: where its server is, streams beside calls, who is told, and its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    AsyncKv,
    ClientClosed,
    Exchange,
    InvalidResponse,
    KvError,
    NotFound,
    ServerUnreachable,
)
from client._async.beside import together
from support.live import LiveServer

STREAMS = 130
"""More than there are connections for calls."""


async def test_a_closed_client_says_so(server: LiveServer) -> None:
    kv = AsyncKv(server.api)
    await kv.aclose()
    await kv.aclose()
    with pytest.raises(ClientClosed, match="make a new one"):
        await kv.get(["a"])


async def test_streams_take_no_connection_from_calls(server: LiveServer) -> None:
    async with AsyncKv(server.api) as kv:
        await kv.set(["a"], 1)
        watches = [kv.watch([["a"]], exact=True) for _ in range(STREAMS)]
        try:
            for watch in watches:
                first = await anext(watch)
                assert first[0].value == 1
            assert (await kv.get(["a"])).value == 1
        finally:
            await together(*[watch.stop for watch in watches])


async def test_an_answer_to_another_question_is_refused() -> None:
    entry = '{"key":["b"],"value":1,"versionstamp":"x"}'

    def answer(request: httpx2.Request) -> httpx2.Response:
        text = f"[{entry}]" if request.url.path.endswith("batch") else entry
        return httpx2.Response(200, text=text)

    async with AsyncKv("http://x/api", transport=httpx2.MockTransport(answer)) as kv:
        asked: list[Any] = [["a"], [["a"]], ["a", 1.5]]
        for ask in asked:
            with pytest.raises(InvalidResponse, match=r"an entry of \('b',\) for the key \('a'"):
                await kv.get(ask)


async def listed(kv: AsyncKv) -> Any:
    return [entry async for entry in kv.list(["a"])]


@pytest.mark.parametrize("path", ["", "/keyval", "/keyval/api/api", "/nothing"])
async def test_a_wrong_base_url_is_named(server: LiveServer, path: str) -> None:
    base_url = f"{server.url}{path}"
    uses: list[Callable[[AsyncKv], Any]] = [
        lambda kv: kv.get(["a"]),
        lambda kv: kv.set(["a"], 1),
        listed,
    ]
    async with AsyncKv(base_url) as kv:
        for use in uses:
            with pytest.raises(KvError) as caught:
                await use(kv)
            assert isinstance(caught.value, NotFound)
            assert f"no KeyVal API at {base_url}" in str(caught.value)


async def test_every_request_is_told(server: LiveServer) -> None:
    seen: list[Exchange] = []
    async with AsyncKv(server.api, on_exchange=seen.append) as kv:
        await kv.set(["a"], 1)
        await kv.get(["b"])
        with pytest.raises(KvError):
            await kv.atomic().sum(["c"], 1).set(["c"], "x").sum(["c"], 1).commit()
    told = [(it.method, it.path, it.status, it.error is None) for it in seen]
    assert told == [
        ("PUT", "/keys/a", 200, True),
        ("GET", "/keys/b", 404, True),
        ("POST", "/atomic", 400, False),
    ]
    assert all(it.seconds > 0 and it.request_id for it in seen)
    async with AsyncKv("http://127.0.0.1:1/api", retries=1, on_exchange=seen.append) as nobody:
        with pytest.raises(ServerUnreachable):
            await nobody.get(["a"])
    assert [it.status for it in seen[3:]] == [None, None]


async def test_the_environment_names_the_server(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BUNTIME_URL", server.api)
    for make in (AsyncKv, AsyncKv.from_env):
        async with make() as kv:
            await kv.set(["a"], 1)
            assert (await kv.get(["a"])).value == 1

"""The life of a client: loops, threads, streams beside calls, and its end."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    AsyncKv,
    ClientClosed,
    Exchange,
    InvalidResponse,
    Kv,
    KvError,
    NotFound,
    PoolExhausted,
    ServerUnreachable,
)
from support.live import LiveServer

STREAMS = 130
"""More than there are connections for calls."""


# A loop that ends leaves its connections to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_client_in_several_loops(server: LiveServer) -> None:
    kv = AsyncKv(server.api)

    async def use(number: int) -> Any:
        await kv.set(["n", number], number)
        return (await kv.get(["n", number])).value

    assert [asyncio.run(use(number)) for number in range(3)] == [0, 1, 2]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: asyncio.run(use(number)), range(20)))
    assert found == list(range(20))
    asyncio.run(kv.aclose())
    gc.collect()


async def test_closing_reaches_the_loops_of_other_threads(server: LiveServer) -> None:
    kv = AsyncKv(server.api)
    used, leave = threading.Event(), threading.Event()

    async def use() -> None:
        await kv.has(["a"])
        used.set()
        await asyncio.to_thread(leave.wait)

    other = threading.Thread(target=lambda: asyncio.run(use()))
    other.start()
    await asyncio.to_thread(used.wait)
    await kv.has(["a"])
    await kv.aclose()
    leave.set()
    await asyncio.to_thread(other.join)


async def test_a_closed_client_says_so(server: LiveServer) -> None:
    kv = AsyncKv(server.api)
    await kv.aclose()
    await kv.aclose()
    with pytest.raises(ClientClosed, match="make a new one"):
        await kv.get(["a"])
    blocking = Kv(server.api)
    blocking.close()
    blocking.close()
    with pytest.raises(ClientClosed, match="make a new one"):
        blocking.get(["a"])


def test_threads_share_a_client(server: LiveServer) -> None:
    with Kv(server.api) as kv, ThreadPoolExecutor(16) as threads:

        def use(number: int) -> Any:
            kv.set(["n", number], number)
            return kv.get(["n", number]).value

        assert list(threads.map(use, range(200))) == list(range(200))


async def test_streams_take_no_connection_from_calls(server: LiveServer) -> None:
    async with AsyncKv(server.api) as kv:
        await kv.set(["a"], 1)
        watches = [kv.watch([["a"]], exact=True) for _ in range(STREAMS)]
        try:
            async with asyncio.timeout(60):
                firsts = await asyncio.gather(*[anext(watch) for watch in watches])
                assert all(first[0].value == 1 for first in firsts)
                assert (await kv.get(["a"])).value == 1
        finally:
            await asyncio.gather(*[watch.stop() for watch in watches])


async def test_a_pool_that_is_exhausted_says_so(server: LiveServer) -> None:
    async with AsyncKv(server.api, max_connections=1, connect_timeout="50ms") as kv:
        value = "x" * 5_000_000
        writes = [kv.set(["n", number], value) for number in range(8)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert failed
        for error in failed:
            assert isinstance(error, PoolExhausted)
            assert "raise max_connections" in str(error)


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


@pytest.mark.parametrize("path", ["", "/keyval", "/keyval/api/api", "/nothing"])
def test_a_wrong_base_url_is_named(server: LiveServer, path: str) -> None:
    base_url = f"{server.url}{path}"
    with Kv(base_url) as kv:
        for use in (
            lambda kv: kv.get(["a"]),
            lambda kv: kv.set(["a"], 1),
            lambda kv: list(kv.list(["a"])),
        ):
            with pytest.raises(KvError) as caught:
                use(kv)
            assert isinstance(caught.value, NotFound)
            assert f"no KeyVal API at {base_url}" in str(caught.value)


def test_every_request_is_told(server: LiveServer) -> None:
    seen: list[Exchange] = []
    with Kv(server.api, on_exchange=seen.append) as kv:
        kv.set(["a"], 1)
        kv.get(["b"])
        with pytest.raises(KvError):
            kv.atomic().sum(["c"], 1).set(["c"], "x").sum(["c"], 1).commit()
    told = [(it.method, it.path, it.status, it.error is None) for it in seen]
    assert told == [
        ("PUT", "/keys/a", 200, True),
        ("GET", "/keys/b", 404, True),
        ("POST", "/atomic", 400, False),
    ]
    assert all(it.seconds > 0 and it.request_id for it in seen)
    nobody = Kv("http://127.0.0.1:1/api", retries=1, on_exchange=seen.append)
    with nobody, pytest.raises(ServerUnreachable):
        nobody.get(["a"])
    assert [it.status for it in seen[3:]] == [None, None]


def test_the_environment_names_the_server(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BUNTIME_URL", server.api)
    for make in (Kv, Kv.from_env):
        with make() as kv:
            kv.set(["a"], 1)
            assert kv.get(["a"]).value == 1

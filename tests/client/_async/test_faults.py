"""Bad networks, through a real proxy: nothing is lost, applied twice, or tried in a hot loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    AsyncKv,
    ConnectionLost,
    KvMissing,
    OutcomeUnknown,
    Retries,
    ServerUnreachable,
    ServiceUnavailable,
)
from client._async.beside import Event, Started, happened, sleep, until
from client.proxy import Proxy, proxy_to
from support.live import LiveServer, live_server

pytestmark = pytest.mark.slow

FAST = Retries(times=5, first_delay="10ms", max_delay="100ms")


@pytest.fixture
async def direct(api: str) -> AsyncIterator[AsyncKv]:
    """A client that does not go through the proxy."""
    async with AsyncKv(api) as client:
        yield client


@pytest.fixture
def proxy(api: str) -> Iterator[Proxy]:
    with proxy_to(api) as running:
        yield running


@pytest.fixture(params=["own", "httpx2"])
async def kv(proxy: Proxy, request: pytest.FixtureRequest) -> AsyncIterator[AsyncKv]:
    """A client behind the proxy, with both of what may send its requests."""
    given = httpx2.AsyncHTTPTransport(trust_env=False) if request.param == "httpx2" else None
    async with AsyncKv(proxy.api, retries=FAST, timeout="2s", transport=given) as client:
        yield client


@pytest.mark.parametrize("bytes_passed", [0, 10, 150, 400])
async def test_a_read_that_is_cut_is_repeated(
    kv: Any, direct: AsyncKv, proxy: Proxy, bytes_passed: int
) -> None:
    await direct.set(["a"], "x" * 1000)
    proxy.cut_after = bytes_passed
    assert (await kv.get(["a"])).value == "x" * 1000
    proxy.cut_after = bytes_passed
    assert [entry.value async for entry in kv.list()] == ["x" * 1000]
    assert proxy.connections == 3


async def test_a_read_gives_up_after_bounded_attempts(kv: Any, proxy: Proxy) -> None:
    proxy.cut_always_after = 20
    with pytest.raises(ConnectionLost, match="GET /keys/a"):
        await kv.get(["a"])
    assert proxy.connections == 6


WRITES: list[Callable[[Any], Any]] = [
    lambda kv: kv.atomic().sum(["n"], 1).commit(),
    lambda kv: kv.atomic().append(["list"], [1]).commit(),
    lambda kv: kv.atomic().set(["new", kv.uuidv7()], 1).commit(),
    lambda kv: kv.atomic().check(KvMissing(("once",), None, None)).set(["once"], 1).commit(),
    lambda kv: kv.set(["set"], 1),
    lambda kv: kv.enqueue("once"),
    lambda kv: kv.delete(["set"]),
]


@pytest.mark.parametrize("bytes_passed", [0, 30])
async def test_a_write_whose_answer_is_lost_is_applied_once_and_told(
    kv: Any, direct: AsyncKv, proxy: Proxy, bytes_passed: int
) -> None:
    await kv.count()
    for number, write in enumerate(WRITES, 1):
        proxy.cut_after = bytes_passed
        result = await write(kv)
        assert getattr(result, "ok", True)
        assert getattr(result, "deleted_count", 1) == 1
        assert proxy.connections == 1 + number, "one more for each, since it was cut"
    await _was_done_once(direct)


async def test_without_retries_it_says_so(api: str, direct: AsyncKv, proxy: Proxy) -> None:
    async with AsyncKv(proxy.api, retries=0) as kv:
        await kv.count()
        for write in WRITES:
            proxy.cut_after = 0
            with pytest.raises(OutcomeUnknown, match="may have been applied") as caught:
                await write(kv)
            assert caught.value.request_id
    await _was_done_once(direct)


async def test_a_transaction_whose_answer_is_lost_runs_once(
    kv: Any, direct: AsyncKv, proxy: Proxy
) -> None:
    """It must not read as a conflict, so that the function runs again."""
    runs: list[Any] = []

    async def add(tx: Any) -> None:
        before = (await tx.get(["n"])).value or 0
        runs.append(before)
        tx.set(["n"], before + 1)
        proxy.cut_after = 0

    result = await kv.transaction(add, max_retries=5)
    assert result.ok
    assert runs == [0]
    assert (await direct.get(["n"])).value == 1
    assert (await direct.get(["n"])).versionstamp == result.versionstamp


async def _was_done_once(direct: AsyncKv) -> None:
    assert (await direct.get(["n"])).value == 1
    assert (await direct.get(["list"])).value == [1]
    assert await direct.count(["new"]) == 1
    assert (await direct.get(["once"])).value == 1
    assert not (await direct.get(["set"])).exists
    assert (await direct.queue_stats()).total == 1


async def test_writes_wait_for_a_server_that_refuses_connections(
    kv: Any, direct: AsyncKv, proxy: Proxy
) -> None:
    await kv.count()
    proxy.refuse()
    writing = Started(lambda: kv.atomic().sum(["n"], 1).commit())
    await sleep(0.05)
    proxy.start()
    assert (await writing.result()).ok
    assert (await direct.get(["n"])).value == 1
    proxy.refuse()
    with pytest.raises(ServerUnreachable):
        await kv.set(["n"], 2)


async def test_connections_that_died_while_idle_are_noticed(
    kv: Any, direct: AsyncKv, proxy: Proxy
) -> None:
    for _ in range(5):
        await kv.atomic().sum(["n"], 1).commit()
        proxy.cut()
    assert (await direct.get(["n"])).value == 5


async def test_503_for_a_while(kv: Any, direct: AsyncKv, proxy: Proxy) -> None:
    proxy.unavailable()  # the server says that nothing was written
    writing = Started(lambda: kv.atomic().sum(["n"], 1).commit())
    reading = Started(lambda: kv.get(["x"]))
    await until(lambda: proxy.connections >= 4)
    proxy.canned = None
    assert (await writing.result()).ok
    assert not (await reading.result()).exists
    assert (await direct.get(["n"])).value == 1


async def test_503_of_nobody_knows_whom_is_repeated_with_the_same_key(
    kv: Any, proxy: Proxy
) -> None:
    proxy.unavailable(b"<h1>Busy</h1>")
    with pytest.raises(ServiceUnavailable):
        await kv.set(["n"], 1)
    assert proxy.connections == 6
    with pytest.raises(ServiceUnavailable):
        await kv.dequeue()
    assert proxy.connections == 7
    with pytest.raises(ServiceUnavailable):
        await kv.get(["n"])
    assert proxy.connections == 13


async def test_slow_answers(proxy: Proxy, direct: AsyncKv) -> None:
    await direct.set(["a"], "x" * 300)
    async with AsyncKv(proxy.api, timeout="150ms", retries=FAST) as kv:
        proxy.piece = 1
        assert (await kv.get(["a"])).value == "x" * 300
        proxy.piece = None
        proxy.delay = 0.4
        writing = Started(lambda: kv.atomic().sum(["n"], 1).commit())
        reading = Started(lambda: kv.get(["a"]))
        await until(lambda: proxy.connections >= 4)
        proxy.delay = 0.0
        assert (await writing.result()).ok
        assert (await reading.result()).exists
    assert (await direct.get(["n"])).value == 1


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("emit_initial", [False, True])
async def test_a_watch_goes_on_without_a_gap(
    kv: Any, direct: AsyncKv, proxy: Proxy, exact: bool, emit_initial: bool
) -> None:
    """Cut between events, in the middle of a frame, and with pieces of single bytes."""
    await direct.set(["p", 0], "old")
    keys = [["p", number] for number in range(200)] if exact else ["p"]
    seen: list[Any] = []
    errors: list[Exception] = []

    def hear(entries: list[Any]) -> None:
        seen.extend(entry.value for entry in entries if entry.exists)

    options = {"exact": exact, "emit_initial": emit_initial, "on_error": errors.append}
    watch = kv.watch(keys, hear, **options)
    if emit_initial:
        await until(lambda: seen == ["old"])
    else:
        await until(lambda: proxy.connections >= 1)
        await sleep(0.15)
    seen.clear()
    expected = []
    for number in range(1, 21):
        if number % 10 == 3:
            proxy.cut_after = 40 + number  # within the next event
        elif number % 10 == 6:
            proxy.cut()
        elif number % 10 == 8:
            proxy.piece = 1 if number < 20 else None
        await direct.set(["p", number], number)
        expected.append(number)
        if number % 5 == 0:
            await until(lambda: set(expected) <= set(seen))
    await until(lambda: set(expected) <= set(seen))
    assert seen == expected, "each change once, in order"
    assert errors
    assert proxy.connections < 25
    await watch.stop()


async def test_reconnecting_is_never_a_hot_loop(kv: Any, proxy: Proxy) -> None:
    errors: list[Exception] = []
    async with kv.watch(["p"], lambda entries: None, on_error=errors.append):
        await until(lambda: proxy.connections)
        for spoil in ("refuse", "503", "clean end", "cut"):
            before = proxy.connections
            if spoil == "503":
                proxy.unavailable()
            elif spoil == "clean end":
                end = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                proxy.canned = end + b"content-length: 0\r\n\r\n"
            elif spoil == "cut":
                proxy.canned, proxy.cut_always_after = None, 5
            if spoil == "refuse":
                proxy.refuse()
            else:
                proxy.cut()
            await sleep(0.6)
            assert proxy.connections - before <= 6, spoil
            if spoil == "refuse":
                proxy.start()
    assert errors
    before = proxy.connections
    await sleep(0.3)
    assert proxy.connections == before, "a stopped watch stays stopped"


async def test_a_watch_that_its_own_on_error_stops_does_not_go_on(kv: Any, proxy: Proxy) -> None:
    stopped = Event()
    watches: list[Any] = []

    async def on_error(error: Exception) -> None:
        await watches[0].stop()
        stopped.set()

    watches.append(kv.watch(["p"], on_error=on_error))
    await until(lambda: proxy.connections)
    proxy.unavailable()
    proxy.cut()
    await happened(stopped)
    before = proxy.connections
    await sleep(0.5)  # a few of its pauses
    assert proxy.connections == before


@pytest.mark.parametrize("mode", ["sse", "polling"])
async def test_a_listener_loses_nothing(kv: Any, direct: AsyncKv, proxy: Proxy, mode: str) -> None:
    handled: list[Any] = []
    options = {"mode": mode, "poll_interval": "20ms", "on_error": lambda error: None}

    async def handler(message: Any) -> None:
        handled.append(message.value)

    async with kv.listen_queue(handler, **options):
        for number in range(30):
            if number % 10 == 3:
                proxy.cut_after = 60  # within a frame, an answer, or an acknowledgement
            elif number % 10 == 7:
                proxy.cut()
            await direct.enqueue(number, backoff_schedule=[1] * 10)
            if number % 6 == 0:
                await until(lambda: set(range(number + 1)) <= set(handled))  # noqa: B023

        async def drained() -> bool:
            return (await direct.queue_stats()).total == 0

        await until(drained, 15)
    assert set(handled) == set(range(30))
    assert len(handled) == 30, "acknowledgements are repeated, messages that came again are known"
    assert (await direct.queue_stats()).dlq == 0


async def test_a_message_in_work_is_not_started_again(
    kv: Any, direct: AsyncKv, proxy: Proxy
) -> None:
    finish = Event()
    started: list[int] = []

    async def handler(message: Any) -> None:
        started.append(message.attempts)
        await happened(finish)

    async with kv.listen_queue(handler, on_error=lambda error: None):
        await direct.enqueue("x")
        await until(lambda: started)
        connections = proxy.connections
        proxy.cut()
        await until(lambda: proxy.connections > connections)
        await sleep(0.3)  # it is delivered again
        finish.set()

        async def drained() -> bool:
            return (await direct.queue_stats()).total == 0

        await until(drained)
    assert started == [1]


async def test_everything_goes_on_after_a_restart(tmp_path: Path) -> None:
    with live_server(tmp_path) as first, proxy_to(first.api) as proxy:
        await _over_a_restart(first, proxy, tmp_path)


async def _over_a_restart(first: LiveServer, proxy: Proxy, tmp_path: Path) -> None:
    async with AsyncKv(proxy.api, retries=FAST) as kv:
        seen: list[Any] = []
        handled: list[Any] = []
        await kv.set(["p", 0], 0)
        quiet: dict[str, Any] = {"on_error": lambda error: None}
        kv.watch(["p"], lambda entries: seen.extend(e.value for e in entries), **quiet)
        kv.listen_queue(lambda message: handled.append(message.value), **quiet)
        await kv.enqueue("before")
        await until(lambda: seen == [0] and handled == ["before"])
        first.stop()
        reading = Started(lambda: _patiently(kv))
        with live_server(tmp_path) as second:
            async with AsyncKv(second.api) as direct:
                await direct.set(["p", 1], 1)  # while the watch is away
                await direct.enqueue("meanwhile")
            connections = proxy.connections
            proxy.retarget(second.api)
            assert await reading.result() == 0
            await kv.set(["p", 2], 2)
            await until(lambda: seen == [0, 1, 2] and handled == ["before", "meanwhile"])
            assert proxy.connections - connections < 10


async def _patiently(kv: AsyncKv) -> Any:
    while True:
        try:
            return (await kv.get(["p", 0])).value
        except (ConnectionLost, ServerUnreachable):
            await sleep(0.05)

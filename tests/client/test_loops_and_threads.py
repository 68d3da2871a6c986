"""One client in several loops and threads, and what it does with its connections there."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop
from buntime_keyval import (
    AsyncKv,
    ConnectionLost,
    InvalidInput,
    Kv,
    PoolExhausted,
    ServerUnreachable,
)
from buntime_keyval._sync.concurrency import Task
from buntime_keyval._sync.pool import Pool
from client._sync.beside import until as wait_until
from client.hostile import Client, answer, hostile
from support.children import exit_code
from support.live import LiveServer
from support.waiting import until

pytestmark = pytest.mark.slow


# A loop that ends leaves its connections to the garbage collector, which warns. As an error, the
# warning would keep the socket from being closed, and a second one would come later, in any test.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
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


def test_threads_share_a_client(server: LiveServer) -> None:
    with Kv(server.api) as kv, ThreadPoolExecutor(16) as threads:

        def use(number: int) -> Any:
            kv.set(["n", number], number)
            return kv.get(["n", number]).value

        assert list(threads.map(use, range(200))) == list(range(200))


def test_a_blocking_client_refuses_coroutine_functions(server: LiveServer) -> None:
    async def make() -> int:
        return 1

    with Kv(server.api) as kv, pytest.raises(InvalidInput, match="make is a coroutine function"):
        kv.get_or_set(["made"], make)


def test_threads_make_a_value_once(server: LiveServer) -> None:
    made = []
    with Kv(server.api) as kv, ThreadPoolExecutor(8) as pool:

        def make() -> int:
            made.append(1)
            return len(made)

        for key in range(20):
            made.clear()
            ask = [pool.submit(kv.get_or_set, ["once", key], make) for _ in range(8)]
            assert {future.result().value for future in ask} == {1}

        def itself() -> Any:
            return kv.get_or_set(["itself"], itself).value

        with pytest.raises(InvalidInput, match="would wait for itself"):
            kv.get_or_set(["itself"], itself)


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


def entry(number: int) -> bytes:
    return answer(b'{"key":["n",%d],"value":%d,"versionstamp":"v"}' % (number, number))


class Slow:
    """A server that gives each answer when it is told to, to whoever asked."""

    def __init__(self) -> None:
        self.answers = threading.Semaphore(0)
        self.given = 0

    def serve(self, client: Client) -> None:
        while (request := client.request()) is not None:
            self.answers.acquire()
            self.given += 1
            client.send(entry(int(request.split(b" ")[1].rpartition(b"/")[2])))


async def test_a_cancelled_request_gives_its_answer_to_nobody() -> None:
    slow = Slow()
    with hostile(slow.serve) as server:
        async with AsyncKv(server.url, max_connections=1, retries=0) as kv:
            for number in range(0, 6, 2):
                asking = asyncio.create_task(kv.get(["n", number]))
                await until(lambda: len(server.requests) == number + 1)  # noqa: B023 - at once
                asking.cancel()
                await asyncio.wait([asking])
                slow.answers.release(2)
                assert (await kv.get(["n", number + 1])).value == number + 1
                # Else the next request might get the answer that nobody waits for.
                await until(lambda: slow.given == number + 2)  # noqa: B023 - at once
            assert server.connections == 4
        slow.answers.release(100)


async def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    slow = Slow()
    with hostile(slow.serve) as server:
        async with AsyncKv(server.url, max_connections=1, retries=0) as kv:
            first = asyncio.create_task(kv.get(["n", 0]))
            await until(lambda: server.requests)
            waiting = [asyncio.create_task(kv.get(["n", number])) for number in range(1, 5)]
            await asyncio.sleep(0)
            waiting[0].cancel()  # while it waits
            slow.answers.release(1)
            await first
            waiting[1].cancel()  # when its place was just given
            slow.answers.release(100)
            assert [(await task).value for task in waiting[2:]] == [3, 4]
            await asyncio.wait(waiting)
            assert [task.cancelled() for task in waiting[:2]] == [True, True]
            assert (await kv.get(["n", 7])).value == 7


def test_a_thread_that_is_stopped_while_waiting_takes_no_place() -> None:
    slow = Slow()
    with hostile(slow.serve) as server:
        with Kv(server.url, max_connections=1, retries=0) as kv:

            def ask(number: int) -> None:
                kv.get(["n", number])

            first = Task(ask, 0, name="first")
            wait_until(lambda: server.requests)
            waiting = [Task(ask, 1, name="waiting") for _ in range(3)]
            pool = kv._session._connections.here()
            assert isinstance(pool, Pool)
            wait_until(lambda: len(pool._waiting) == 3)
            for task in waiting[1:]:
                task.cancel()
                task.join(20)
            slow.answers.release(100)
            for task in (first, *waiting):
                task.join(20)
            assert kv.get(["n", 7]).value == 7
            assert (pool._calls, server.connections) == (0, 1)
        assert [it.split(" ")[1] for it in server.requests] == [
            "/keys/n/0",
            "/keys/n/1",
            "/keys/n/7",
        ]


async def test_a_place_is_given_back_however_a_call_ends() -> None:
    def serve(client: Client) -> None:
        client.request()  # and closes

    with hostile(serve) as server:
        async with AsyncKv(server.url, max_connections=2, retries=0) as kv:
            for _ in range(5):
                calls = [kv.get(["n", number]) for number in range(2)]
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(outcome).__name__ for outcome in outcomes] == ["ConnectionLost"] * 2
        url = server.url
    async with AsyncKv(url, max_connections=1, connect_timeout="5s", retries=0) as nobody:
        for _ in range(3):
            with pytest.raises(ServerUnreachable, match="could not connect"):
                await nobody.get(["n", 1])


async def test_a_loop_that_was_blocked_notices_what_was_closed_meanwhile() -> None:
    """The loop had no time to hear of it, and yet nothing is sent there."""
    closing = threading.Event()

    def serve(client: Client) -> None:
        if client.request() is not None:
            client.send(answer(b'{"ok":true,"versionstamp":"v"}'))
            closing.wait(20)

    with hostile(serve) as server:
        async with AsyncKv(server.url, retries=0) as kv:
            assert (await kv.set(["a"], 1)).ok
            closing.set()
            # Without a turn of the loop: the server has closed by then.
            for thread in server.threads:
                thread.join(20)
            assert (await kv.set(["a"], 2)).ok
        assert (server.connections, len(server.requests)) == (2, 2)


def test_uvloop(server: LiveServer) -> None:
    """A loop that is not written in Python, and has transports of its own."""

    async def use() -> None:
        async with AsyncKv(server.api, retries=0) as kv:
            seen: list[Any] = []
            watch = kv.watch(["uv"], lambda entries: seen.extend(it.value for it in entries))
            large = "x" * 5_000_000
            await asyncio.gather(*[kv.set(["uv", number], number) for number in range(20)])
            await kv.set(["large"], large)
            await until(lambda: len(seen) == 20)
            asking = asyncio.create_task(kv.get(["large"]))
            await asyncio.sleep(0)
            asking.cancel()
            assert (await kv.get(["large"])).value == large
            assert (await kv.get(["uv", 7])).value == 7
            await watch.stop()
        async with AsyncKv("http://127.0.0.1:1/api", retries=0) as nobody:
            with pytest.raises(ServerUnreachable):
                await nobody.get(["a"])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use())
        runner.run(slow_answers())


async def slow_answers() -> None:
    def serve(client: Client) -> None:
        while client.request() is not None:
            pass

    with hostile(serve) as silent:
        async with AsyncKv(silent.url, retries=0, timeout="100ms") as kv:
            for _ in range(2):
                with pytest.raises(ConnectionLost, match="in time"):
                    await kv.get(["a"])


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_loops_that_have_ended_are_forgotten(server: LiveServer) -> None:
    kv = AsyncKv(server.api)

    async def use() -> None:
        await kv.has(["a"])

    def run_several() -> None:
        for _ in range(3):
            asyncio.run(use())
            gc.collect()

    await asyncio.to_thread(run_several)
    await use()
    assert len(kv._session._connections._made) == 1
    await kv.aclose()
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_leaves_the_connections_of_its_parent_alone() -> None:
    """It asks on its own, and what it closes stays open here."""

    def serve(client: Client) -> None:
        while client.request() is not None:
            client.send(entry(1))

    with hostile(serve) as server, Kv(server.url, retries=0) as kv:
        assert kv.get(["n", 1]).value == 1
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if kv.get(["n", 1]).value == 1 else 2
                kv.close()
            finally:
                os._exit(status)
        assert exit_code(child) == 0
        assert kv.get(["n", 1]).value == 1
        assert (server.connections, len(server.requests)) == (2, 3)

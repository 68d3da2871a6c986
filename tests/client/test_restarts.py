"""Clients over a restart of the server: all that was under way goes on, or says why it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import AsyncKv, KvError, Retries, SnapshotGone, TransactionConflict
from support.live import LiveServer, live_server
from support.waiting import until

pytestmark = pytest.mark.slow

PATIENT = Retries(times=200, first_delay="20ms", max_delay="100ms")
PAGE = 5


class Following(httpx2.AsyncHTTPTransport):
    """Sends everything to where the server is now, as a name would that stays the same."""

    port = 1

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=self.port)
        return await super().handle_async_request(request)


class Setting:
    """A server that can be ended, in one of two ways, and started again on the same files."""

    def __init__(self, folder: Path, stop: Callable[[LiveServer], object]) -> None:
        self._folder = folder
        self._stop = stop
        self._running: list[AbstractContextManager[LiveServer]] = []
        self._server: LiveServer | None = None
        self._transport = Following()

    def client(self, retries: Retries | int) -> AsyncKv:
        """A client that finds the server wherever it is."""
        url = "http://127.0.0.1:1/keyval/api"
        return AsyncKv(url, retries=retries, transport=self._transport)

    async def start(self) -> None:
        running = live_server(self._folder)
        self._server = await asyncio.to_thread(running.__enter__)
        self._running.append(running)
        self._transport.port = int(self._server.url.rpartition(":")[2])

    async def stop(self) -> None:
        assert self._server is not None
        await asyncio.to_thread(self._stop, self._server)

    async def close(self) -> None:
        for running in self._running:
            await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture(params=["stop", "kill"])
async def setting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setting]:
    made = Setting(tmp_path, LiveServer.kill if request.param == "kill" else LiveServer.stop)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def test_all_that_was_under_way_goes_on(setting: Setting) -> None:
    async with setting.client(PATIENT) as kv:
        builder = kv.atomic()
        for number in range(4 * PAGE):
            builder.set(["list", number], number)
        await builder.commit()
        await kv.create_index(["texts"], fields=["t"])
        await kv.set(["texts", 1], {"t": "one two"})

        watched: list[Any] = []
        polled: list[Any] = []
        handled: list[Any] = []
        quiet: dict[str, Any] = {"on_error": lambda error: None}
        kv.watch(["w"], lambda entries: watched.extend(e.value for e in entries), **quiet)
        polling = {"mode": "polling", "poll_interval": 50, **quiet}
        kv.watch(["w"], lambda entries: polled.extend(e.value for e in entries), **polling)
        kv.listen_queue(lambda message: handled.append(message.value), **quiet)
        await kv.set(["w", 1], 1)
        await kv.enqueue("first")
        await until(lambda: watched == [1] and polled == [1] and handled == ["first"])

        listing = kv.list(["list"], page_size=PAGE)
        listed = [(await anext(listing)).value]
        page = await kv.paginate(["list"], limit=PAGE)
        begun = kv.begin()
        transaction = await begun.__aenter__()
        assert (await transaction.get(["list", 0])).value == 0
        entry = await kv.get(["list", 1])

        await setting.stop()
        calls: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(call)
            for call in (
                kv.get(["list", 2]),
                kv.set(["late"], 1),
                kv.atomic().sum(["n"], 1).commit(),
                kv.count(["list"]),
                kv.enqueue("second"),
                kv.delete(["list", 3], exact=True),
            )
        ]
        await setting.start()
        got, _, _, counted, _, deleted = await asyncio.gather(*calls)
        assert got.value == 2
        assert counted in (4 * PAGE, 4 * PAGE - 1)
        assert deleted.deleted_count == 1
        assert (await kv.get(["n"])).value == 1

        listed += [entry.value async for entry in listing]
        assert listed == [n for n in range(4 * PAGE) if n != 3 or n in listed]
        rest = await kv.paginate(["list"], limit=PAGE, cursor=page.cursor)
        assert [e.value for e in rest.entries] == list(range(PAGE, 2 * PAGE))
        transaction.set(["list", 0], "changed")
        await begun.__aexit__(None, None, None)
        assert (await kv.get(["list", 0])).value == "changed"
        assert (await kv.atomic().check(entry).set(["list", 1], "checked").commit()).ok
        assert [hit.key async for hit in kv.search(["texts"], "two")] == [("texts", 1)]
        await kv.set(["w", 2], 2)
        await until(lambda: watched == [1, 2] and polled == [1, 2])
        await until(lambda: handled == ["first", "second"])


async def test_what_cannot_go_on_says_so(setting: Setting) -> None:
    """Without retries, and for the snapshot of a list, which lived in the process."""
    async with setting.client(0) as kv:
        builder = kv.atomic()
        for number in range(4 * PAGE):
            builder.set(["list", number], number)
        await builder.commit()
        snapshot = kv.list(["list"], page_size=PAGE, snapshot=True)
        assert (await anext(snapshot)).value == 0
        await setting.stop()
        for call in (
            lambda: kv.get(["list", 1]),
            lambda: kv.set(["a"], 1),
            lambda: kv.transaction(lambda tx: tx.get(["list", 1])),
        ):
            with pytest.raises(KvError) as caught:
                await call()
            assert str(caught.value)
        await setting.start()
        await kv.set(["list", 2 * PAGE], "changed")
        with pytest.raises(SnapshotGone, match="begin again"):
            assert "changed" not in [entry.value async for entry in snapshot]


async def test_a_transaction_that_others_overtook_meanwhile_is_a_conflict(
    setting: Setting,
) -> None:
    async with setting.client(PATIENT) as kv:
        await kv.set(["a"], 1)

        async def overtaken() -> None:
            async with kv.begin() as transaction:
                await transaction.get(["a"])
                await setting.stop()
                await setting.start()
                await kv.set(["a"], 2)
                transaction.set(["b"], 1)

        with pytest.raises(TransactionConflict):
            await overtaken()
        assert not (await kv.get(["b"])).exists

"""Clients that come to another of two hosts with each request, where reads are of a replica."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from buntime_host.cli import cli
from buntime_keyval import AsyncKv, InvalidInput, Kv, TransactionConflict
from click.testing import CliRunner
from client.facade import Blocking
from keyval.libsql.support import open_libsql_world
from support.api import Api
from support.sqld import Sqld

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


async def test_a_strong_read_sees_what_others_wrote(kv: Any, hosts: list[Api]) -> None:
    await kv.create_index(["strong"], fields=["word"])
    with Kv(hosts[0].base) as other:
        for number in range(ROUNDS // 2):
            other.set(["strong", number], {"word": f"w{number}"})
            value = {"word": f"w{number}"}
            for read in reads_of(kv, number):
                assert await read == value, number
            assert await kv.count(["strong"], consistency="strong") == number + 1
            other.set(["strong", number + 1], {"word": "gone"})
            assert await kv.has(["strong", number + 1], consistency="strong")
            other.delete(["strong", number + 1])
            assert not await kv.has(["strong", number + 1], consistency="strong")


def reads_of(kv: Any, number: int) -> list[Any]:
    """Every way to read the last entry, each once, strongly."""
    store = kv.store(["strong"], dict)
    strong: dict[str, Any] = {"consistency": "strong"}
    last: dict[str, Any] = {"reverse": True, "limit": 1}

    async def value(read: Any) -> Any:
        found = await read
        return (found[0] if isinstance(found, list) else found).value

    async def first(entries: Any) -> Any:
        return (await anext(aiter(entries))).value

    async def of_page(read: Any) -> Any:
        return (await read).entries[0].value

    key = ["strong", number]
    return [
        value(kv.get(key, **strong)),
        value(kv.get([key], **strong)),
        value(kv.get_with_metadata(key, **strong)),
        value(kv.get_with_metadata([key], **strong)),
        first(kv.list(["strong"], **last, **strong)),
        of_page(kv.paginate(["strong"], **last, **strong)),
        first(kv.search(["strong"], f"w{number}", **strong)),
        of_page(kv.paginate_search(["strong"], f"w{number}", **strong)),
        value(store.get([number], **strong)),
        value(store.get_many([[number]], **strong)),
        value(store.get_with_metadata([number], **strong)),
        first(store.list(**last, **strong)),
        of_page(store.paginate(**last, **strong)),
    ]


async def test_what_a_transaction_reads_is_of_the_primary(kv: Any, hosts: list[Api]) -> None:
    """So nobody but who wrote in between can make it fail."""
    with Kv(hosts[0].base) as other:
        for number in range(ROUNDS):
            other.set(["counter"], number)
            try:
                async with kv.begin() as tx:
                    entry = await tx.get(["counter"])
                    tx.set(["counter"], entry.value + 1)
            except TransactionConflict as error:
                raise AssertionError(f"round {number} read an old value") from error
            assert entry.value == number


async def test_what_is_no_consistency_is_refused_before_anything_is_sent(
    kv: Any, moving: Moving
) -> None:
    for name in ("get", "get_with_metadata", "has", "count", "paginate"):
        with pytest.raises(InvalidInput, match='must be "strong" or "eventual", received'):
            await getattr(kv, name)(["a"], consistency="weak")
    with pytest.raises(InvalidInput, match="consistency"):
        [entry async for entry in kv.list(["a"], consistency=None)]
    assert moving.sent == []


async def test_strong_reads_in_process(late_pair: list[Sqld], hosts: list[Api]) -> None:
    async with open_libsql_world(late_pair) as world:
        with Kv(hosts[0].base) as other:
            await world.kv.create_index(["strong"], fields=["word"])
            for number in range(ROUNDS // 3):
                other.set(["strong", number], {"word": f"w{number}"})
                for read in reads_of(world.kv, number):
                    assert await read == {"word": f"w{number}"}
                assert await world.kv.count(["strong"], consistency="strong") == number + 1
                assert await world.kv.has(["strong", number], consistency="strong")
        with pytest.raises(InvalidInput, match="consistency"):
            await world.kv.get(["a"], consistency="weak")  # type: ignore[call-overload] # as said


def test_strong_reads_on_the_command_line(hosts: list[Api]) -> None:
    def run(host: Api, *arguments: str) -> str:
        result = CliRunner().invoke(cli, ["kv", *arguments, "--url", host.base])
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    one, two = hosts
    strong = ("--consistency", "strong")
    for number in range(ROUNDS // 3):
        run(one, "set", "line/a", str(number))
        assert run(two, "get", "line/a", *strong) == str(number)
        for command in ("list", "export"):
            assert f'"value":{number}' in run(two, command, "line", "--json", *strong)
        run(one, "set", f"line/more/{number}", "0")
        assert run(two, "count", "line/more", *strong) == str(number + 1)

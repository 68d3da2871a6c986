"""`sdk`: the Python client beside a raw socket, httpx2, and redis-py with a Redis of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import msgspec
from buntime_keyval import AsyncKv, Kv
from cases import BARE
from client import BenchmarkError
from contenders import Bare, Buntime
from dataset import ALL_PREFIX, LARGE, SMALL, SMALL_PREFIX
from group import Group, Job, Plan, Selection, Settings, job
from peer_servers import Redis
from results import Cell, Comparison, Measurement, Row, Section

BARE_ASGI = Bare.name
RAW, HTTPX2, REDIS = "raw socket", "httpx2", "redis-py"
KV, ASYNC_KV, COALESCED = "Kv", "AsyncKv", "AsyncKv, coalesced"
CONNECTIONS = 32
"""Of the bare application; a client has as many as its tasks need."""
TASKS = 32

BLOCK = 250
"""Requests of one side before it is the turn of the next one: all see the same machine."""
BLOCK_OF_TASKS = 1600

LEAST_OF_RAW = 0.55
LEAST_OF_REDIS = 1.0
LEAST_COALESCED = 4.0
LEAST_ENTRIES = 50_000
"""A second, on a machine whose bare application does 65,000."""


class Side(NamedTuple):
    """One contender of a case, ready to be asked."""

    contender: str
    ask: Callable[[int], object]
    """A request, by a number below `SMALL`; raises `BenchmarkError` for a wrong answer."""


class AsyncSide(NamedTuple):
    """The same on an event loop."""

    contender: str
    ask: Callable[[int], Awaitable[object]]


class RawSocket:
    """The least that a program does to get an entry: one write, mostly one read, and JSON."""

    def __init__(self, api: str) -> None:
        parts = urlsplit(api)
        self._path = parts.path
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, number: int) -> Any:
        """The decoded entry."""
        path = f"{self._path}{_path(number)}"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode())
        data = self._socket.recv(65536)
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < size:
            body += self._socket.recv(65536)
        return msgspec.json.decode(body)

    def close(self) -> None:
        """End it."""
        self._socket.close()


def in_turns(sides: Sequence[Side], seconds: int) -> dict[str, Measurement]:
    """Rate and processor time of each side, one request after the other."""
    for side in sides:
        for number in range(BLOCK):  # connections, and whatever is made once
            side.ask(number)
    spent = dict.fromkeys([side.contender for side in sides], (0.0, 0.0))
    blocks = 0
    while sum(wall for wall, _ in spent.values()) < seconds:
        blocks += 1
        for contender, ask in sides:
            started, worked = time.perf_counter(), time.thread_time()
            for number in range(BLOCK):
                ask(number)
            wall, cpu = spent[contender]
            wall += time.perf_counter() - started
            spent[contender] = wall, cpu + time.thread_time() - worked
    return _measured(spent, blocks * BLOCK)


async def in_turns_of_tasks(
    sides: Sequence[AsyncSide], seconds: int, tasks: int
) -> dict[str, Measurement]:
    """The same with so many tasks at a time."""
    block = BLOCK if tasks == 1 else BLOCK_OF_TASKS

    async def ask_all(ask: Callable[[int], Awaitable[object]]) -> None:
        numbers = itertools.count()

        async def some() -> None:
            while (number := next(numbers)) < block:
                await ask(number)

        await asyncio.gather(*[some() for _ in range(tasks)])

    for side in sides:
        await ask_all(side.ask)
    spent = dict.fromkeys([side.contender for side in sides], (0.0, 0.0))
    blocks = 0
    while sum(wall for wall, _ in spent.values()) < seconds:
        blocks += 1
        for contender, ask in sides:
            started, worked = time.perf_counter(), time.thread_time()
            await ask_all(ask)
            wall, cpu = spent[contender]
            wall += time.perf_counter() - started
            spent[contender] = wall, cpu + time.thread_time() - worked
    return _measured(spent, blocks * block)


def _measured(spent: Mapping[str, tuple[float, float]], requests: int) -> dict[str, Measurement]:
    return {
        contender: Measurement(requests / wall, cpu=cpu / requests * 1e6)
        for contender, (wall, cpu) in spent.items()
    }


def get(api: str, seconds: int, redis_port: int | None) -> dict[str, Measurement]:  # noqa: ARG001 - as all cases
    """Gets, one after the other."""
    with ExitStack() as stack:
        raw = RawSocket(api)
        stack.callback(raw.close)
        http = stack.enter_context(httpx2.Client(trust_env=False))
        kv = stack.enter_context(Kv(api))
        sides = [
            Side(RAW, lambda number: _expect(raw.get(number)["key"][-1], number)),
            Side(
                HTTPX2,
                lambda number: _expect(http.get(api + _path(number)).json()["key"][-1], number),
            ),
            Side(KV, lambda number: _expect(kv.get([*SMALL_PREFIX, number]).key[-1], number)),
        ]
        return in_turns(sides, seconds)


async def _with_tasks(
    api: str, seconds: int, redis_port: int | None, tasks: int, *, sets: bool = False
) -> dict[str, Measurement]:
    async with AsyncExitStack() as stack:

        def side(contender: str, kv: AsyncKv) -> AsyncSide:
            async def get_one(number: int) -> None:
                _expect((await kv.get([*SMALL_PREFIX, number])).key[-1], number)

            async def set_one(number: int) -> None:
                made = await kv.set(["sdk", number % 500], number)
                _expect(made.ok, wanted=True)

            return AsyncSide(contender, set_one if sets else get_one)

        sides = [side(ASYNC_KV, await stack.enter_async_context(AsyncKv(api)))]
        if tasks == 1:
            http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))

            async def get_http(number: int) -> None:
                _expect((await http.get(api + _path(number))).json()["key"][-1], number)

            sides.append(AsyncSide(HTTPX2, get_http))
        else:
            many = await stack.enter_async_context(AsyncKv(api, coalesce=True))
            sides.append(side(COALESCED, many))
        if tasks > 1 and redis_port is not None:
            redis = importlib.import_module("redis.asyncio").Redis(port=redis_port)
            stack.push_async_callback(redis.aclose)
            value = msgspec.json.encode({"number": 1, "text": "x" * 20})
            await redis.set("value", value)

            async def use_redis(number: int) -> None:
                if sets:
                    _expect(await redis.set(f"sdk:{number % 500}", number), wanted=True)
                else:
                    _expect(await redis.get("value"), value)

            sides.append(AsyncSide(REDIS, use_redis))
        return await in_turns_of_tasks(sides, seconds, tasks)


def list_all(api: str) -> float:
    """Entries a second of an iteration over all of them, with `Kv`."""
    with Kv(api) as kv:
        started = time.perf_counter()
        count = sum(1 for _ in kv.list(ALL_PREFIX))
        spent = time.perf_counter() - started
    _expect(count, SMALL + LARGE)
    return count / spent


async def list_all_async(api: str) -> float:
    """The same with `AsyncKv`."""
    async with AsyncKv(api) as kv:
        started = time.perf_counter()
        count = 0
        async for _ in kv.list(ALL_PREFIX):
            count += 1
        spent = time.perf_counter() - started
    _expect(count, SMALL + LARGE)
    return count / spent


InTurns = Callable[[str, int, int | None], dict[str, Measurement]]

TURNS: Mapping[str, InTurns] = {
    "get": get,
    "get-async": lambda api, seconds, port: asyncio.run(_with_tasks(api, seconds, port, 1)),
    "get-32": lambda api, seconds, port: asyncio.run(_with_tasks(api, seconds, port, TASKS)),
    "set-32": lambda api, seconds, port: asyncio.run(
        _with_tasks(api, seconds, port, TASKS, sets=True)
    ),
}
LISTS: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "list": (KV, list_all),
    "list-async": (ASYNC_KV, lambda api: asyncio.run(list_all_async(api))),
}
CASES = (*TURNS, *LISTS)


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    bare, server = Bare(), Buntime(())
    with ExitStack() as stack:
        for contender, own in ((bare, [BARE.id]), (server, [])):
            home = folder / contender.name.replace(" ", "-")
            home.mkdir()
            stack.enter_context(contender.running(home, own))
        api = server.client.origin + server.base
        redis_port = _redis(stack, folder, settings)

        def bare_rate() -> Measurement:
            return bare.measure(BARE.id, seconds=settings.seconds, connections=CONNECTIONS)

        jobs = [
            _job(case, api, settings.seconds, redis_port) for case in CASES if case in chosen["sdk"]
        ]
        yield Plan([job((BARE.id, BARE_ASGI), bare_rate), *jobs], [SECTION])


def _redis(stack: ExitStack, folder: Path, settings: Settings) -> int | None:
    """The port of a running Redis; None, with a word, where something of it is not installed."""
    programs = shutil.which("redis-server"), shutil.which("redis-benchmark")
    if programs[0] is None or programs[1] is None or not importlib.util.find_spec("redis"):
        settings.say(f"{REDIS} is left out: apt-get install redis-server; pip install redis")
        return None
    home = folder / "redis"
    home.mkdir()
    redis = Redis(programs[0], programs[1])
    stack.enter_context(redis.running(home, []))
    return redis.port


def _job(case: str, api: str, seconds: int, redis_port: int | None) -> Job:
    def measure() -> Mapping[Cell, Measurement]:
        try:
            if case in LISTS:
                contender, list_entries = LISTS[case]
                return {(case, contender): Measurement(list_entries(api))}
            found = TURNS[case](api, seconds, redis_port)
        except httpx2.HTTPError as error:
            raise BenchmarkError(f"{case}: {error!r}") from error
        return {(case, contender): measured for contender, measured in found.items()}

    return Job(measure)


def _path(number: int) -> str:
    return f"/keys/{'/'.join(map(str, SMALL_PREFIX))}/{number}"


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise BenchmarkError(f"a wrong answer: expected {wanted!r}, received {found!r}")


def _rows(case: str, title: str, aims: Mapping[str, Mapping[str, float | None]]) -> list[Row]:
    """A line for each contender, with what it is divided by."""
    return [
        Row(
            (case, contender),
            title,
            comparisons=[Comparison(f"÷ {by}", (case, by), least) for by, least in of.items()],
        )
        for contender, of in aims.items()
    ]


def _list_row(case: str) -> Row:
    bare = Comparison(f"÷ {BARE_ASGI}", (BARE.id, BARE_ASGI), LEAST_ENTRIES / 65_000)
    return Row((case, LISTS[case][0]), "entries of a list of 100,000", comparisons=[bare])


_ONE = "a get, one after the other"
SECTION = Section(
    "sdk",
    "The Python client",
    [
        Row((BARE.id, BARE_ASGI), f"bare ASGI application, {CONNECTIONS} connections"),
        *_rows("get", _ONE, {RAW: {}, HTTPX2: {}, KV: {RAW: LEAST_OF_RAW, HTTPX2: None}}),
        *_rows("get-async", _ONE, {HTTPX2: {}, ASYNC_KV: {HTTPX2: None}}),
        *_rows(
            "get-32",
            f"gets of {TASKS} tasks",
            {REDIS: {}, ASYNC_KV: {REDIS: LEAST_OF_REDIS}, COALESCED: {REDIS: LEAST_COALESCED}},
        ),
        *_rows(
            "set-32",
            f"sets of {TASKS} tasks, those of Redis in memory alone",
            {REDIS: {}, ASYNC_KV: {REDIS: None}, COALESCED: {REDIS: None}},
        ),
        *[_list_row(case) for case in LISTS],
    ],
)
GROUP = Group({"sdk": CASES}, opened)

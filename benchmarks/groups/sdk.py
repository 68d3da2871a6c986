"""`sdk`: the Python client beside httpx2 alone, against a server of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from buntime_keyval import AsyncKv, Kv
from cases import BARE
from client import BenchmarkError
from contenders import Bare, Buntime
from dataset import ALL_PREFIX, LARGE, SMALL, SMALL_PREFIX
from group import Group, Job, Plan, Selection, Settings, job
from results import Cell, Comparison, Measurement, Row, Section

RAW, BARE_ASGI = "httpx2", Bare.name
CONNECTIONS = 32
"""Of the bare application; the clients have one."""

BLOCK = 250
"""Gets of one side before it is the turn of the other one: both see the same machine."""

LEAST_OF_RAW = 0.8
LEAST_ENTRIES = 50_000
"""A second, on a machine whose bare application does 65,000."""


def get(api: str, seconds: int) -> tuple[float, float]:
    """Gets a second, one after the other: with httpx2 alone, and with `Kv`."""
    with httpx2.Client() as raw, Kv(api) as kv:

        def ask_raw(number: int) -> None:
            _expect(raw.get(_url(api, number)).json()["key"][-1], number)

        def ask_ours(number: int) -> None:
            _expect(kv.get([*SMALL_PREFIX, number]).key[-1], number)

        spent = [0.0, 0.0]
        blocks = 0
        while sum(spent) < seconds:
            blocks += 1
            for side, ask in enumerate((ask_raw, ask_ours)):
                started = time.perf_counter()
                for number in range(BLOCK):
                    ask(number)
                spent[side] += time.perf_counter() - started
    return blocks * BLOCK / spent[0], blocks * BLOCK / spent[1]


async def get_async(api: str, seconds: int) -> tuple[float, float]:
    """The same with `AsyncKv`."""
    async with httpx2.AsyncClient() as raw, AsyncKv(api) as kv:

        async def ask_raw(number: int) -> None:
            _expect((await raw.get(_url(api, number))).json()["key"][-1], number)

        async def ask_ours(number: int) -> None:
            _expect((await kv.get([*SMALL_PREFIX, number])).key[-1], number)

        spent = [0.0, 0.0]
        blocks = 0
        while sum(spent) < seconds:
            blocks += 1
            for side, ask in enumerate((ask_raw, ask_ours)):
                started = time.perf_counter()
                for number in range(BLOCK):
                    await ask(number)
                spent[side] += time.perf_counter() - started
    return blocks * BLOCK / spent[0], blocks * BLOCK / spent[1]


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


GETS: Mapping[str, Callable[[str, int], tuple[float, float]]] = {
    "get": get,
    "get-async": lambda api, seconds: asyncio.run(get_async(api, seconds)),
}
LISTS: Mapping[str, Callable[[str], float]] = {
    "list": list_all,
    "list-async": lambda api: asyncio.run(list_all_async(api)),
}
CASES = (*GETS, *LISTS)
CLIENTS = {"get": "Kv", "get-async": "AsyncKv", "list": "Kv", "list-async": "AsyncKv"}


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

        def bare_rate() -> Measurement:
            return bare.measure(BARE.id, seconds=settings.seconds, connections=CONNECTIONS)

        jobs = [_job(case, api, settings.seconds) for case in CASES if case in chosen["sdk"]]
        yield Plan([job((BARE.id, BARE_ASGI), bare_rate), *jobs], [SECTION])


def _job(case: str, api: str, seconds: int) -> Job:
    def measure() -> Mapping[Cell, Measurement]:
        ours = (case, CLIENTS[case])
        try:
            if case in LISTS:
                return {ours: Measurement(LISTS[case](api))}
            raw_rate, our_rate = GETS[case](api, seconds)
        except httpx2.HTTPError as error:
            raise BenchmarkError(f"{case}: {error!r}") from error
        return {(case, RAW): Measurement(raw_rate), ours: Measurement(our_rate)}

    return Job(measure)


def _url(api: str, number: int) -> str:
    return f"{api}/keys/{'/'.join(map(str, SMALL_PREFIX))}/{number}"


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise BenchmarkError(f"a wrong answer: expected {wanted!r}, received {found!r}")


def _get_row(case: str) -> Row:
    raw = Comparison(f"÷ {RAW}", (case, RAW), LEAST_OF_RAW)
    return Row((case, CLIENTS[case]), "a get, one after the other", comparisons=[raw])


def _list_row(case: str) -> Row:
    bare = Comparison(f"÷ {BARE_ASGI}", (BARE.id, BARE_ASGI), LEAST_ENTRIES / 65_000)
    return Row((case, CLIENTS[case]), "entries of a list of 100,000", comparisons=[bare])


SECTION = Section(
    "sdk",
    "The Python client",
    [
        Row((BARE.id, BARE_ASGI), f"bare ASGI application, {CONNECTIONS} connections"),
        *[_get_row(case) for case in GETS],
        *[_list_row(case) for case in LISTS],
    ],
)
GROUP = Group({"sdk": CASES}, opened)

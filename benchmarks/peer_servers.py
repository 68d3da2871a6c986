"""Other stores, each started in a process of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import dataset
import rqlite_cases
from cases import Case
from client import BenchmarkError, Client, Request
from contenders import HERE, LOAD_CHUNK, START_SECONDS, HttpContender
from load import SLACK_SECONDS
from processes import free_port, started
from results import Measurement

REDIS_REQUESTS_A_SECOND = 40_000
"""`redis-benchmark` is told how many requests, not how long: about this many times the seconds."""
POLL_SECONDS = 0.1


class DenoKv(HttpContender):
    """Deno KV behind `Deno.serve`; it answers the same requests."""

    name = "Deno KV"

    def __init__(self, program: str, cases: Sequence[Case]) -> None:
        super().__init__(cases)
        self._program = program

    def command(self, folder: Path) -> list[str]:
        run = [self._program, "run", "--allow-all", "--unstable-kv"]
        return [*run, str(HERE / "deno_kv.js"), str(folder / "kv.db")]

    def load(self, client: Client) -> None:
        for chunk in dataset.chunks(LOAD_CHUNK):
            mutations = [{"type": "set", "key": key, "value": value} for key, value in chunk]
            client.call(Request("POST", "/atomic", json.dumps({"mutations": mutations})))


class Rqlite(HttpContender):
    """One node of rqlite, SQL over HTTP; its requests are the SQL of the others'."""

    name = "rqlite"

    def __init__(self, program: str) -> None:
        super().__init__(rqlite_cases.CASES)
        self._program = program
        self._port = 0

    def command(self, folder: Path) -> list[str]:
        self._port = free_port()
        addresses = [f"-http-addr=127.0.0.1:{self._port}", f"-raft-addr=127.0.0.1:{free_port()}"]
        # It reports each start on its standard error, which nobody asked for.
        quiet = ["sh", "-c", 'exec "$@" 2>/dev/null', "sh"]
        return [*quiet, self._program, *addresses, str(folder / "node")]

    def origin(self, process: subprocess.Popen[str]) -> str:
        origin = f"http://127.0.0.1:{self._port}"
        wait_for_rqlite(origin, process)
        return origin

    def load(self, client: Client) -> None:
        rqlite_cases.load(client, LOAD_CHUNK)


@contextmanager
def rqlite_running(program: str, folder: Path) -> Iterator[str]:
    """One node with an empty database, once it leads; its URL. Raises `BenchmarkError`."""
    url = f"http://127.0.0.1:{free_port()}"
    addresses = [f"-http-addr={url[7:]}", f"-raft-addr=127.0.0.1:{free_port()}"]
    command = [program, "-fk", *addresses, str(folder / "node")]
    with started(["sh", "-c", 'exec "$@" >rqlited.log 2>&1', "sh", *command], folder) as process:
        wait_for_rqlite(url, process)
        yield url


def wait_for_rqlite(origin: str, process: subprocess.Popen[str]) -> None:
    """Wait until a node leads."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        client = Client(origin)
        with closing(client), suppress(BenchmarkError):
            answer = client.call(Request("POST", "/db/execute", json.dumps([["SELECT 1"]])))
            if "error" not in answer:
                return
        time.sleep(POLL_SECONDS)
    raise BenchmarkError("rqlite did not start")


class Redis:
    """Redis that keeps nothing on disk, by its own protocol and its own load generator."""

    name = "Redis"
    TESTS: ClassVar[Mapping[str, str]] = {"get": "get", "put": "set", "sum": "incr"}

    def __init__(self, server: str, benchmark: str) -> None:
        self._server = server
        self._benchmark = benchmark
        self.port = 0

    @contextmanager
    def running(self, folder: Path, cases: Sequence[str]) -> Iterator[None]:  # noqa: ARG002 - its load generator knows them
        """See `Contender`."""
        self.port = free_port()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--logfile", "redis.log"]
        with started([self._server, *options, "--save", "", "--appendonly", "no"], folder):
            self._check()
            self.measure("put", seconds=2, connections=10)  # fills it
            yield

    def measure(self, case: str, *, seconds: int, connections: int) -> Measurement:
        """See `Contender`."""
        load = ["-c", str(connections), "-n", str(REDIS_REQUESTS_A_SECOND * seconds)]
        data = ["-d", "50", "-r", str(dataset.SMALL), "-t", self.TESTS[case], "--csv", "-e"]
        command = [self._benchmark, "-h", "127.0.0.1", "-p", str(self.port), *load, *data]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=SLACK_SECONDS * 2, check=True
            )
        except subprocess.SubprocessError as error:
            raise BenchmarkError(f"redis-benchmark failed: {error}") from error
        if "error" in ended.stdout.lower():
            raise BenchmarkError(f"Redis: {ended.stdout[:200]}")
        names, values = (line.split(",") for line in ended.stdout.strip().splitlines()[-2:])
        found = dict(zip(names, values, strict=True))
        columns = ("rps", "p50_latency_ms", "p99_latency_ms")
        return Measurement(*(float(found[f'"{name}"'].strip('"')) for name in columns))

    def _check(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(b"SET check 17\r\nGET check\r\n")
                    received = b""
                    while len(received) < len(b"+OK\r\n$2\r\n17\r\n"):
                        received += connection.recv(100)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"Redis did not start: {error}") from error
                time.sleep(POLL_SECONDS)
                continue
            if received != b"+OK\r\n$2\r\n17\r\n":
                raise BenchmarkError(f"Redis: wrong answer {received!r}")
            return


def find_program(folder: Path, pattern: str, name: str) -> str | None:
    """A program that npm installed in a folder, not its wrapper; else the one on PATH."""
    for path in sorted(folder.glob(f"node_modules/{pattern}")):
        return str(path)
    return shutil.which(name)

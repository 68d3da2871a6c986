"""Other stores, each started in a process of its own; see `peers.py`."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import dataset
from cases import REQUESTS, Case
from client import BenchmarkError, Client, Request
from contenders import HERE, LOAD_CHUNK, START_SECONDS, Buntime, HttpContender
from load import SLACK_SECONDS, Measurement
from processes import started

REDIS_REQUESTS_A_SECOND = 40_000
"""`redis-benchmark` is told how many requests, not how long: about this many times the seconds."""
POLL_SECONDS = 0.1


class Normal(Buntime):
    """The product when a power cut may cost the last writes."""

    name = "buntime, normal"


class Off(Buntime):
    """The product when a power cut may cost the file."""

    name = "buntime, off"


class DenoKv(HttpContender):
    """Deno KV behind `Deno.serve`; it answers the same requests."""

    name = "Deno KV"

    def __init__(self, program: str, cases: Sequence[Case]) -> None:
        super().__init__(cases)
        self._program = program

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        run = [self._program, "run", "--allow-all", "--unstable-kv"]
        return [*run, str(HERE / "deno_kv.js"), str(folder / "kv.db")]

    def load(self, client: Client) -> None:
        """See `HttpContender`."""
        for chunk in dataset.chunks(LOAD_CHUNK):
            mutations = [{"type": "set", "key": key, "value": value} for key, value in chunk]
            client.call(Request("POST", "/atomic", json.dumps({"mutations": mutations})))


class Rqlite(HttpContender):
    """One node of rqlite: SQL over HTTP, for `get` and `put`."""

    name = "rqlite"
    PUT = "INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

    def __init__(self, program: str) -> None:
        get = Case("get", "get one entry", self._gets, self._check_get)
        put = Case("put", "put one entry", self._puts, self._check_put)
        super().__init__((get, put))
        self._program = program
        self._port = 0

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        self._port = free_port()
        addresses = [f"-http-addr=127.0.0.1:{self._port}", f"-raft-addr=127.0.0.1:{free_port()}"]
        # It reports each start on its standard error, which nobody asked for.
        quiet = ["sh", "-c", 'exec "$@" 2>/dev/null', "sh"]
        return [*quiet, self._program, *addresses, str(folder / "node")]

    def origin(self, process: subprocess.Popen[str]) -> str:
        """See `HttpContender`."""
        origin = f"http://127.0.0.1:{self._port}"
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            client = Client(origin)
            try:
                client.call(Request("POST", "/db/execute", json.dumps([["SELECT 1"]])))
            except BenchmarkError:
                time.sleep(POLL_SECONDS)
            else:
                return origin
            finally:
                client.close()
        raise BenchmarkError("rqlite did not start")

    def load(self, client: Client) -> None:
        """See `HttpContender`."""
        table = "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
        _execute(client, [[table]])
        for chunk in dataset.chunks(LOAD_CHUNK):
            _execute(client, [[self.PUT, _text(key), json.dumps(value)] for key, value in chunk])

    def _gets(self, _: Client) -> Sequence[Request]:
        numbers = Random("get").sample(range(dataset.SMALL), REQUESTS)
        return [self._get([*dataset.SMALL_PREFIX, number]) for number in numbers]

    def _get(self, key: dataset.Key) -> Request:
        sql = quote(f"SELECT key, value FROM kv WHERE key = '{_text(key)}'")
        return Request("GET", f"/db/query?level=none&q={sql}")

    def _check_get(self, _: Client, request: Request, answer: Any) -> None:
        ((key, value),) = answer["results"][0]["values"]
        number = int(key.rpartition("/")[2])
        if quote(f"'{key}'") not in request.path or json.loads(value) != dataset.value_of(number):
            raise BenchmarkError(f"rqlite: {request.path} gives {answer}")

    def _puts(self, _: Client) -> Sequence[Request]:
        numbers = Random("put").sample(range(dataset.SMALL), REQUESTS // 2)
        return [
            Request("POST", "/db/execute", json.dumps([[self.PUT, f"written/{number}", value]]))
            for active in (False, True)
            for number in numbers
            for value in [json.dumps({**dataset.value_of(number), "active": active})]
        ]

    def _check_put(self, client: Client, request: Request, answer: Any) -> None:
        ((_, key, value),) = json.loads(request.body)
        found = client.call(self._get(key.split("/")))["results"][0].get("values")
        if answer["results"][0].get("rows_affected") != 1:
            raise BenchmarkError(f"rqlite: a put is answered with {answer}")
        if found != [[key, value]]:
            raise BenchmarkError(f"rqlite: {found} after {value} was put")


class Redis:
    """Redis that keeps nothing on disk, by its own protocol and its own load generator."""

    name = "Redis"

    def __init__(self, server: str, benchmark: str) -> None:
        self._server = server
        self._benchmark = benchmark
        self._port = 0

    @contextmanager
    def running(self, folder: Path, cases: Sequence[str]) -> Iterator[None]:
        """See `Contender`."""
        self._port = free_port()
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--logfile", "redis.log"]
        with started([self._server, *options, "--save", "", "--appendonly", "no"], folder):
            self._check()
            for case in ("put", *cases):  # the first one fills it
                self.measure(case, seconds=1, connections=10)
            yield

    def measure(self, case: str, *, seconds: int, connections: int) -> Measurement:
        """See `Contender`."""
        test = {"get": "get", "put": "set"}[case]
        load = ["-c", str(connections), "-n", str(REDIS_REQUESTS_A_SECOND * seconds)]
        data = ["-d", "50", "-r", str(dataset.SMALL), "-t", test, "--csv"]
        command = [self._benchmark, "-h", "127.0.0.1", "-p", str(self._port), *load, *data]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=SLACK_SECONDS * 2, check=True
            )
        except subprocess.SubprocessError as error:
            raise BenchmarkError(f"redis-benchmark failed: {error}") from error
        names, values = (line.split(",") for line in ended.stdout.strip().splitlines()[-2:])
        found = dict(zip(names, values, strict=True))
        columns = ("rps", "p50_latency_ms", "p99_latency_ms")
        return Measurement(*(float(found[f'"{name}"'].strip('"')) for name in columns))

    def _check(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
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


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _execute(client: Client, statements: list[list[str]]) -> None:
    answer = client.call(Request("POST", "/db/execute?transaction", json.dumps(statements)))
    if any("error" in result for result in answer["results"]):
        raise BenchmarkError(f"rqlite: loading failed: {str(answer)[:200]}")


def _text(key: dataset.Key) -> str:
    return "/".join(str(part) for part in key)

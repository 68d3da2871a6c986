"""What is compared: each contender starts, holds the data, and measures the cases it knows.

A further one is a class with the members of `Contender` and a line in one of `groups/`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar, Protocol

import dataset
from bulk import make_database
from cases import BARE, Case
from client import BenchmarkError, Client, Request
from load import Expected, Keys, run_wrk
from processes import cpu_seconds, read_line, resident_mib, started
from results import Measurement

HERE = Path(__file__).resolve().parent
START_SECONDS = 30.0
LOAD_CHUNK = 500
CHECKED = 3
"""Requests of each case whose answers are looked at before it is measured."""

_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")


SQLITE: Mapping[str, object] = {"type": "sqlite", "baseDir": "data"}
"""The database of the product, unless told."""


class Contender(Protocol):
    """One of those that are compared."""

    @property
    def name(self) -> str:
        """A word for it."""

    def running(self, folder: Path, cases: Sequence[str]) -> AbstractContextManager[None]:
        """Start, load the data, and check an answer of each of these cases; stop at the end.

        Raises `BenchmarkError`, when an answer is wrong among others.
        """

    def measure(self, case: str, *, seconds: int, connections: int) -> Measurement:
        """Measure one case once. Raises `BenchmarkError`."""


class HttpContender:
    """A `Contender`: a server in a process of its own, on a free port; subclasses say which."""

    name: str
    base: ClassVar[str] = ""
    log_is_read: ClassVar[bool] = True
    """Whether somebody reads what it prints once it listens; if not, its pipe fills up."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = {case.id: case for case in cases}
        self._requests: dict[str, Sequence[Request]] = {}
        self._client: Client | None = None
        self._process: subprocess.Popen[str] | None = None
        self._folder = Path()

    def command(self, folder: Path) -> list[str]:
        """The command that serves from this folder and prints `listening on <origin>`."""
        raise NotImplementedError  # every contender has its own

    def load(self, client: Client) -> None:
        """Bring the data in."""

    def origin(self, process: subprocess.Popen[str]) -> str:
        """Wait until it serves; where. Raises `BenchmarkError`."""
        return _await_listening(process, read_on=self.log_is_read)

    @contextmanager
    def running(self, folder: Path, cases: Sequence[str]) -> Iterator[None]:
        self._folder = folder
        with started(self.command(folder), folder) as process:
            self._process = process
            client = Client(self.origin(process) + self.base)
            self._client = client
            try:
                self.load(client)
                for name in cases:
                    self._prepare(client, self._cases[name])
                yield
            finally:
                self._client = self._process = None
                client.close()

    def measure(self, case: str, *, seconds: int, connections: int) -> Measurement:
        expected, counted = self._cases[case].expected, self._cases[case].counted
        before = counted(self.client) if counted is not None else 0
        answered, measured = self.send(
            self._requests[case], expected, seconds=seconds, connections=connections
        )
        if counted is not None:
            added = counted(self.client) - before
            if not answered <= added <= answered + connections:
                raise BenchmarkError(f"{self.name}, {case}: {added} of {answered} were counted")
        return measured

    def send(
        self,
        requests: Sequence[Request],
        expected: Expected,
        *,
        seconds: int,
        connections: int,
        keys: Keys | None = None,
    ) -> tuple[int, Measurement]:
        """Load, and what it cost the server: how many were answered, how fast; see `run_wrk`."""
        try:
            spent = cpu_seconds(self.pid)
            answered, measured = run_wrk(
                self.client,
                requests,
                self._folder,
                expected,
                seconds=seconds,
                connections=connections,
                keys=keys,
            )
            spent = cpu_seconds(self.pid) - spent
        except OSError as error:
            raise BenchmarkError(f"{self.name} ended: {error}") from error
        return answered, measured._replace(cpu=spent / answered * 1e6)

    @property
    def client(self) -> Client:
        """A client of the server that runs."""
        assert self._client is not None
        return self._client

    def resident_mib(self) -> float:
        """Resident memory of the server."""
        return resident_mib(self.pid)

    @property
    def pid(self) -> int:
        """The process of the server."""
        assert self._process is not None
        return self._process.pid

    def _prepare(self, client: Client, case: Case) -> None:
        requests = case.requests(client)
        for request in requests[:CHECKED]:
            try:
                case.check(client, request, client.call(request))
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise BenchmarkError(f"{self.name}, {case.id}: wrong answer: {error!r}") from error
        self._requests[case.id] = requests


class Bare(HttpContender):
    """The bare ASGI application that all rates are compared with."""

    name = "bare ASGI"

    def __init__(self) -> None:
        super().__init__((BARE,))

    def command(self, folder: Path) -> list[str]:  # noqa: ARG002 - it keeps nothing
        return [sys.executable, str(HERE / "bare_app.py")]


class Ceiling(HttpContender):
    """`ceiling.py`: what a GET and a durable PUT cost at the least, on the same data."""

    name = "ceiling"
    base = "/keyval/api"

    def command(self, folder: Path) -> list[str]:
        path = folder / "ceiling.db"
        make_database(path, dataset.entries())
        return [sys.executable, str(HERE / "ceiling.py"), str(path)]


class Buntime(HttpContender):
    """The product: host, database plugin and KeyVal plugin, with default options unless told."""

    base = "/keyval/api"

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        name: str = "Buntime",
        adapter: Mapping[str, object] = SQLITE,
        keyval: Mapping[str, object] | None = None,
        database: Mapping[str, object] | None = None,
        others: Sequence[object] = (),
        port: int = 0,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__(cases)
        self.name = name
        self._adapter = adapter
        self._keyval = keyval or {}
        self._database = database or {}
        self._others = others
        self._arguments = ("--port", str(port), *arguments)

    def command(self, folder: Path) -> list[str]:
        config = folder / "buntime.jsonc"
        plugins = [
            ["@buntime/plugin-database", {"adapters": [self._adapter], **self._database}],
            ["@buntime/plugin-keyval", self._keyval],
            *self._others,
        ]
        config.write_text(json.dumps({"plugins": plugins}), encoding="utf-8")
        serve = [sys.executable, "-m", "buntime_host", "serve"]
        return [*serve, "--config", str(config), *self._arguments]

    def load(self, client: Client) -> None:
        for chunk in dataset.chunks(LOAD_CHUNK):
            mutations = [{"type": "set", "key": key, "value": value} for key, value in chunk]
            answer = client.call(Request("POST", "/atomic", json.dumps({"mutations": mutations})))
            if not answer.get("ok"):
                raise BenchmarkError(f"loading failed: {answer}")


def _await_listening(process: subprocess.Popen[str], *, read_on: bool) -> str:
    while line := read_line(process, START_SECONDS):
        if match := _LISTENING.search(line):
            if read_on:
                assert process.stdout is not None
                threading.Thread(target=process.stdout.read, daemon=True).start()
            return match[1]
    raise BenchmarkError(f"{process.args!r} did not start")

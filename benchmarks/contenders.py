"""What is compared: each contender starts, holds the data, and measures the cases it knows.

A further one is a class with the members of `Contender` and a line in `run.py`.
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
import embedded
from cases import Case
from client import BenchmarkError, Client, Request
from load import Measurement, run_wrk
from processes import read_line, started

HERE = Path(__file__).resolve().parent
START_SECONDS = 30.0
LOAD_CHUNK = 500
CHECKED = 3
"""Requests of each case whose answers are looked at before it is measured."""

_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")


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
    """A server in a process of its own, on a free port; subclasses say which."""

    name: ClassVar[str]
    base: ClassVar[str] = ""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = {case.id: case for case in cases}
        self._requests: dict[str, Sequence[Request]] = {}
        self._client: Client | None = None
        self._folder = Path()

    def command(self, folder: Path) -> list[str]:
        """The command that serves from this folder and prints `listening on <origin>`."""
        raise NotImplementedError  # every contender has its own

    def load(self, client: Client) -> None:
        """Bring the data in."""

    def origin(self, process: subprocess.Popen[str]) -> str:
        """Wait until it serves; where. Raises `BenchmarkError`."""
        return _await_listening(process)

    @contextmanager
    def running(self, folder: Path, cases: Sequence[str]) -> Iterator[None]:
        """See `Contender`."""
        self._folder = folder
        with started(self.command(folder), folder) as process:
            client = Client(self.origin(process) + self.base)
            self._client = client
            try:
                self.load(client)
                for name in cases:
                    self._prepare(client, self._cases[name])
                yield
            finally:
                self._client = None
                client.close()

    def measure(self, case: str, *, seconds: int, connections: int) -> Measurement:
        """See `Contender`."""
        assert self._client is not None
        return run_wrk(
            self._client,
            self._requests[case],
            self._folder,
            seconds=seconds,
            connections=connections,
        )

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

    name = "bare"

    def command(self, folder: Path) -> list[str]:  # noqa: ARG002 - it keeps nothing
        """See `HttpContender`."""
        return [sys.executable, str(HERE / "bare_app.py")]


class Buntime(HttpContender):
    """The product: host, database plugin and KeyVal plugin, with default options unless told."""

    name = "buntime"
    base = "/keyval/api"

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        database: Mapping[str, object] | None = None,
        keyval: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(cases)
        self._database = database or {}
        self._keyval = keyval or {}

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        config = folder / "buntime.jsonc"
        adapter = {"type": "sqlite", "baseDir": "data", **self._database}
        plugins = [
            ["@buntime/plugin-database", {"adapters": [adapter]}],
            ["@buntime/plugin-keyval", self._keyval],
        ]
        config.write_text(json.dumps({"plugins": plugins}), encoding="utf-8")
        serve = [sys.executable, "-m", "buntime_host", "serve"]
        return [*serve, "--config", str(config), "--port", "0"]

    def load(self, client: Client) -> None:
        """See `HttpContender`."""
        for chunk in dataset.chunks(LOAD_CHUNK):
            mutations = [{"type": "set", "key": key, "value": value} for key, value in chunk]
            answer = client.call(Request("POST", "/atomic", json.dumps({"mutations": mutations})))
            if not answer.get("ok"):
                raise BenchmarkError(f"loading failed: {answer}")


class InProcess:
    """Everything without HTTP, in one process of its own; see `embedded.py`."""

    name = "in-process"

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    @contextmanager
    def running(self, folder: Path, cases: Sequence[str]) -> Iterator[None]:
        """See `Contender`."""
        with started([sys.executable, str(HERE / "embedded.py"), *cases], folder) as process:
            if read_line(process, START_SECONDS) != "ready\n":
                raise BenchmarkError("in-process: did not start, or an answer was wrong")
            self._process = process
            try:
                yield
            finally:
                self._process = None

    def measure(self, case: str, *, seconds: int, connections: int) -> Measurement:  # noqa: ARG002 - the case says how many tasks
        """See `Contender`."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        print(case, seconds, file=process.stdin, flush=True)
        line = read_line(process, seconds + START_SECONDS)
        if not line:
            raise BenchmarkError(f"in-process, {case}: failed")
        return Measurement(*json.loads(line))

    titles = embedded.TITLES


def _await_listening(process: subprocess.Popen[str]) -> str:
    while line := read_line(process, START_SECONDS):
        if match := _LISTENING.search(line):
            # What it prints from now on has to go somewhere, or its pipe fills up.
            assert process.stdout is not None
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return match[1]
    raise BenchmarkError(f"{process.args!r} did not start")

"""The server whose queue and watches are measured."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from client import Client, Request
from contenders import Buntime
from load import run_counted
from streams import request_bytes

WATCHERS = 1_000
ENQUEUERS = 16
WAIT_SECONDS = 20.0
"""Nothing that is waited for takes longer."""

Numbers: TypeAlias = Mapping[str, float]
"""What one round of a case gave, by line of the table."""


class LiveServer(Buntime):
    """The product, with room for the watchers and nothing in it."""

    def __init__(self) -> None:
        super().__init__((), keyval={"watch": {"maxWatchers": 2 * WATCHERS}})
        self._process: subprocess.Popen[str] | None = None

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        # A socket for each watcher, on both sides; the server inherits the limit.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return super().command(folder)

    def origin(self, process: subprocess.Popen[str]) -> str:
        """See `HttpContender`."""
        self._process = process
        return super().origin(process)

    def load(self, client: Client) -> None:
        """Nothing: see `HttpContender`."""

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer to one request, on a connection of its own."""
        client = Client(self.address + self.base)
        try:
            return client.call(Request(method, path, "" if body is None else json.dumps(body)))
        finally:
            client.close()

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """A request for the connections of `streams`."""
        text = "" if body is None else json.dumps(body)
        return request_bytes(self.address, self.base, Request(method, path, text))

    def enqueued(self, seconds: int) -> tuple[int, float]:
        """How many messages `ENQUEUERS` connections enqueue, in all and per second."""
        assert self._client is not None
        requests = [
            Request("POST", "/queue/enqueue", json.dumps({"value": {"number": number}}))
            for number in range(1_000)
        ]
        count, measured = run_counted(
            self._client, requests, self._folder, seconds=seconds, connections=ENQUEUERS
        )
        return count, measured.rate

    @property
    def address(self) -> str:
        """Where it serves."""
        assert self._client is not None
        return self._client.origin

    def cpu_seconds(self) -> float:
        """Time on a processor until now, of all its threads; to the nanosecond where Linux can."""
        folder = Path(f"/proc/{self._pid}/task")
        spent = (int((task / "schedstat").read_text().split()[0]) for task in folder.iterdir())
        return sum(spent) / 1e9

    def resident_kib(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

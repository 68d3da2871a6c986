"""The server whose queue and watches are measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from client import Client, Request
from contenders import Buntime
from load import Expected
from processes import cpu_seconds, want_files
from results import Measurement
from streams import request_bytes

WATCHERS = 1_000
ENQUEUERS = 16
WAIT_SECONDS = 20.0
"""Nothing that is waited for takes longer."""

Numbers: TypeAlias = Mapping[str, Measurement]
"""What one round of a case gave, by line of the table."""


class LiveServer(Buntime):
    """The product, with room for the watchers and nothing in it."""

    def __init__(self, keyval: Mapping[str, object] | None = None) -> None:
        super().__init__((), keyval={"watch": {"maxWatchers": 2 * WATCHERS}, **(keyval or {})})

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        # A socket for each watcher, on both sides; the server inherits the limit.
        want_files()
        return super().command(folder)

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

    def enqueued(self, seconds: int) -> tuple[int, Measurement]:
        """How many messages `ENQUEUERS` connections enqueue in all, and how fast."""
        requests = [
            Request("POST", "/queue/enqueue", json.dumps({"value": {"number": number}}))
            for number in range(1_000)
        ]
        expected = Expected('"ok":true')
        return self.send(requests, expected, seconds=seconds, connections=ENQUEUERS)

    @property
    def address(self) -> str:
        """Where it serves."""
        return self.client.origin

    def cpu_seconds(self) -> float:
        """Processor time until now."""
        return cpu_seconds(self.pid)

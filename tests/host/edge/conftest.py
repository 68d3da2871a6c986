"""Servers with small limits, and with short deadlines, and raw sockets to them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
from host.conftest import HEADER, Process, base_environ, wait_for
from prometheus_client.parser import text_string_to_metric_families
from support.waiting import PATIENCE

CODE = """
    import asyncio
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    async def body(request):
        return PlainTextResponse(str(len(await request.body())))

    async def headers(request):
        return PlainTextResponse(", ".join(request.headers))

    begun = []

    async def large(request):
        begun.append(request)
        return PlainTextResponse("a" * int(request.query_params["bytes"]))

    async def count_begun(request):
        return PlainTextResponse(str(len(begun)))

    async def stream(request):
        async def parts():
            for _ in range(int(request.query_params["parts"])):
                yield "a" * 50_000
        kept = {"connection": "keep-alive"}
        return StreamingResponse(parts(), media_type="text/plain", headers=kept)

    async def early(request):
        return PlainTextResponse("early")

    async def slow(request):
        await asyncio.sleep(0.3)
        return PlainTextResponse("slow")

    left = []

    async def waits(request):
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        left.append(request)
        return PlainTextResponse("too late")

    async def count_left(request):
        return PlainTextResponse(str(len(left)), headers={"connection": "close"})

    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    async def pour(websocket):
        await websocket.accept()
        while True:
            await websocket.send_text("a" * 100_000)

    @hookimpl
    def routes():
        both = ["GET", "PUT"]
        return [
            Route("/body", body, methods=both),
            Route("/headers", headers, methods=both),
            Route("/early", early, methods=both),
            Route("/large", large, methods=both),
            Route("/begun", count_begun),
            Route("/stream", stream),
            Route("/slow", slow),
            Route("/waits", waits),
            Route("/left", count_left),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/pour", pour),
        ]
"""
LIMITS = {
    "maxHeaderBytes": "8kb",
    "maxHeaders": 50,
    "maxUrlBytes": "4kb",
    "maxUploadBytes": "4mb",
    "maxUploadBytesPerClient": "4mb",
    "maxUnsentBytes": "32mb",
}
DEADLINES = ("headerTimeout", "bodyTimeout", "keepAliveTimeout", "sendTimeout")
PATIENT: dict[str, Any] = {
    **dict.fromkeys(DEADLINES, "1m"),
    "bodySize": {"default": "4mb", "max": "4mb"},
    "plugins": ["edge"],
    "limits": LIMITS,
}
HASTY = PATIENT | dict.fromkeys(DEADLINES, "500ms")


class Answer(NamedTuple):
    """A response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error, whose whole form is checked on the way."""
        content = json.loads(self.body)
        assert self.headers["content-type"] == "application/json"
        assert content["success"] is False
        assert content["error"] == content["message"]
        return str(content["code"])


class Line:
    """One connection, and what comes over it."""

    def __init__(self, port: int, *, small: bool = False) -> None:
        self.socket = socket.socket()
        if small:  # so that little is taken from the server unread
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send, also what the server no longer wants."""
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def answer(self, *, bodiless: bool = False) -> Answer:
        """The next response."""
        head = self.until(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in filter(None, lines):
            name, value = line.lower().split(": ", 1)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if bodiless or status.split()[1] in ("101", "204", "304"):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self.exactly(int(headers["content-length"]))
        else:
            body = self.rest()
        return Answer(int(status.split()[1]), headers, body)

    def rest(self) -> bytes:
        """What comes until the connection ends."""
        while self._more():
            pass
        found, self._received = self._received, b""
        return found

    def _chunks(self) -> bytes:
        parts = b""
        while size := int(self.until(b"\r\n"), 16):
            parts += self.exactly(size)
            self.until(b"\r\n")
        self.until(b"\r\n")
        return parts

    def until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            assert self._more(), f"the connection ended after {self._received!r}"
        found, _, self._received = self._received.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            assert self._more(), f"the connection ended {size - len(self._received)} bytes early"
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self._received += data
        return bool(data)


class Edge:
    """A server, and what a stranger does to it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.port = process.port
        self.opened: list[Line] = []

    def line(self, data: bytes = b"", *, small: bool = False) -> Line:
        """A new connection on which something is sent."""
        line = Line(self.port, small=small)
        self.opened.append(line)
        line.send(data)
        return line

    def answer(self, data: bytes) -> Answer:
        """The answer to something on a connection of its own, which has to end with it."""
        line = self.line(data)
        with line.socket:
            found = line.answer()
            assert line.rest() == b""
        return found

    def metrics(self) -> dict[str, float]:
        """What the host measures, refusals by their reason."""
        with closing(urlopen(f"http://127.0.0.1:{self.port}/metrics")) as answer:
            text = answer.read().decode()
        return {
            sample.labels.get("reason", sample.name): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def wait(self, condition: Any, what: str) -> Any:
        """Wait for something."""
        return wait_for(condition, what)

    def still_well(self) -> None:
        """It answers, and nothing went wrong inside."""
        assert self.answer(request("GET", "/health", "connection: close")).status == 200
        assert "Traceback" not in self.process.err + self.process.out
        assert '"stack"' not in self.process.err + self.process.out


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: a", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def start(folder: Path, config: dict[str, Any], code: str = CODE) -> Process:
    """Start a server with the plugin above, or another one."""
    plugin = folder / "plugins" / "edge"
    plugin.mkdir(parents=True)
    (plugin / "manifest.yaml").write_text("name: edge\nbase: /edge\n")
    (plugin / "plugin.py").write_text(HEADER + dedent(code))
    (folder / "buntime.jsonc").write_text(json.dumps(config))
    return Process(folder, "serve", "--port", "0", environ=base_environ())


def end(process: Process) -> None:
    """End a server, and see that it ends by itself."""
    process.signal()
    assert process.wait() == 0


@contextmanager
def used(process: Process) -> Iterator[Edge]:
    """A server, which has to be well afterwards."""
    edge = Edge(process)
    yield edge
    for line in edge.opened:
        line.socket.close()
    edge.still_well()


@pytest.fixture(scope="module")
def _patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = start(tmp_path_factory.mktemp("edge"), PATIENT)
    yield process
    end(process)


@pytest.fixture(scope="module")
def _hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = start(tmp_path_factory.mktemp("hasty"), HASTY)
    yield process
    end(process)


@pytest.fixture
def edge(_patient: Process) -> Iterator[Edge]:
    """A server with small limits."""
    with used(_patient) as edge:
        yield edge


@pytest.fixture
def hasty(_hasty: Process) -> Iterator[Edge]:
    """A server with short deadlines."""
    with used(_hasty) as edge:
        yield edge

"""Websockets as raw ASGI: refused, failing, closed by the host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host.host import Host
from starlette.types import Message
from support.waiting import PATIENCE

if TYPE_CHECKING:
    from host.conftest import AddPlugin, MakeHost

CODE = """
import asyncio
from starlette.routing import WebSocketRoute
from buntime_host import Forbidden
class Plugin:
    def __init__(self, options):
        self.ended = []
    @hookimpl
    def provides(self):
        return self.ended
    @hookimpl
    def routes(self):
        return [WebSocketRoute("/echo", self.echo), WebSocketRoute("/early", self.early),
                WebSocketRoute("/late", self.late), WebSocketRoute("/denied", self.denied),
                WebSocketRoute("/deaf", self.deaf), WebSocketRoute("/closed", self.closed),
                WebSocketRoute("/silent", self.silent)]
    async def echo(self, websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)
        self.ended.append("echo")
    async def deaf(self, websocket):
        await websocket.accept()
        try:
            while True:
                await asyncio.sleep(0.01)
                await websocket.send_text("tick")
        finally:
            self.ended.append("deaf")
    async def early(self, websocket):
        raise RuntimeError("early")
    async def late(self, websocket):
        await websocket.accept()
        raise RuntimeError("late")
    async def denied(self, websocket):
        raise Forbidden
    async def closed(self, websocket):
        await websocket.close()
    async def silent(self, websocket):
        pass
"""


class Client:
    """One websocket connection; `done` finishes with the application."""

    def __init__(self, host: Host, path: str, *, extensions: bool = True) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"x")],
            "server": ("x", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}} if extensions else {},
        }
        self.done = asyncio.ensure_future(host(self.scope, self.incoming.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    @property
    def types(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for message in self.sent]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)


@pytest.fixture
def plugin(add_plugin: AddPlugin) -> None:
    add_plugin("p", CODE, base="/p")


async def test_echo_and_going_away(plugin: None, make_host: MakeHost) -> None:
    async with make_host() as host:
        client, deaf = Client(host, "/p/echo"), Client(host, "/p/deaf")
        client.incoming.put_nowait({"type": "websocket.receive", "text": "hello"})
        await client.until(lambda: client.types == ["accept", "send"])
        await deaf.until(lambda: "send" in deaf.types)
        assert client.scope["root_path"] == "/p"
        assert client.scope["state"]["request_id"]
        assert host._lifecycle is not None
        ended = host._lifecycle.services.get("p")
        await host.close_websockets()
        await asyncio.gather(client.done, deaf.done)
    assert client.sent[-1]["code"] == deaf.sent[-1]["code"] == 1001
    assert deaf.types.count("close") == 1
    assert deaf.types[-1] == "close"
    assert sorted(ended) == ["deaf", "echo"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/p/early", 500, "INTERNAL_SERVER_ERROR"),
        ("/p/denied", 403, "FORBIDDEN"),
        ("/p/closed", 403, "FORBIDDEN"),
        ("/p/none", 404, "NOT_FOUND"),
        ("/none", 404, "NOT_FOUND"),
        ("/health", 404, "NOT_FOUND"),
    ],
)
async def test_refusals_are_json(
    plugin: None,
    make_host: MakeHost,
    path: str,
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with make_host() as host:
        client = Client(host, path)
        await client.done
        start, body = client.sent
        assert (start["status"], json.loads(body["body"])["code"]) == (status, code)
        bare = Client(host, path, extensions=False)
        await bare.done
        assert bare.types == ["close"]
    assert ("Unhandled" in caplog.text) is (status == 500)


async def test_an_exception_after_accepting_closes_with_1011(
    plugin: None, make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_host() as host:
        client = Client(host, "/p/late")
        await client.done
    assert client.types == ["accept", "close"]
    assert client.sent[1]["code"] == 1011
    assert "Unhandled exception at /p/late" in caplog.messages


async def test_a_plugin_that_neither_accepts_nor_refuses(
    plugin: None, make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_host() as host:
        client = Client(host, "/p/silent")
        await client.done
    assert (client.sent[0]["status"], client.types[0]) == (500, "http.response.start")
    assert "Neither accepted nor refused: the websocket at /p/silent" in caplog.messages


async def test_before_the_start_nothing_is_accepted(make_host: MakeHost) -> None:
    client = Client(make_host(), "/p/echo")
    await client.done
    assert client.sent[0]["status"] == 503


async def test_on_request_may_refuse_a_handshake(
    plugin: None, add_plugin: AddPlugin, make_host: MakeHost
) -> None:
    code = """
    from starlette.responses import JSONResponse
    @hookimpl
    def on_request(request, app):
        assert app.plugin == "p"
        if request.headers.get("x-key") != "k":
            return JSONResponse({"no": True}, 401)
    """
    add_plugin("guard", code)
    async with make_host() as host:
        client = Client(host, "/p/echo")
        await client.done
        assert client.sent[0]["status"] == 401
        bare = Client(host, "/p/echo", extensions=False)
        await bare.done
        assert bare.types == ["close"]
        allowed = Client(host, "/p/echo")
        allowed.scope["headers"].append((b"x-key", b"k"))
        await allowed.until(lambda: allowed.types == ["accept"])
        allowed.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await allowed.done

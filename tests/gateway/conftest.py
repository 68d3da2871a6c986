"""Requests without a server, and servers with a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_host import DirectRequest
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.waiting import PATIENCE

GATEWAY = "@buntime/plugin-gateway"
API = "/gateway/api"
STREAM = """
from buntime_host import hookimpl
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


async def events(request):
    async def frames():
        yield "data: one\\n\\n"

    return StreamingResponse(frames(), media_type="text/event-stream")


async def own(request):
    return JSONResponse({}, headers={"access-control-allow-origin": "https://else.example"})


async def fails(request):
    raise ValueError("broken")


@hookimpl
def routes():
    return [
        WebSocketRoute("/echo", echo),
        Route("/events", events),
        Route("/own", own),
        Route("/fails", fails),
    ]
"""
Serve = Callable[..., AbstractContextManager[LiveServer]]


def request_of(
    path: str = "/keyval/api/keys/a",
    *headers: tuple[str, str],
    method: str = "GET",
    peer: str | None = "203.0.113.9",
    query: str = "",
) -> DirectRequest:
    """A request as a passage sees it."""
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    request = DirectRequest(method, path.encode(), query.encode(), pairs)
    request.whole_path = path.encode()
    request.client = None if peer is None else (peer, 1234)
    return request


def add_streams(folder: Path) -> str:
    """Write a plugin with a stream, a websocket and errors; its name."""
    plugin = folder / "plugins" / "streams"
    plugin.mkdir(parents=True, exist_ok=True)
    (plugin / "manifest.yaml").write_text("name: streams\nbase: /streams\n")
    (plugin / "plugin.py").write_text(STREAM)
    return "streams"


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Starts a server with a gateway of these options, in front of a store if it is `stored`."""

    @contextmanager
    def start(
        *,
        stored: bool = False,
        folder: Path | None = None,
        workers: int = 1,
        environ: dict[str, str] | None = None,
        others: Sequence[Any] = (),
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> Iterator[LiveServer]:
        where = folder or tmp_path_factory.mktemp("gateway")
        streams = add_streams(where)
        plugins = [*(DEFAULT_PLUGINS if stored else []), [GATEWAY, options], streams, *others]
        config = {"plugins": plugins, **(settings or {})}
        with live_server(where, config, environ, workers=workers) as running:
            yield running

    return start


@contextmanager
def client_for(server: LiveServer, **headers: str) -> Iterator[httpx2.Client]:
    """A client that sends everything to one server."""
    with httpx2.Client(
        base_url=server.url, trust_env=False, timeout=PATIENCE, headers=headers
    ) as client:
        yield client

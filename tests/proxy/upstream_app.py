"""What requests are passed on to in tests: it tells what it got, and answers in many ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from support.database import wait_until

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
MIB = 1024 * 1024
PAGE = (
    "<!doctype html><html><HEAD data-x='>'><title>'/a'</title></HEAD>"
    "<script>let a = '/x'; let b = \"<a href='/y'>\"</script>"
    "<!-- <a href='/c'> --><a href='/a'>ä</a><img src=\"//cdn/x\"><img SRC = /y.png></html>"
)


class Seen:
    """What became of requests here."""

    def __init__(self) -> None:
        self.open_streams = 0
        self.requests = 0


SEEN = Seen()


async def tell(request: Request) -> Response:
    """What arrived."""
    SEEN.requests += 1
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [[k.decode(), v.decode("latin-1")] for k, v in request.headers.raw],
            "body": (await request.body()).decode("latin-1"),
        }
    )


async def events(_: Request) -> Response:
    async def tick() -> AsyncIterator[str]:
        SEEN.open_streams += 1
        try:
            for number in range(100_000):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.05)
        finally:
            SEEN.open_streams -= 1

    return StreamingResponse(tick(), media_type="text/event-stream")


async def big(request: Request) -> Response:
    """So many MiB as the path says."""

    async def parts() -> AsyncIterator[bytes]:
        part = b"x" * MIB
        for _ in range(int(request.path_params["mib"])):
            yield part

    return StreamingResponse(parts(), media_type="application/octet-stream")


async def sink(request: Request) -> Response:
    """How much arrived."""
    size = 0
    async for part in request.stream():
        size += len(part)
    return PlainTextResponse(str(size))


async def slow(_: Request) -> Response:
    await asyncio.sleep(30)
    return PlainTextResponse("late")


async def cookies(_: Request) -> Response:
    response = PlainTextResponse("two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    response.headers["connection"] = "x-private"
    response.headers["x-private"] = "of this connection"
    response.headers["keep-alive"] = "timeout=5"
    return response


async def packed(_: Request) -> Response:
    """Bytes that are no gzip, though they say so: whoever unpacks them fails."""
    return Response(b"not unpacked", headers={"content-encoding": "gzip"})


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE, headers={"etag": '"1"', "accept-ranges": "bytes"})


async def moved(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], status_code=302)


async def unchanged(_: Request) -> Response:
    return Response(status_code=304, headers={"etag": '"1"'})


async def talk(socket: WebSocket) -> None:
    """Greets before it is asked, then says back what comes, with what the handshake had."""
    await socket.accept(subprotocol=next(iter(socket.scope["subprotocols"]), None))
    told: dict[str, Any] = {"query": socket.url.query, "headers": dict(socket.headers)}
    await socket.send_json(told)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "close":
            await socket.close(4321, "as you say")
            return
        if message.get("text") == "large":
            await socket.send_text("x" * (2 * MIB))
        elif message.get("bytes") is not None:
            await socket.send_bytes(message["bytes"])
        else:
            await socket.send_text(message["text"])


async def refuse(socket: WebSocket) -> None:
    await socket.close()


def make_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/events", events),
            Route("/big/{mib:int}", big),
            Route("/sink", sink, methods=["POST", "PUT"]),
            Route("/slow", slow),
            Route("/cookies", cookies),
            Route("/packed", packed),
            Route("/page", page),
            Route("/moved", moved),
            Route("/unchanged", unchanged),
            WebSocketRoute("/talk", talk),
            WebSocketRoute("/refuse", refuse),
            Route("/{path:path}", tell, methods=METHODS),
        ]
    )


@contextmanager
def running_app(**options: Any) -> Iterator[int]:
    """The port on which the application is served, in a thread."""
    config = uvicorn.Config(
        make_app(),
        host="127.0.0.1",
        port=0,
        log_level="critical",
        ws="websockets-sansio",
        lifespan="off",
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)

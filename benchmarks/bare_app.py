"""The least that an ASGI application can do, on uvicorn with the product's settings.

Run as a program it serves on the loopback interface, on a free port or that of its argument, and
prints its address.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.types import Receive, Scope, Send

BODY = b'{"key":["bench","small",17],"value":{"name":"user 17","group":17,"active":false}}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(BODY)),
    ],
}
END = {"type": "http.response.body", "body": BODY}


async def app(_: Scope, __: Receive, send: Send) -> None:
    """Answer everything with the same small JSON."""
    await send(START)
    await send(END)


def main() -> None:
    """Serve until a signal."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    listener = socket.create_server(("127.0.0.1", port))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

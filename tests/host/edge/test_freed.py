"""A connection that has ended is freed at once, not when garbage is collected the next time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from host.edge.conftest import PATIENT, Edge, end, request, start, used

pytestmark = pytest.mark.slow

CONNECTIONS = 20
CODE = """
    import gc
    import weakref
    from buntime_host.connections.protocol import HostProtocol
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    alive = weakref.WeakSet()
    connection_made = HostProtocol.connection_made

    def counted(self, transport):
        alive.add(self)
        connection_made(self, transport)

    HostProtocol.connection_made = counted

    async def answer(request):
        return JSONResponse(len(await request.body()))

    async def count(request):
        gc.disable()
        return JSONResponse(len(alive))

    @hookimpl
    def routes():
        return [
            Route("/answer", answer, methods=["GET", "PUT"]),
            Route("/count", count),
        ]
"""
GET = request("GET", "/edge/answer")
ANSWERED = {
    "once": GET,
    "again": GET * 3,
    "with a body": request("PUT", "/edge/answer", body=b"a"),
    "by the host": request("GET", "/health"),
    "refused": b"this is no request\r\n\r\n",
}
"""What clients send that leave after they had an answer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    process = start(tmp_path_factory.mktemp("freed"), PATIENT, CODE)
    with used(process) as edge:
        yield edge
    end(process)


def alive(server: Edge) -> int:
    """Connections in the memory of the server, which collects no garbage from the first time on.

    That of the question is one of them.
    """
    return int(server.answer(request("GET", "/edge/count", "connection: close")).body)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\n", *ANSWERED.values()], ids=["nothing", "a part", *ANSWERED]
)
def test_connections_that_ended_are_freed(server: Edge, sent: bytes) -> None:
    server.wait(lambda: alive(server) == 1, "the connections of other tests are gone")
    lines = [server.line(sent) for _ in range(CONNECTIONS)]
    if sent in ANSWERED.values():
        for line in lines:
            line.until(b"\r\n\r\n")
    else:
        server.wait(lambda: alive(server) == CONNECTIONS + 1, "they have begun")
    for line in lines:
        line.socket.close()
    server.wait(lambda: alive(server) == 1, "they are freed")

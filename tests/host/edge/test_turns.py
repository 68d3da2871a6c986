"""How much is read and taken in in one turn of the event loop, counted in the server."""

from __future__ import annotations

import json
import selectors
from collections.abc import Iterator

import pytest
from buntime_host.connections.protocol import PIECE_BYTES
from buntime_host.connections.turns import AT_ONCE
from host.edge.conftest import PATIENT, Edge, Line, end, request, start, used

pytestmark = pytest.mark.slow

CONNECTIONS = 24
BODY = 3_000_000
CODE = """
    import asyncio
    from buntime_host.connections.protocol import HostProtocol
    from buntime_host.connections.reading import FIRST_READ_BYTES
    from buntime_host.connections.websocket_protocol import HostWebSocket
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    counted = {"reads": 0, "most": 0, "turn": 0}
    begun = {"most": 0, "turn": 0}
    gate = asyncio.Event()

    def turned():
        counted["turn"] = 0

    def others_turn():
        begun["turn"] = 0

    message_begins = HostProtocol.on_message_begin

    def on_message_begin(self):
        if not begun["turn"]:
            asyncio.get_running_loop().call_soon(others_turn)
        begun["turn"] += 1
        begun["most"] = max(begun["most"], begun["turn"])
        message_begins(self)

    HostProtocol.on_message_begin = on_message_begin

    def count(data):
        if len(data) <= FIRST_READ_BYTES:
            return
        if not counted["turn"]:
            asyncio.get_running_loop().call_soon(turned)
        counted["turn"] += 1
        counted["reads"] += 1
        counted["most"] = max(counted["most"], counted["turn"])

    def counting(kind):
        received = kind.data_received
        def data_received(self, data):
            count(data)
            received(self, data)
        kind.data_received = data_received

    counting(HostProtocol)
    counting(HostWebSocket)

    async def drop(request):
        size = 0
        async for part in request.stream():
            size += len(part)
        return JSONResponse(size)

    async def reads(request):
        found = dict(counted)
        counted["reads"] = counted["most"] = 0
        return JSONResponse(found)

    async def refuse(request):
        return JSONResponse("refused")

    async def wait(request):
        await gate.wait()
        return JSONResponse("waited")

    async def go(request):
        begun["most"] = 0
        gate.set()
        return JSONResponse("gone")

    async def most_begun(request):
        return JSONResponse(begun["most"])

    async def sizes(websocket):
        await websocket.accept()
        async for data in websocket.iter_bytes():
            await websocket.send_text(str(len(data)))

    @hookimpl
    def routes():
        return [
            Route("/drop", drop, methods=["PUT"]),
            Route("/refuse", refuse, methods=["PUT"]),
            Route("/reads", reads),
            Route("/wait", wait),
            Route("/go", go),
            Route("/most", most_begun),
            WebSocketRoute("/sizes", sizes),
        ]
"""
HANDSHAKE = request(
    "GET",
    "/edge/sizes",
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    config = PATIENT | {"limits": {"maxUploadBytes": "128mb"}}
    process = start(tmp_path_factory.mktemp("turns"), config, CODE)
    with used(process) as edge:
        yield edge
    end(process)


def send_all(lines: list[Line], data: bytes) -> None:
    """Send the same over all connections at once, as fast as each of them takes it."""
    with selectors.DefaultSelector() as selector:
        for line in lines:
            line.socket.setblocking(False)
            selector.register(line.socket, selectors.EVENT_WRITE, [line, memoryview(data)])
        while selector.get_map():
            for key, _ in selector.select():
                line, left = key.data
                try:
                    left = left[line.socket.send(left) :]
                except BlockingIOError:
                    continue
                except ConnectionError:  # it was refused, and takes no more
                    left = left[:0]
                key.data[1] = left
                if not left:
                    selector.unregister(line.socket)
                    line.socket.settimeout(15)


def most_reads(edge: Edge) -> int:
    """Large reads in one turn; there have to have been many."""
    found = json.loads(edge.answer(request("GET", "/edge/reads", "connection: close")).body)
    assert found["reads"] > CONNECTIONS
    return int(found["most"])


def test_of_many_bodies(counted: Edge) -> None:
    lines = [counted.line() for _ in range(CONNECTIONS)]
    send_all(lines, request("PUT", "/edge/drop", body=b"a" * BODY))
    assert [line.answer().body for line in lines] == [b"%d" % BODY] * CONNECTIONS
    assert most_reads(counted) <= AT_ONCE
    # Nothing is left behind: the connections go on.
    for line in lines:
        line.send(request("PUT", "/edge/drop", body=b"a" * 70_000))
    assert [line.answer().body for line in lines] == [b"70000"] * CONNECTIONS


def test_of_bodies_that_come_all_together_again_and_again(counted: Edge) -> None:
    lines = [counted.line() for _ in range(CONNECTIONS)]
    send_all(lines, request("PUT", "/edge/drop", f"content-length: {BODY}"))
    for _ in range(10):  # each of them is waited for when the next part comes
        send_all(lines, b"a" * (BODY // 10))
    assert [line.answer().body for line in lines] == [b"%d" % BODY] * CONNECTIONS
    assert most_reads(counted) <= AT_ONCE


def test_of_bodies_that_nobody_wants(counted: Edge) -> None:
    lines = [counted.line() for _ in range(CONNECTIONS)]
    send_all(lines, request("PUT", "/edge/refuse", body=b"a" * BODY))
    assert {line.answer().body for line in lines} == {b'"refused"'}
    assert most_reads(counted) <= AT_ONCE


def test_of_requests_that_do_not_wait_for_answers(counted: Edge) -> None:
    """All connections are answered in step, so each of them has room for more at once."""
    repeated = request("PUT", "/edge/refuse")
    many = 5 * PIECE_BYTES // len(repeated)
    lines = [counted.line() for _ in range(8 * AT_ONCE)]
    send_all(lines, request("GET", "/edge/wait") + repeated * many)
    assert counted.answer(request("GET", "/edge/go", "connection: close")).status == 200
    for line in lines:
        assert line.answer().body == b'"waited"'
        assert {line.answer().body for _ in range(many)} == {b'"refused"'}
    most = int(counted.answer(request("GET", "/edge/most", "connection: close")).body)
    assert most > 1
    assert most <= 4 * AT_ONCE * (PIECE_BYTES // len(repeated) + 1)


def test_of_many_messages_of_websockets(counted: Edge) -> None:
    lines = [counted.line(HANDSHAKE) for _ in range(CONNECTIONS)]
    for line in lines:
        assert b" 101 " in line.until(b"\r\n\r\n")
    size = 900_000
    frame = b"\x82\xff" + size.to_bytes(8, "big") + bytes(4) + bytes(size)  # masked with nothing
    send_all(lines, frame * 2)
    for line in lines:
        assert line.exactly(16) == b"\x81\x06900000" * 2
    assert most_reads(counted) <= AT_ONCE


def test_much_behind_a_handshake(counted: Edge) -> None:
    line = counted.line()
    size = 60_000
    frame = b"\x82\xfe" + size.to_bytes(2, "big") + bytes(4) + bytes(size)
    line.send(HANDSHAKE + frame)
    assert b" 101 " in line.until(b"\r\n\r\n")
    assert line.exactly(7) == b"\x81\x0560000"
    line.send(frame)
    assert line.exactly(7) == b"\x81\x0560000"


def test_much_behind_an_upgrade_to_something_unknown(counted: Edge) -> None:
    line = counted.line()
    unknown = request("GET", "/edge/none", "connection: upgrade", "upgrade: h2c")
    line.send((unknown + request("PUT", "/edge/drop", body=b"a" * 10)) * 100)
    for _ in range(100):
        assert line.answer().status == 404
        assert line.answer().body == b"10"

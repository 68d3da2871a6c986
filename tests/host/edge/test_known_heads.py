"""A head that is known is not parsed again, and nobody can tell by the answers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from buntime_host import Answer, AsgiRequest, DirectRequest, send_answer
from buntime_host.connections.edge import Edge
from buntime_host.connections.known_head import LESSONS, MOST_BYTES
from buntime_host.connections.protocol import HostProtocol
from buntime_host.http.direct import RepeatedHeaders
from buntime_host.limits import EdgeLimits
from buntime_host.routing.dispatch import RequestDispatcher
from buntime_host.routing.mounts import mount_at
from host.edge.conftest import request
from starlette.types import Receive, Scope, Send
from support.waiting import PATIENCE
from uvicorn.server import ServerState

HELLO = request("GET", "/direct/hello")
POSTED = request("POST", "/direct/posted", body=b"body")


def posted(length: str, body: bytes) -> bytes:
    """The same with another length and body."""
    return POSTED.replace(b"content-length: 4", length.encode()).removesuffix(b"body") + body


OTHERS = [
    HELLO,
    POSTED,
    request("PUT", "/direct/posted", body=b"body"),
    request("PATCH", "/direct/posted?x=1", body=b"a longer body"),
    request("DELETE", "/direct/posted", body=b"x"),
    request("GET", "/direct/posted", body=b"body"),
    request("HEAD", "/direct/posted", body=b"body"),
    request("QUERY", "/direct/posted", body=b"body"),
    request("PUT", "/direct/a b", body=b"body"),
    request("PUT", "/direct/a#b", body=b"body"),
    request("PUT", "/direct/" + "a" * 1600, body=b"body"),
    request("PUT", "/elsewhere", body=b"body"),
    request("PUT", "/direct/a", body=b"\r\n\r\n"),
    request("PUT", "/direct/a", body=HELLO),
    request("PUT", "/direct/a", body=POSTED),
    request("PUT", "/direct/a", body=b"a" * 1001),
    request("PUT", "/direct/a", "content-encoding: gzip", body=b"body"),
    request("PUT", "/direct/a", "host: b", body=b"body"),
    posted("content-length: 0", b""),
    posted("content-length: 04", b"body"),
    posted("content-length: +4", b"body"),
    posted("content-length: 4 ", b"body"),
    posted("content-length:  4", b"body"),
    posted("content-length:4", b"body"),
    posted("content-length: 4, 4", b"body"),
    posted("content-length: 4\r\ncontent-length: 4", b"body"),
    posted("content-length: 4\r\ncontent-length: 5", b"body"),
    posted("transfer-encoding: chunked", b"4\r\nbody\r\n0\r\n\r\n"),
    posted("content-length: 4\r\ntransfer-encoding: chunked", b"4\r\nbody\r\n0\r\n\r\n"),
    posted("x: y", b""),
    posted("content-length: 3", b"body"),
    POSTED + HELLO,
    HELLO + POSTED,
    POSTED + POSTED,
    request("GET", "/direct/other?x=%20&y=/"),
    request("GET", "/direct/" + "a" * 900),
    request("GET", "/direct/" + "a" * 1600),
    request("GET", "/direct"),
    request("GET", "/elsewhere"),
    request("GET", "/"),
    request("GET", ""),
    request("GET", "*"),
    request("GET", "direct/hello"),
    request("GET", "/direct/hello#fragment"),
    request("GET", "/direct/a b"),
    request("GET", "/direct/\x01"),
    request("GET", "/direct/\x7f"),
    request("GET", "/direct/é"),
    request("GET", '/direct/"\\^`{|}<>[]'),
    request("GET", "/direct/%2F%zz"),
    request("GET", "http://a/direct/hello"),
    request("GET", "http://b/direct/hello"),
    request("GET", "/direct/hello HTTP/1.1\r\nx: y\r\n\r\nGET /direct/hello"),
    request("GET", "/direct/hello", "host: b"),
    request("GET", "/direct/hello", "origin: https://foreign.example"),
    request("GET", "/direct/hello", "x-request-id: mine"),
    request("GET", "/direct/hello", "connection: close"),
    request("HEAD", "/direct/hello"),
    request("POST", "/direct/hello", body=b"body"),
    request("get", "/direct/hello"),
    request("GETS", "/direct/hello"),
    b"\r\n" + HELLO,
    HELLO + HELLO,
    HELLO.replace(b"HTTP/1.1", b"HTTP/1.0"),
    HELLO.replace(b"host: a\r\n", b""),
    HELLO.replace(b"\r\n", b"\n"),
]


class App:
    """Says what it was asked, directly or by ASGI."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = AsgiRequest(scope, receive)
        asked.body = await asked.whole_body()
        await send_answer(send, self.answer(asked))

    def is_direct(self, method: str, path: bytes) -> bool:
        return True

    def answer(self, asked: DirectRequest) -> Answer:
        if asked.path == b"/raises":
            raise ValueError("at once")
        names = [name for name, _ in asked.headers if name != b"x-request-id"]
        return Answer(200, repr((asked.method, asked.path, asked.query, names, asked.body)))


class Connection:
    """The server's end of a connection, which gets exactly the pieces that a test wants."""

    def __init__(self, protocol: HostProtocol, far_end: socket.socket) -> None:
        self.protocol = protocol
        self._far_end = far_end

    async def answers(self, *pieces: bytes) -> bytes:
        """What comes back, without what differs each time."""
        for piece in pieces:
            self.protocol.data_received(piece)
        received = b""
        bodiless = pieces[0].startswith(b"HEAD")
        while not _is_whole(received, bodiless=bodiless):
            more = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(self._far_end, 1 << 20), PATIENCE
            )
            received += more
            if not more:
                break
        return re.sub(rb"x-request-id: [0-9a-f-]{36}", b"x-request-id: some", received)


def _is_whole(received: bytes, *, bodiless: bool) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and length is not None and (bodiless or len(body) >= int(length[1]))


@pytest.fixture
async def connect() -> AsyncIterator[Any]:
    dispatcher = RequestDispatcher({"/direct": mount_at("/direct", App(), 1000)}, limit=1000)
    config = uvicorn.Config(dispatcher, http="httptools", lifespan="off", log_config=None)
    config.load()
    config.loaded_app = dispatcher
    edge = Edge(EdgeLimits(url_bytes=1500))
    far_ends = []

    async def connected() -> Connection:
        near_end, far_end = socket.socketpair()
        far_end.setblocking(False)
        far_ends.append(far_end)
        state = ServerState()
        _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: HostProtocol(edge, config=config, server_state=state, app_state={}), near_end
        )
        assert isinstance(protocol, HostProtocol)
        return Connection(protocol, far_end)

    yield connected
    for far_end in far_ends:
        far_end.close()
    await asyncio.sleep(0)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the parser gets."""
    pieces: list[bytes] = []
    feed = HostProtocol._feed

    def _feed(self: HostProtocol, data: bytes) -> None:
        pieces.append(data)
        feed(self, data)

    monkeypatch.setattr(HostProtocol, "_feed", _feed)
    return pieces


@pytest.mark.parametrize("data", OTHERS, ids=lambda data: repr(data)[2:40])
async def test_answers_are_those_of_a_parser(connect: Any, data: bytes) -> None:
    fresh, known = await connect(), await connect()
    for _ in range(3):
        await known.answers(HELLO)
        await known.answers(POSTED)
    expected = await fresh.answers(data)
    assert await known.answers(data) == expected
    assert expected


async def test_only_the_first_one_is_parsed(connect: Any, parsed: list[bytes]) -> None:
    connection = await connect()
    for number in range(5):
        assert b"/%d'" % number in await connection.answers(request("GET", f"/direct/{number}"))
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        body = method.encode() * len(method)
        said = await connection.answers(request(method, "/direct/between", body=body))
        assert body in said
        said = await connection.answers(request(method, "/direct/bare"))
        assert method.encode() in said
    assert b"/9'" in await connection.answers(request("GET", "/direct/9"))
    assert len(parsed) == 2


@pytest.mark.parametrize("cut", [1, 40, len(POSTED) - 4, len(POSTED) - 1])
async def test_a_body_that_is_not_there_yet_is_waited_for(
    connect: Any, parsed: list[bytes], cut: int
) -> None:
    connection = await connect()
    await connection.answers(POSTED)
    assert b"b'body'" in await connection.answers(POSTED[:cut], POSTED[cut:])
    assert parsed == [POSTED, POSTED[:cut], POSTED[cut:]]
    assert b"b'bodies'" in await connection.answers(posted("content-length: 6", b"bodies"))
    assert len(parsed) == 3


async def test_another_length_is_in_the_headers(connect: Any) -> None:
    connection = await connect()
    asked: list[DirectRequest] = []
    (mount,) = connection.protocol._direct.values()
    answer = mount.app.answer

    def seen(request: DirectRequest) -> Any:
        asked.append(request)
        return answer(request)

    mount.app.answer = seen
    sizes = [4, 4, 9, 10, 0, 4]
    for size in sizes:
        await connection.answers(posted(f"content-length: {size}", b"x" * size))
    assert [int(dict(it.headers)[b"content-length"]) for it in asked] == sizes
    assert [len(it.body) for it in asked] == sizes
    repeated = [isinstance(it.headers, RepeatedHeaders) for it in asked]
    assert repeated == [False, True, False, False, False, True]
    assert asked[1].headers is asked[-1].headers


async def test_a_request_within_another_one_is_not_learned(connect: Any) -> None:
    """Else the next one would do without a host."""
    connection = await connect()
    hostless = b"GET /direct/hello HTTP/1.1\r\n\r\n"
    await connection.answers(b"GET /direct/hello HTTP/1.1\r\nhost: a\r\nx: ", hostless)
    assert b"The header Host is missing" in await connection.answers(hostless)


async def test_two_in_one_piece_are_not_learned(connect: Any, parsed: list[bytes]) -> None:
    connection = await connect()
    await connection.answers(HELLO + HELLO)
    await connection.answers(HELLO)
    assert len(parsed) == 2


async def test_each_connection_knows_its_own(connect: Any, parsed: list[bytes]) -> None:
    for _ in range(2):
        await (await connect()).answers(HELLO)
    assert parsed == [HELLO, HELLO]


async def test_who_says_something_else_each_time_is_not_listened_to(connect: Any) -> None:
    connection = await connect()
    for number in range(2 * LESSONS):
        await connection.answers(request("GET", "/direct/a", f"x: {number}"))
    assert not connection.protocol._known.wants(has_body=False)
    assert connection.protocol._known.wants(has_body=True)
    for number in range(2 * LESSONS):
        await connection.answers(request("PUT", "/direct/a", f"x: {number}", body=b"body"))
    assert not connection.protocol._known.wants(has_body=True)


async def test_a_long_head_is_parsed_each_time(connect: Any, parsed: list[bytes]) -> None:
    connection = await connect()
    long = request("GET", "/direct/a", "x: " + "y" * MOST_BYTES)
    for _ in range(2):
        await connection.answers(long)
    assert parsed == [long, long]


async def test_what_was_found_of_headers_is_there_as_long_as_they_come_again(connect: Any) -> None:
    asked: list[DirectRequest] = []
    first, second = await connect(), await connect()
    (mount,) = first.protocol._direct.values()
    answer = mount.app.answer

    def seen(request: DirectRequest) -> Any:
        asked.append(request)
        return answer(request)

    mount.app.answer = seen
    for path in ("/direct/a", "/direct/b", "/direct/c"):
        await first.answers(request("GET", path))
    await second.answers(HELLO)
    await second.answers(HELLO)
    other = request("GET", "/direct/a", "x-own: 1")
    await first.answers(other)
    await first.answers(other)
    headers = [it.headers for it in asked]
    repeated = [isinstance(it, RepeatedHeaders) for it in headers]
    assert repeated == [False, True, True, False, True, False, True]
    assert headers[1] is headers[2]
    assert headers[1] == headers[0] == headers[4]
    assert headers[1] is not headers[4]
    assert headers[6] == headers[5] != headers[1]


async def test_headers_are_looked_at_each_time(connect: Any) -> None:
    """What they permit may change."""
    connection = await connect()
    said = request("GET", "/direct/a", "x-request-id: mine")
    seen = []
    admit = connection.protocol._dispatcher.admit

    def noted(*given: Any) -> Any:
        seen.append(given)
        return admit(*given)

    connection.protocol._dispatcher.admit = noted
    for _ in range(3):
        assert b"x-request-id: mine" in await connection.answers(said)
    assert len(seen) == 3


async def test_a_failure_is_answered(connect: Any) -> None:
    connection = await connect()
    for _ in range(2):
        await connection.answers(HELLO)
        assert b" 500 " in await connection.answers(request("GET", "/direct/raises"))
    assert b" 200 " in await connection.answers(HELLO)

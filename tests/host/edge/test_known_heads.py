"""A head that is known is not parsed again, and nobody can tell by the answers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import uvicorn
from buntime_host import Answer, AsgiRequest, DirectRequest, send_answer
from buntime_host.connections.edge import Edge
from buntime_host.connections.guarded import BODY, HEAD, IDLE
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
        headers = [pair for pair in asked.headers if pair[0] != b"x-request-id"]
        keys = asked.noticed.idempotency_keys
        said = (asked.method, asked.path, asked.query, headers, keys, asked.body)
        return Answer(200, repr(said))


class Connection:
    """The server's end of a connection, which gets exactly the pieces that a test wants."""

    def __init__(self, protocol: HostProtocol, far_end: socket.socket) -> None:
        self.protocol = protocol
        self._far_end = far_end

    @property
    def goes_on(self) -> bool:
        """Whether another request can follow."""
        return self.protocol._stage == IDLE

    async def answers(self, *pieces: bytes) -> bytes:
        """What comes back, without what differs each time; nothing where more has to follow."""
        for piece in pieces:
            self.protocol.data_received(piece)
        if self.protocol._stage in (HEAD, BODY):
            return b""
        received = b""
        bodiless = pieces[0].startswith(b"HEAD")
        while not _is_whole(received, bodiless=bodiless):
            more = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(self._far_end, 1 << 20), PATIENCE
            )
            received = (received + more).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not more:
                break
        return re.sub(rb"x-request-id: [0-9a-f-]{36}", b"x-request-id: some", received)


def _is_whole(received: bytes, *, bodiless: bool) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return bool(end) and length is not None and (bodiless or len(body) >= int(length[1]))


@pytest.fixture
def limits() -> EdgeLimits:
    return EdgeLimits(url_bytes=1500)


@pytest.fixture
async def connect(limits: EdgeLimits) -> AsyncIterator[Any]:
    dispatcher = RequestDispatcher({"/direct": mount_at("/direct", App(), 1000)}, limit=1000)
    config = uvicorn.Config(dispatcher, http="httptools", lifespan="off", log_config=None)
    config.load()
    config.loaded_app = dispatcher
    edge = Edge(limits)
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
    asked = asked_of(connection)
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
        await connection.answers(request("GET", "/direct/a", f"x-{number}: x"))
    assert not connection.protocol._known.wants(has_body=False)
    assert connection.protocol._known.wants(has_body=True)
    for number in range(2 * LESSONS):
        await connection.answers(request("PUT", "/direct/a", f"x-{number}: x", body=b"body"))
    assert not connection.protocol._known.wants(has_body=True)


def keyed(key: str, *more: str, length: int = 4) -> bytes:
    """A request with headers that each one has another value of."""
    return request("PUT", "/direct/a", f"Idempotency-Key: {key}", *more, body=b"x" * length)


async def test_ids_are_others_each_time(connect: Any, parsed: list[bytes]) -> None:
    connection = await connect()
    seen = noted_by(connection)
    for number in range(5):
        length = number + 8
        said = keyed(f"key-{'x' * number}", f"x-request-id: id-{number}", length=length)
        answer = await connection.answers(said)
        assert b"x-request-id: id-%d\r\n" % number in answer
        assert repr(b"x" * length).encode() in answer
    assert len(parsed) == 1
    for number in range(5):
        assert seen[number] == [
            (b"idempotency-key", b"key-" + b"x" * number),
            (b"x-request-id", b"id-%d" % number),
        ]
    assert b"x-request-id: some" in await connection.answers(keyed("k", "x-request-id: no id"))
    assert len(parsed) == 1


async def test_what_was_another_value_may_be_another_again(
    connect: Any, parsed: list[bytes]
) -> None:
    connection = await connect()
    asked = asked_of(connection)

    def said(method: str, number: int) -> bytes:
        lines = (f"Traceparent: 00-{number}", "x: y", f"date: Sun, 0{number} Nov", "b: c")
        return request(method, "/direct/a", *lines, body=b"body" if method == "PUT" else b"")

    for method in ("GET", "PUT"):
        parsed.clear()
        asked.clear()
        for number in (1, 2, 3, 40, 3, 2):
            await connection.answers(said(method, number))
        assert parsed == [said(method, 1), said(method, 2)]
        traces = [dict(it.headers)[b"traceparent"] for it in asked]
        assert traces == [b"00-1", b"00-2", b"00-3", b"00-40", b"00-3", b"00-2"]
        dates = [dict(it.headers)[b"date"] for it in asked]
        assert dates[3] == b"Sun, 040 Nov"
        repeated = [isinstance(it.headers, RepeatedHeaders) for it in asked]
        assert repeated == [False, False, False, False, False, True]


@pytest.mark.parametrize(
    "line",
    ["authorization: Bearer {}", "x-api-key: {}", "cookie: a={}", "if-match: {}", "host: {}"],
)
async def test_what_decides_is_the_same_or_parsed(
    connect: Any, parsed: list[bytes], line: str
) -> None:
    connection = await connect()
    said = [f"GET /direct/a HTTP/1.1\r\n{line.format(number)}\r\n" for number in range(LESSONS)]
    if not line.startswith("host"):
        said = [f"{head}host: a\r\n" for head in said]
    for head in said:
        await connection.answers(f"{head}\r\n".encode())
    assert len(parsed) == LESSONS


@pytest.mark.parametrize("limits", [EdgeLimits(header_bytes=100)])
async def test_no_value_grows_where_few_bytes_are_allowed(
    connect: Any, parsed: list[bytes]
) -> None:
    connection = await connect()
    for _ in range(2):
        assert b" 200 " in await connection.answers(keyed("k" * 30))
    assert len(parsed) == 1
    assert b" 431 " in await connection.answers(keyed("k" * 100))


BYTES = [bytes([number]) for number in range(256)]
VALUES = [
    b"",
    b" ",
    b"a",
    b" a",
    b"a ",
    b"a\t",
    b"\ta",
    b"a b",
    b"a\tb",
    b"a\r\n b",
    b"a\r\n\tb",
    b"a\r\nx: y",
    b"a\r\nhost: b",
    b"a\r\ncontent-length: 5",
    b"a\r\n\r\nb",
    b"a\rb",
    b"a\nb",
    b"a, b",
    b"close",
    b"chunked",
    b"100-continue",
    b"4",
    b"0",
    b"a" * 300,
    b"a" * 1500,
    b"a" * 3000,
    b"\xc3\xa9",
    *(b"a%bb" % byte for byte in BYTES),
    *BYTES,
]
NAMES = [
    b"idempotency-key",
    b"x-request-id",
    b"X-Own",
    b"Date",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"upgrade",
    b"host",
    b"origin",
    b"sec-fetch-site",
    b"if-match",
    b"content-encoding",
    b"x-forwarded-prefix",
]


@pytest.mark.parametrize("name", NAMES, ids=bytes.decode)
async def test_each_value_is_what_a_parser_makes_of_it(connect: Any, name: bytes) -> None:
    """Also those that no client has sent before, in a head that has gaps."""
    random = Random(name)
    for value in [*VALUES[:-512], *random.sample(VALUES[-512:], 40)]:
        known = await connect()
        for number in (b"1", b"2"):
            if known.goes_on:
                await known.answers(_with(name, number, length=4))
        for length in (4, 17):
            fresh = await connect()
            data = _with(name, value, length=length)
            if known.goes_on:
                assert await known.answers(data) == await fresh.answers(data), data


async def test_heads_with_gaps_are_read_as_parsed(connect: Any, parsed: list[bytes]) -> None:
    """What random clients say, each of which is asked to say nearly the same again and again."""
    skipped = 0
    for seed in range(60):
        random = Random(seed)
        names = random.sample([*NAMES[:4], b"x-a", b"x-b", b"x-c"], random.randrange(1, 6))
        others = {name for name in names if random.random() < 0.6}
        known = await connect()
        for _ in range(8):
            lines = [
                b"%b: %b" % (name, _value(random) if name in others else b"same") for name in names
            ]
            method = random.choice(["GET", "PUT", "POST"])
            body = b"" if method == "GET" else b"b" * random.choice([1, 4, 30])
            said = [line.decode("latin-1") for line in lines]
            data = request(method, "/direct/a", *said, body=body)
            fresh = await connect()
            expected = await fresh.answers(data)
            before = len(parsed)
            assert await known.answers(data) == expected, data
            skipped += len(parsed) == before
            if not known.goes_on:
                break
    assert skipped > 60


def _with(name: bytes, value: bytes, *, length: int) -> bytes:
    lines = [b"PUT /direct/a HTTP/1.1", b"host: a"]
    if name != b"content-length":
        lines.append(b"content-length: %d" % length)
    lines += [b"%b: %b" % (name, value), b"x: y", b"", b""]
    return b"\r\n".join(lines) + b"b" * length


def _value(random: Random) -> bytes:
    if random.random() < 0.1:
        return random.choice(VALUES)
    return b"%x" % random.randrange(1 << random.choice([8, 32, 128]))


def asked_of(connection: Connection) -> list[DirectRequest]:
    """What the application of a connection gets."""
    asked: list[DirectRequest] = []
    (mount,) = connection.protocol._direct.mounts.values()
    app: Any = mount.app
    answer = app.answer

    def seen(request: DirectRequest) -> Any:
        asked.append(request)
        return answer(request)

    app.answer = seen
    return asked


def noted_by(connection: Connection) -> list[Any]:
    """The headers that the dispatcher looks at."""
    seen = []
    direct: Any = connection.protocol._direct
    admit = direct.admit

    def noted(headers: Any, *given: Any) -> Any:
        seen.append(headers)
        return admit(headers, *given)

    direct.admit = noted
    return seen


async def test_a_long_head_is_parsed_each_time(connect: Any, parsed: list[bytes]) -> None:
    connection = await connect()
    long = request("GET", "/direct/a", "x: " + "y" * MOST_BYTES)
    for _ in range(2):
        await connection.answers(long)
    assert parsed == [long, long]


async def test_what_was_found_of_headers_is_there_as_long_as_they_come_again(connect: Any) -> None:
    first, second = await connect(), await connect()
    asked = asked_of(first)
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
    seen = noted_by(connection)
    for _ in range(3):
        assert b"x-request-id: mine" in await connection.answers(said)
    assert len(seen) == 3


async def test_a_failure_is_answered(connect: Any) -> None:
    connection = await connect()
    for _ in range(2):
        await connection.answers(HELLO)
        assert b" 500 " in await connection.answers(request("GET", "/direct/raises"))
    assert b" 200 " in await connection.answers(HELLO)

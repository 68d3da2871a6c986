"""Requests without ASGI are answered as those with it, whatever a client does.

One application serves both ways: a second plugin that looks at all requests has them come by ASGI.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from host.conftest import HEADER, Process, base_environ
from host.edge.conftest import Answer, Edge, Line, end, request, used

APP = """
    import asyncio
    from urllib.parse import parse_qs
    from buntime_host import (
        Answer, AsgiRequest, BadRequest, NotDirect, Promised, send_answer, settled,
    )

    SEEN = []

    def text(value, status=200, **more):
        return Answer(status, value, "text/plain", **more)

    async def later(request):
        await asyncio.sleep(0.2)
        return text("later")

    async def failing():
        await asyncio.sleep(0)
        raise ValueError("raised later")

    async def turning(request):
        await asyncio.sleep(0)
        if not isinstance(request, AsgiRequest):
            raise NotDirect
        return text(b"turned " + request.body)

    async def waiting(request):
        await request.gone()
        SEEN.append("gone")
        return text("")

    class App:
        async def __call__(self, scope, receive, send):
            request = AsgiRequest(scope, receive)
            while True:
                message = await receive()
                request.body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            await send_answer(send, await settled(self.answer(request)))

        def is_direct(self, method, path):
            return path != "/streamed"

        def answer(self, request):
            given = parse_qs(request.query.decode())
            match request.path.decode():
                case "/way":
                    return text("asgi" if isinstance(request, AsgiRequest) else "direct")
                case "/echo":
                    return text(request.body)
                case "/noticed":
                    noticed = request.noticed
                    keys = [key.decode() for key in noticed.idempotency_keys]
                    return text(f"{keys} {noticed.precondition} {noticed.foreign}")
                case "/client":
                    return text(str(request.client[0]))
                case "/given":
                    names = ", ".join(name.decode() for name, _ in request.headers)
                    return text(names.replace(", x-request-id", ""))
                case "/large":
                    return text("a" * int(given["bytes"][0]))
                case "/later":
                    return later(request)
                case "/promised":
                    future = asyncio.get_running_loop().create_future()
                    asyncio.get_running_loop().call_later(0.2, future.set_result, "kept")
                    return Promised(future, lambda done: text(done.result()))
                case "/own":
                    return text("own", headers=((b"x-own", b"1"), (b"cache-control", b"no-store")))
                case "/nothing":
                    return text("", 204)
                case "/wrong":
                    return text("", headers=((b"x-own", b"1\\r\\nx-other: 2"),))
                case "/refused":
                    raise BadRequest("not so", headers={"Retry-After": "1"})
                case "/raises":
                    raise ValueError("raised at once")
                case "/raises-later":
                    return failing()
                case "/turns":
                    return turning(request)
                case "/waits":
                    request.unwanted = lambda: SEEN.append("unwanted")
                    return waiting(request)
                case "/seen":
                    return text(",".join(SEEN))
            return text("nothing here", 404)

    @hookimpl
    def routes():
        return App()
"""
LOOKER = """
    @hookimpl
    def on_request(request, app):
        return None
"""
CONFIG = {
    "bodySize": {"default": "1mb", "max": "1mb"},
    "trustedOrigins": ["https://trusted.example"],
    "drainTimeout": "20s",
    "shutdownTimeout": "50s",
    "sendTimeout": "1m",
}


def start(folder: Path, way: str) -> Process:
    """Start a server whose plugin gets its requests that way."""
    names = {"direct": APP} if way == "direct" else {"direct": APP, "looker": LOOKER}
    for name, code in names.items():
        plugin = folder / "plugins" / name
        plugin.mkdir(parents=True)
        base = "base: /direct\n" if name == "direct" else ""
        (plugin / "manifest.yaml").write_text(f"name: {name}\n{base}")
        (plugin / "plugin.py").write_text(HEADER + dedent(code))
    (folder / "buntime.jsonc").write_text(json.dumps({**CONFIG, "plugins": list(names)}))
    return Process(folder, "serve", "--port", "0", environ=base_environ())


@pytest.fixture(scope="module", params=["direct", "asgi"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Process]]:
    process = start(tmp_path_factory.mktemp(request.param), request.param)
    yield request.param, process
    end(process)


@pytest.fixture
def way(served: tuple[str, Process]) -> str:
    return served[0]


@pytest.fixture
def edge(served: tuple[str, Process]) -> Iterator[Edge]:
    with used(served[1]) as edge:
        yield edge


@pytest.fixture(params=["direct", "asgi"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Edge]:
    """A server for one test, on which something goes wrong, or which is ended."""
    edge = Edge(start(tmp_path, request.param))
    with edge.line().socket:
        assert ask(edge.line(), "GET", "/way").body == request.param.encode()
    yield edge
    for line in edge.opened:
        line.socket.close()
    if edge.process.process.poll() is None:
        end(edge.process)


def ask(line: Line, method: str, path: str, *headers: str, body: bytes = b"") -> Answer:
    line.send(request(method, f"/direct{path}", *headers, body=body))
    return line.answer(bodiless=method == "HEAD")


def test_a_plugin_that_looks_at_all_requests_sees_them_by_asgi(edge: Edge, way: str) -> None:
    assert ask(edge.line(), "GET", "/way").body == way.encode()


@pytest.mark.parametrize(
    "headers",
    [
        ("connection: close",),
        ("transfer-encoding: chunked",),
        ("upgrade: h2c", "connection: upgrade"),
        ("x-identity: me",),
        ("origin: https://trusted.example",),
    ],
)
def test_what_is_not_common_goes_by_asgi(edge: Edge, headers: tuple[str, ...]) -> None:
    line = edge.line(request("GET", "/direct/way", *headers))
    if "transfer-encoding: chunked" in headers:
        line.send(b"0\r\n\r\n")
    assert line.answer().body == b"asgi"


def test_many_requests_on_one_connection(edge: Edge) -> None:
    line = edge.line()
    for number in range(20):
        body = b"%d" % number
        assert ask(line, "PUT", "/echo", body=body).body == body
    assert ask(line, "GET", "/nowhere").status == 404
    assert ask(line, "PATCH", "/echo", body=b"patched").body == b"patched"


def test_pipelined_requests_are_answered_in_their_order(edge: Edge) -> None:
    paths = ["/way", "/later", "/echo", "/promised", "/turns", "/own", "/way", "/nowhere"]
    for _ in range(2):
        line = edge.line(b"".join(request("POST", f"/direct{p}", body=p.encode()) for p in paths))
        bodies = [line.answer().body for _ in paths]
        assert bodies[1:6] == [b"later", b"/echo", b"kept", b"turned /turns", b"own"]
        assert bodies[7] == b"nothing here"
        assert ask(line, "POST", "/echo", body=b"last").body == b"last"


def test_more_requests_than_one_turn_has_room_for(edge: Edge) -> None:
    bodies = [b"%d" % number for number in range(600)]
    line = edge.line(b"".join(request("PUT", "/direct/echo", body=body) for body in bodies))
    assert [line.answer().body for _ in bodies] == bodies


def test_a_body_in_pieces(edge: Edge) -> None:
    line = edge.line()
    for byte in request("PUT", "/direct/echo", body=b"slowly"):
        line.send(bytes([byte]))
    assert line.answer().body == b"slowly"


def test_a_body_in_chunks_and_a_compressed_one(edge: Edge) -> None:
    line = edge.line(request("PUT", "/direct/echo", "transfer-encoding: chunked"))
    line.send(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
    assert line.answer().body == b"abcdef"
    packed = gzip.compress(b"plain" * 100)
    assert ask(line, "PUT", "/echo", "content-encoding: gzip", body=packed).body == b"plain" * 100
    assert ask(line, "PUT", "/echo", "content-encoding: br", body=packed).status == 415


@pytest.mark.parametrize("more", [(), ("connection: close",)])
def test_a_blank_behind_a_value_is_no_part_of_it(edge: Edge, more: tuple[str, ...]) -> None:
    """By either way, and for whatever looks at the value."""
    head = request("PUT", "/direct/echo", *more, "content-length: 4 \t", "x-request-id: mine \t")
    answer = edge.line(head + b"body").answer()
    assert (answer.status, answer.body) == (200, b"body")
    assert answer.headers["x-request-id"] == "mine"


def test_a_large_body_and_one_that_is_too_large(edge: Edge) -> None:
    body = b"a" * 300_000
    assert ask(edge.line(), "PUT", "/echo", body=body).body == body
    line = edge.line(request("PUT", "/direct/echo", "content-length: 2000000"))
    answer = line.answer()
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


def test_who_waits_for_a_word_before_the_body_gets_it(edge: Edge) -> None:
    head = request("PUT", "/direct/echo", "expect: 100-continue", "content-length: 4")
    line = edge.line(head)
    assert line.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    line.send(b"body")
    assert line.answer().body == b"body"


@pytest.mark.parametrize("path", ["/way", "/own", "/later", "/nowhere", "/large?bytes=100000"])
def test_head_is_get_without_the_body(edge: Edge, path: str) -> None:
    line = edge.line()
    got, head = ask(line, "GET", path), ask(line, "HEAD", path)
    assert head.status == got.status
    for headers in (got.headers, head.headers):
        assert headers.pop("x-request-id")
        assert headers.pop("date")
    assert head.headers == got.headers
    assert ask(line, "GET", "/echo").status == 200


def test_a_status_that_has_no_body(edge: Edge) -> None:
    line = edge.line()
    assert ask(line, "DELETE", "/nothing").status == 204
    assert ask(line, "PUT", "/echo", body=b"next").body == b"next"


def test_an_answer_says_what_it_has_to(edge: Edge) -> None:
    answer = ask(edge.line(), "GET", "/own")
    assert answer.headers.pop("date")
    assert answer.headers.pop("x-request-id")
    assert answer.headers == {
        "content-type": "text/plain",
        "content-length": "3",
        "x-own": "1",
        "cache-control": "no-store",
        "vary": "origin",
    }


def test_ids_of_requests(edge: Edge) -> None:
    line = edge.line()
    assert ask(line, "GET", "/way", "X-Request-Id: mine").headers["x-request-id"] == "mine"
    assert ask(line, "GET", "/own", "X-Request-Id: mine").headers["x-request-id"] == "mine"
    assert ask(line, "GET", "/way", "x-request-id: {}").headers["x-request-id"] != "{}"
    ids = {ask(line, "GET", path).headers["x-request-id"] for path in ["/way", "/own", "/later"]}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("method", "header", "status", "foreign"),
    [
        ("POST", "origin: https://evil.example", 403, None),
        ("POST", "sec-fetch-site: cross-site", 403, None),
        ("GET", "origin: https://evil.example", 200, True),
        ("GET", "sec-fetch-site: cross-site", 200, True),
        ("POST", "origin: http://a", 200, False),
        ("POST", "sec-fetch-site: same-origin", 200, False),
        ("POST", "origin: https://trusted.example", 200, False),
    ],
)
def test_pages_of_other_origins(
    edge: Edge, method: str, header: str, status: int, foreign: bool | None
) -> None:
    answer = ask(edge.line(), method, "/noticed", header)
    assert answer.status == status
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == ("https://trusted.example" if "trusted" in header else None)
    assert foreign is None or answer.body.endswith(str(foreign).encode())


def test_what_headers_say_is_noticed(edge: Edge) -> None:
    line = edge.line()
    keys = ("Idempotency-Key: one", "Idempotency-Key: two", "If-Match: x")
    assert ask(line, "POST", "/noticed", *keys[:2]).body == b"['one', 'two'] None False"
    assert ask(line, "POST", "/noticed", keys[2]).body == b"[] If-Match False"
    assert ask(line, "GET", "/given", "x-identity: me", "Accept: a").body == b"host, accept"
    assert ask(line, "GET", "/client").body == b"127.0.0.1"


def test_a_client_of_the_first_version(edge: Edge) -> None:
    line = edge.line(b"GET /direct/echo HTTP/1.0\r\n\r\n")
    assert line.answer().status == 200
    assert line.rest() == b""


def test_a_connection_that_the_client_ends(edge: Edge) -> None:
    line = edge.line()
    assert ask(line, "GET", "/way", "connection: close").headers["connection"] == "close"
    assert line.rest() == b""


def test_refusals_come_behind_the_answers_before_them(edge: Edge) -> None:
    line = edge.line(request("GET", "/direct/later") + b"nonsense\r\n\r\n")
    assert line.answer().body == b"later"
    assert line.answer().status == 400
    line = edge.line(request("GET", "/direct/way") + b"nonsense\r\n\r\n")
    assert line.answer().status == 200
    assert line.answer().status == 400


def test_whoever_leaves_is_noticed(edge: Edge, way: str) -> None:
    line = edge.line(request("GET", "/direct/waits"))
    assert ask(edge.line(), "GET", "/seen").body == b""
    line.socket.close()
    seen = b"gone,unwanted" if way == "direct" else b"gone"
    edge.wait(lambda: ask(edge.line(), "GET", "/seen").body == seen, "the news")


def test_who_does_not_read_costs_no_more_than_he_may(edge: Edge) -> None:
    """He sends on and on; what he does not take is not made."""
    size = 60_000
    greedy = edge.line(small=True)
    greedy.socket.setblocking(False)
    asked = request("GET", f"/direct/large?bytes={size}") * 50
    sent = 0
    with suppress(BlockingIOError):
        while sent < 50_000_000:
            sent += greedy.socket.send(asked)
    assert sent < 50_000_000
    for _ in range(20):
        assert ask(edge.line(), "GET", "/way").status == 200
    held = edge.metrics()
    assert max(value for name, value in held.items() if "unsent" in name) < 4_000_000


def test_what_is_raised_is_logged_and_answered(own: Edge) -> None:
    line = own.line()
    for path, said in [("/raises", "raised at once"), ("/raises-later", "raised later")]:
        answer = ask(line, "GET", path)
        assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
        assert ask(line, "GET", "/echo").status == 200
        own.wait(lambda said=said: said in own.process.err, "the line of the log")
        logged = [json.loads(line) for line in own.process.err.splitlines()]
        entry = next(entry for entry in logged if said in entry.get("stack", ""))
        assert entry["message"] == f"Unhandled exception at GET /direct{path}"
        assert entry["requestId"] == answer.headers["x-request-id"]
    assert ask(line, "GET", "/wrong").status == 500
    assert ask(own.line(), "GET", "/echo").status == 200


def test_an_error_that_is_meant_for_the_client(edge: Edge) -> None:
    line = edge.line()
    answer = ask(line, "GET", "/refused")
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.headers["retry-after"] == "1"
    assert ask(line, "GET", "/echo").status == 200


@pytest.mark.parametrize("path", ["/later", "/promised"])
def test_what_is_under_way_is_finished_when_the_host_ends(own: Edge, path: str) -> None:
    line, idle = own.line(), own.line()
    for each in (line, idle):
        assert ask(each, "GET", "/echo").status == 200
    line.send(request("GET", f"/direct{path}"))
    begun = own.line(request("PUT", "/direct/echo", "content-length: 4") + b"bo")
    assert ask(own.line(), "GET", "/echo").status == 200
    own.process.signal()
    assert idle.rest() == b""
    begun.send(b"dy")
    assert begun.answer().body == b"body"
    answer = line.answer()
    assert answer.body in (b"later", b"kept")
    assert answer.headers["connection"] == "close"
    assert line.rest() == b""
    assert own.process.wait() == 0

"""What a host that observes tells of its requests, on both ways."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx2
import pytest
from host.conftest import HEADER
from host.edge.conftest import Line
from prometheus_client.parser import text_string_to_metric_families
from support.database import wait_until
from support.live import LiveServer, live_server

DIRECT = """
    import asyncio, logging
    from buntime_host import Answer, AsgiRequest, NotDirect, Promised, send_answer, settled

    logger = logging.getLogger("plugin:direct")

    def said(status=200):
        logger.info("at once")
        return Answer(status, "done", "text/plain")

    async def later():
        await asyncio.sleep(0.05)
        await asyncio.to_thread(logger.info, "in a thread")
        return Answer(200, "done", "text/plain")

    class App:
        async def __call__(self, scope, receive, send):
            request = AsgiRequest(scope, receive)
            request.body = await request.whole_body()
            await send_answer(send, await settled(self.answer(request)))

        def is_direct(self, method, path):
            return path != "/asgi"

        def route_of(self, method, path):
            return "/things/{id}" if path.startswith(b"/things/") else None

        def answer(self, request):
            if request.path == b"/turns" and not isinstance(request, AsgiRequest):
                raise NotDirect
            if request.path == b"/waits":
                return waits(request)
            if request.path == b"/later":
                return later()
            if request.path == b"/headers":
                return Answer(200, dict(request.headers).get(b"traceparent", b""), "text/plain")
            if request.path == b"/fails":
                raise ValueError("raised")
            if request.path == b"/promised":
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                loop.call_later(0.01, future.set_result, None)
                return Promised(future, lambda future: said(201))
            return said()

    async def waits(request):
        await request.gone()
        return said()

    @hookimpl
    def routes():
        return App()
"""
ROUTES = """
    import asyncio, logging
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Mount, Route, WebSocketRoute

    async def show(request):
        logging.getLogger("plugin:routes").info("shown")
        return PlainTextResponse(request.headers.get("traceparent", "none"))

    async def slow(request):
        await asyncio.sleep(1.05)
        return PlainTextResponse("slow")

    async def stream(request):
        async def parts():
            yield "first"
            await asyncio.sleep(1.05)
            yield "second"
        return StreamingResponse(parts())

    async def echo(websocket):
        await websocket.accept()
        await websocket.close()

    @hookimpl
    def routes():
        return [
            Route("/show/{name}", show),
            Route("/slow", slow),
            Route("/stream", stream),
            Mount("/below", routes=[Route("/{x}", show)]),
            WebSocketRoute("/echo", echo),
        ]
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("observed")
    for name, code in {"direct": DIRECT, "routes": ROUTES}.items():
        plugin = folder / "plugins" / name
        plugin.mkdir(parents=True)
        (plugin / "manifest.yaml").write_text(f"name: {name}\nbase: /{name}\n")
        (plugin / "plugin.py").write_text(HEADER + dedent(code))
    observe = {"accessLog": "json", "slowRequests": "1s", "httpMetrics": True, "tracing": True}
    with live_server(folder, {"plugins": ["direct", "routes"], "observe": observe}) as live:
        yield live


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A host that counts requests, and tells nothing else of them."""
    folder = tmp_path_factory.mktemp("counting")
    plugin = folder / "plugins" / "direct"
    plugin.mkdir(parents=True)
    (plugin / "manifest.yaml").write_text("name: direct\nbase: /direct\n")
    (plugin / "plugin.py").write_text(HEADER + dedent(DIRECT))
    config = {"plugins": ["direct"], "observe": {"httpMetrics": True}}
    with live_server(folder, config) as live:
        yield live


def port_of(server: LiveServer) -> int:
    return int(server.url.rpartition(":")[2])


def ask(server: LiveServer, target: str, request_id: str, *lines: str, method: str = "GET") -> str:
    """Send a request with this id; its answer's body."""
    line = Line(port_of(server))
    head = [f"{method} {target} HTTP/1.1", "host: localhost", f"x-request-id: {request_id}", *lines]
    line.send("\r\n".join([*head, "", ""]).encode())
    answer = line.answer(bodiless=method == "HEAD")
    line.socket.close()
    return answer.body.decode()


def entries(server: LiveServer, request_id: str) -> list[dict[str, Any]]:
    """What was logged with this id."""
    lines = (json.loads(line) for line in list(server.lines))
    return [line for line in lines if line.get("requestId") == request_id]


def is_told(server: LiveServer, request_id: str, message: str) -> bool:
    """Whether such a line was logged with this id."""
    return any(line.get("message") == message for line in entries(server, request_id))


def access_of(server: LiveServer, request_id: str) -> dict[str, Any]:
    """The one line of the access log for a request."""
    server.wait_for_output(f'"requestId":"{request_id}","client"')
    (entry,) = (line for line in entries(server, request_id) if "ms" in line)
    return entry


@pytest.mark.parametrize(
    ("target", "route", "status"),
    [
        ("/direct/things/a?secret=1", "/direct/things/{id}", 200),
        ("/direct/other", "/direct/*", 200),
        ("/direct/later", "/direct/*", 200),
        ("/direct/promised", "/direct/*", 201),
        ("/direct/turns", "/direct/*", 200),
        ("/direct/asgi", "/direct/*", 200),
        ("/direct/fails", "/direct/*", 500),
        ("/routes/show/a%2Fb", "/routes/*", 404),
        ("/routes/show/me", "/routes/show/{name}", 200),
        ("/routes/below/it", "/routes/below/*", 200),
        ("/routes/nothing", "/routes/*", 404),
        ("/nothing", "(none)", 404),
        ("/health/ready", "/health/ready", 200),
        ("/api/keys/some", "/api/keys/{id}", 400),
    ],
)
def test_each_request_has_one_line(
    server: LiveServer, target: str, route: str, status: int
) -> None:
    request_id = "line:" + target.partition("?")[0].replace("%", "_")
    body = ask(server, target, request_id)
    entry = access_of(server, request_id)
    assert entry["time"].endswith("+00:00")
    assert 0 < entry["ms"] < 60_000
    assert entry["path"] == target.partition("?")[0]
    assert (entry["method"], entry["route"]) == ("GET", route)
    assert (entry["status"], entry["bytes"]) == (status, len(body))
    assert entry["client"] == "127.0.0.1"
    assert "secret" not in server.output


def test_a_head_has_no_bytes(server: LiveServer) -> None:
    ask(server, "/routes/show/a", "head:1", method="HEAD")
    entry = access_of(server, "head:1")
    assert (entry["method"], entry["bytes"], entry["status"]) == ("HEAD", 0, 200)


def test_the_lines_of_plugins_have_the_id_of_the_request(server: LiveServer) -> None:
    for number, (target, message) in enumerate(
        [
            ("/direct/other", "at once"),
            ("/direct/promised", "at once"),
            ("/direct/later", "in a thread"),
            ("/direct/turns", "at once"),
            ("/routes/show/x", "shown"),
            ("/direct/fails", "Unhandled exception at GET /direct/fails"),
        ]
    ):
        request_id = f"plugin:{number}"
        ask(server, target, request_id, f"traceparent: {PARENT}")
        access_of(server, request_id)
        wait_until(partial(is_told, server, request_id, message))  # perhaps behind the other line
        told = [line for line in entries(server, request_id) if line.get("message") == message]
        assert [line["traceId"] for line in told] == [TRACE], (target, told)


def test_what_is_slow_is_told(server: LiveServer) -> None:
    ask(server, "/routes/slow", "slow:1")
    ask(server, "/routes/stream", "slow:2")  # its answer began at once
    whole = access_of(server, "slow:2")["ms"]
    assert whole >= 1000
    access_of(server, "slow:1")
    late = [line["message"] for line in entries(server, "slow:2") if "message" in line]
    # Where the machine stood still, it did not begin at once.
    assert all(int(text.split()[-2]) <= whole - 1000 for text in late)
    (told,) = (line for line in entries(server, "slow:1") if "message" in line)
    assert re.fullmatch(
        r"Slow request: GET /routes/slow was answered after \d+ ms", told["message"]
    )
    assert (told["level"], told["route"], told["status"]) == ("warn", "/routes/slow", 200)


def test_who_leaves_before_the_answer(server: LiveServer) -> None:
    line = Line(port_of(server))
    line.send(b"GET /direct/waits HTTP/1.1\r\nhost: localhost\r\nx-request-id: gone:1\r\n\r\n")
    asking = {"method": "GET", "route": "/direct/*"}
    while not numbers(server, "buntime_http_requests_in_flight", asking):
        pass  # until it runs
    line.socket.close()
    assert access_of(server, "gone:1")["status"] == 499
    assert numbers(server, "buntime_http_requests_in_flight", asking) == 0


def numbers(server: LiveServer, name: str, labels: dict[str, str]) -> float:
    """The value of a metric."""
    for family in text_string_to_metric_families(ask(server, "/metrics", "metrics")):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return 0


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/direct/things/counted", "/direct/things/{id}"),
        ("/direct/things/counted?by=asgi", "/direct/things/{id}"),
        ("/routes/slow", "/routes/slow"),
        ("/made-up", "(none)"),
    ],
)
def test_requests_are_counted_by_route(server: LiveServer, target: str, route: str) -> None:
    labels = {"method": "GET", "route": route}
    status = "4xx" if route == "(none)" else "2xx"

    def now() -> list[float]:
        return [
            numbers(server, "buntime_http_requests_total", {**labels, "status": status}),
            numbers(server, "buntime_http_request_duration_seconds_count", labels),
            numbers(server, "buntime_http_request_duration_seconds_bucket", labels | {"le": "0.1"}),
        ]

    before = now()
    more = ["connection: close"] if "asgi" in target else []
    ask(server, target, "counted", *more)
    after = now()
    assert after[:2] == [before[0] + 1, before[1] + 1]
    if target == "/routes/slow":
        assert after[2] == before[2]
    assert numbers(server, "buntime_http_requests_in_flight", labels) == 0


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/direct/things/1", "/direct/things/{id}", "2xx"),  # at once
        ("HEAD", "/direct/things/1", "/direct/things/{id}", "2xx"),
        ("GET", "/direct/promised", "/direct/*", "2xx"),  # later, of a future
        ("GET", "/direct/later", "/direct/*", "2xx"),  # later, of a coroutine
        ("GET", "/direct/fails", "/direct/*", "5xx"),
        ("GET", "/direct/turns", "/direct/*", "2xx"),  # begun here, and by ASGI after all
        ("GET", "/direct/asgi", "/direct/*", "2xx"),
        ("POST", "/direct/things/1", "/direct/things/{id}", "2xx"),
    ],
)
def test_each_request_counts_once_however_it_is_answered(
    counting: LiveServer, method: str, path: str, route: str, status: str
) -> None:
    labels = {"method": method, "route": route}

    def now() -> list[float]:
        name = "buntime_http_request_duration_seconds_count"
        ended = {**labels, "status": status}
        return [
            numbers(counting, "buntime_http_requests_total", ended), numbers(counting, name, labels)
        ]  # fmt: skip

    before = now()
    with httpx2.Client(base_url=counting.url) as client:
        client.request(method, path, content=b"ab" if method == "POST" else None)
    assert now() == [before[0] + 1, before[1] + 1]
    assert numbers(counting, "buntime_http_requests_in_flight", labels) == 0


def test_who_waits_is_in_flight_and_who_leaves_is_counted(counting: LiveServer) -> None:
    asking = {"method": "GET", "route": "/direct/*"}
    ended = {**asking, "status": "4xx"}
    before = numbers(counting, "buntime_http_requests_total", ended)
    line = Line(port_of(counting))
    line.send(b"GET /direct/waits HTTP/1.1\r\nhost: localhost\r\n\r\n")
    running = "buntime_http_requests_in_flight"
    wait_until(lambda: numbers(counting, running, asking) == 1)
    line.socket.close()
    wait_until(lambda: numbers(counting, running, asking) == 0)
    assert numbers(counting, "buntime_http_requests_total", ended) == before + 1


def test_methods_and_paths_that_are_made_up_make_no_series(server: LiveServer) -> None:
    for number in range(20):
        ask(server, f"/made/up/{number}", "made-up", method="PROPFIND")
        ask(server, f"/direct/things/{number}", "made-up", method="DELETE")
    series = {
        (sample.labels["method"], sample.labels["route"])
        for family in text_string_to_metric_families(ask(server, "/metrics", "metrics"))
        if family.name == "buntime_http_requests"
        for sample in family.samples
    }
    assert {route for _, route in series if "up" in route} == set()
    assert ("OTHER", "(none)") in series
    assert ("DELETE", "/direct/things/{id}") in series


def test_the_process_is_measured(server: LiveServer) -> None:
    assert numbers(server, "process_open_fds", {}) > 3
    assert numbers(server, "process_resident_memory_bytes", {}) > 1_000_000


def test_traces_are_passed_on(server: LiveServer) -> None:
    for number, target in enumerate(["/direct/headers", "/routes/show/x"]):
        assert ask(server, target, f"trace:{number}", f"traceparent: {PARENT}") == PARENT
        assert access_of(server, f"trace:{number}")["traceId"] == TRACE
        assert ask(server, target, f"none:{number}") in {"", "none"}
        assert "traceId" not in access_of(server, f"none:{number}")


async def test_websockets_are_told_of(server: LiveServer) -> None:
    line = Line(port_of(server))
    line.send(
        b"GET /routes/echo HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
        b"connection: upgrade\r\nsec-websocket-version: 13\r\nx-request-id: socket:1\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    entry = await asyncio.to_thread(access_of, server, "socket:1")
    line.socket.close()
    assert (entry["method"], entry["route"]) == ("WEBSOCKET", "/routes/echo")
    assert entry["status"] == 101


def test_the_common_format(tmp_path: Path) -> None:
    observe = {"accessLog": "common"}
    config = {"plugins": [], "observe": observe, "logLevel": "error", "masterKey": "let me in"}
    variables = {"RUNTIME_LOG_LEVEL": "info"}
    with live_server(tmp_path, config, variables) as server:
        ask(server, "/health?secret", "common:1")
        ask(server, '/a"b\\c', "common:2", "x-api-key: let me in")
        server.wait_for_output("common:2")
        first, second = (line for line in server.lines if "common:" in line)
    time = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {time} "GET /health HTTP/1.1" 200 \d+ \d+\.\d{{3}} common:1\n', first
    )
    assert re.fullmatch(
        rf'127\.0\.0\.1 - \(master\) {time} "GET /a\\"b\\\\c HTTP/1.1" 404 \d+ .* common:2\n',
        second,
    )

"""What a plugin does with `passage()`: the same on the direct way and by ASGI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from host.conftest import HEADER, Process, base_environ, wait_for
from host.edge.conftest import Answer, Edge, Line, end, request

APP = """
    import asyncio
    from buntime_host import (
        Answer, AsgiRequest, BadRequest, NotDirect, Promised, send_answer, settled,
    )

    async def later():
        await asyncio.sleep(0)
        return Answer(200, "later")

    async def fails():
        await asyncio.sleep(0)
        raise ValueError("raised later")

    class App:
        async def __call__(self, scope, receive, send):
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.close", "code": 1000})
                return
            request = AsgiRequest(scope, receive)
            if request.path == b"/stream":
                head = [(b"content-type", b"text/event-stream")]
                await send({"type": "http.response.start", "status": 200, "headers": head})
                for part in (b"one", b"two", b""):
                    more = bool(part)
                    await send({"type": "http.response.body", "body": part, "more_body": more})
                return
            if request.path == b"/parts":
                head = [(b"content-type", b"text/plain"), (b"content-length", b"6")]
                await send({"type": "http.response.start", "status": 200, "headers": head})
                await send({"type": "http.response.body", "body": b"one", "more_body": True})
                await send({"type": "http.response.body", "body": b"two"})
                return
            await request.whole_body()
            await send_answer(send, await settled(self.answer(request)))

        def is_direct(self, method, path):
            return path not in (b"/stream", b"/parts")

        def answer(self, request):
            match request.path.decode():
                case "/way":
                    return Answer(200, "asgi" if isinstance(request, AsgiRequest) else "direct")
                case "/own":
                    own = ((b"access-control-allow-origin", b"*"), (b"x-own", b"1"))
                    return Answer(200, "own", "text/plain", None, own, "tagged")
                case "/lines":
                    return Answer(200, "", lines=b"x-one: 1\\r\\nx-two: a: b\\r\\n")
                case "/later":
                    return later()
                case "/promised":
                    future = asyncio.get_running_loop().create_future()
                    asyncio.get_running_loop().call_later(0.01, future.set_result, "kept")
                    return Promised(future, lambda done: Answer(200, done.result()))
                case "/broken":
                    future = asyncio.get_running_loop().create_future()
                    asyncio.get_running_loop().call_soon(future.set_exception, ValueError("x"))
                    return Promised(future, lambda done: Answer(200, done.result()))
                case "/refused":
                    raise BadRequest("not so")
                case "/raises":
                    raise ValueError("raised at once")
                case "/fails":
                    return fails()
                case "/turns":
                    if not isinstance(request, AsgiRequest):
                        raise NotDirect
                    return Answer(200, "turned")
            return Answer(204, "") if request.path == b"/nothing" else Answer(404, "{}")

    @hookimpl
    def routes():
        return App()
"""
PASSAGE = """
    import asyncio
    from buntime_host import Answer, BadRequest

    SEEN = []

    class Along:
        def __init__(self, path):
            self.path = path

        def answered(self, answer):
            if self.path.endswith("/way") and answer.status == 200:
                return self.slowly(answer)
            return self.noted(answer, "whole")

        async def slowly(self, answer):
            await asyncio.sleep(0)
            return self.noted(answer, "awaited")

        def noted(self, answer, kind):
            headers = (*answer.headers, (b"x-NAME", kind.encode()))
            return Answer(answer.status, answer.body, answer.content_type, answer.length, headers,
                          answer.tag, answer.lines)

        def begun(self, status, headers):
            return [*headers, (b"x-NAME", b"begun %d" % status)]

    class Faulty:
        def answered(self, answer):
            raise ValueError("faulty companion")

        def begun(self, status, headers):
            raise ValueError("faulty companion")

    class Passage:
        def trusts(self, origin):
            return origin in (b"https://page.example", b"https://member.example")

        def takes_cookies(self, origin):
            return origin == b"https://member.example"

        def preflight(self, request):
            if request.whole_path == b"/direct/asked":
                return Answer(200, "preflight")
            return None

        def arrives(self, request):
            path = request.whole_path.decode()
            SEEN.append(f"{request.method} {path}")
            if path == "/direct/seen-by-NAME":
                return Answer(200, ", ".join(SEEN), "text/plain")
            if path == "/direct/no-NAME":
                raise BadRequest("not here")
            if path == "/direct/fault-of-NAME":
                raise ValueError("faulty passage")
            if (b"x-lined", b"1") in request.headers:
                request.lines += b"x-line-of: NAME\\r\\naccess-control-allow-origin: NAME\\r\\n"
                request.settled = frozenset({b"access-control-allow-origin"})
            if path == "/direct/lined-by-NAME":
                return Answer(200, "lined", headers=((b"access-control-allow-origin", b"else"),))
            if path == "/direct/alone" or (b"x-alone", b"1") in request.headers:
                return None
            if (b"x-faulty", b"NAME") in request.headers:
                return Faulty()
            return Along(path)

    @hookimpl
    def passage():
        return Passage()
"""
LOOKER = """
    @hookimpl
    def on_request(request, app):
        return None
"""
CONFIG = {"bodySize": {"default": "1kb", "max": "1kb"}}


def start(folder: Path, plugins: dict[str, str], config: dict[str, object]) -> Process:
    for name, code in plugins.items():
        plugin = folder / "plugins" / name
        plugin.mkdir(parents=True)
        base = "base: /direct\n" if name == "direct" else ""
        (plugin / "manifest.yaml").write_text(f"name: {name}\n{base}")
        (plugin / "plugin.py").write_text(HEADER + dedent(code))
    (folder / "buntime.jsonc").write_text(json.dumps({**config, "plugins": list(plugins)}))
    return Process(folder, "serve", "--port", "0", environ=base_environ())


@pytest.fixture(scope="module", params=["direct", "asgi", "two"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Process]]:
    plugins = {"first": PASSAGE.replace("NAME", "first"), "direct": APP}
    if request.param == "asgi":
        plugins["looker"] = LOOKER
    if request.param == "two":
        plugins["second"] = PASSAGE.replace("NAME", "second")
    config: dict[str, object] = dict(CONFIG)
    if request.param == "two":
        config["trustedOrigins"] = ["https://trusted.example"]
    process = start(tmp_path_factory.mktemp(request.param), plugins, config)
    yield request.param, process
    end(process)


@pytest.fixture
def way(served: tuple[str, Process]) -> str:
    return served[0]


@pytest.fixture
def edge(served: tuple[str, Process]) -> Iterator[Edge]:
    edge = Edge(served[1])
    yield edge
    for line in edge.opened:
        line.socket.close()
    edge.line().socket.close()  # it still listens


def ask(line: Line, path: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
    line.send(request(method, f"/direct{path}", *headers, body=body))
    return line.answer(bodiless=method == "HEAD")


def marks(answer: Answer) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name in ("x-first", "x-second")}


def all_of(way: str, mark: str) -> dict[str, str]:
    return {"x-first": mark} if way != "two" else {"x-first": mark, "x-second": mark}


def test_the_direct_way_stays_open(edge: Edge, way: str) -> None:
    for _ in range(3):  # also by a head that is known
        answer = ask(edge.line(), "/way")
        assert answer.body == (b"asgi" if way == "asgi" else b"direct")
        assert marks(answer) == all_of(way, "awaited")


@pytest.mark.parametrize(
    ("path", "status", "mark"),
    [
        ("/later", 200, "whole"),
        ("/promised", 200, "whole"),
        ("/turns", 200, "whole"),
        ("/refused", 400, "whole"),
        ("/raises", 500, "whole"),
        ("/fails", 500, "whole"),
        ("/broken", 500, "whole"),
        ("/nowhere", 404, "whole"),
        ("/stream", 200, "begun 200"),
        ("/parts", 200, "begun 200"),
    ],
)
def test_every_answer_is_seen_once(edge: Edge, way: str, path: str, status: int, mark: str) -> None:
    line = edge.line()
    for _ in range(2):
        answer = ask(line, path)
        assert answer.status == status
        assert marks(answer) == all_of(way, mark)
        assert "x-request-id" in answer.headers
    if path in ("/stream", "/parts"):
        assert answer.body == b"onetwo"


def test_it_sees_each_request_once(edge: Edge) -> None:
    line = edge.line()
    ask(line, "/turns?once")
    seen = ask(line, "/seen-by-first").body.decode().split(", ")
    before = seen.count("GET /direct/turns")
    assert marks(ask(line, "/turns?once", "x-alone: 1")) == {}
    ask(line, "/%74urns")
    line.send(request("GET", "/health"))
    assert marks(line.answer())["x-first"] == "whole"
    line.send(request("GET", "/nobody"))
    assert line.answer().headers["x-first"] == "whole"
    seen = ask(line, "/seen-by-first").body.decode().split(", ")
    assert seen.count("GET /direct/turns") == before + 1
    assert seen[-4:-1] == ["GET /direct/%74urns", "GET /health", "GET /nobody"]


def test_what_the_host_refuses_is_seen(edge: Edge, way: str) -> None:
    line = edge.line()
    for answer in (
        ask(line, "/way", "origin: https://stranger.example", method="POST"),
        ask(line, "/way", method="PUT", body=b"x" * 2000),
    ):
        assert answer.status in (403, 413)
        assert marks(answer) == all_of(way, "whole")


def test_answers_without_a_body(edge: Edge, way: str) -> None:
    assert marks(ask(edge.line(), "/nothing")).keys() == all_of(way, "").keys()
    assert marks(ask(edge.line(), "/later", method="HEAD")).keys() == all_of(way, "").keys()


def test_a_passage_answers(edge: Edge, way: str) -> None:
    for line in (edge.line(), edge.line()):
        refused = ask(line, "/no-first")
        assert (refused.status, marks(refused)) == (400, {})
        faulty = ask(line, "/fault-of-first")
        assert (faulty.status, faulty.code) == (503, "PLUGIN_PASSAGE_FAILED")
        if way == "two":
            refused = ask(line, "/no-second")
            assert (refused.status, marks(refused)) == (400, {"x-first": "whole"})
            assert ask(line, "/no-second", "connection: close").headers["x-first"] == "whole"
            line = edge.line()
    assert marks(ask(edge.line(), "/alone")) == {}


def test_a_companion_that_fails_changes_nothing(edge: Edge, way: str) -> None:
    for path in ("/own", "/later", "/stream"):
        answer = ask(edge.line(), path, "x-faulty: first")
        assert answer.status == 200
        assert "x-first" not in answer.headers
    process = edge.process  # which writes its log a little later
    wait_for(lambda: "faulty companion" in process.err + process.out, "the log of it")


def test_other_headers_stay(edge: Edge, way: str) -> None:
    answer = ask(edge.line(), "/own")
    assert (answer.headers["x-own"], answer.headers["etag"]) == ("1", '"tagged"')
    assert answer.headers["content-type"] == "text/plain"
    # What a plugin says of origins counts only where the host says nothing of them.
    assert answer.headers.get("access-control-allow-origin") == (None if way == "two" else "*")
    assert answer.headers.get("vary") == ("origin" if way == "two" else None)


@pytest.mark.parametrize("alone", [(), ("x-alone: 1",)])
@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/own", "GET", 200),
        ("/own", "HEAD", 200),
        ("/nothing", "GET", 204),
        ("/turns", "GET", 200),
        ("/promised", "GET", 200),
        ("/raises", "GET", 500),
        ("/stream", "GET", 200),
        ("/lined-by-first", "GET", 200),
    ],
)
def test_a_passage_adds_headers_without_a_companion(
    edge: Edge, way: str, path: str, method: str, status: int, alone: tuple[str, ...]
) -> None:
    line = edge.line()
    for _ in range(2):
        answer = ask(line, path, "x-lined: 1", *alone, method=method)
        assert answer.status == status
        passed = "first, second" if way == "two" and path != "/lined-by-first" else "first"
        assert answer.headers["x-line-of"] == passed
        assert answer.headers["access-control-allow-origin"] == passed  # and nothing else


def test_what_is_refused_and_handshakes_have_the_headers_of_a_passage(edge: Edge) -> None:
    stranger = "origin: https://stranger.example"
    refused = ask(edge.line(), "/way", stranger, "x-lined: 1", method="POST")
    assert (refused.status, refused.headers["x-line-of"][:5]) == (403, "first")
    for more, status in (((), 101), ((stranger,), 403)):
        answer = ask(edge.line(), "/socket", *HANDSHAKE, "x-lined: 1", "x-alone: 1", *more)
        assert (answer.status, answer.headers["x-line-of"][:5]) == (status, "first")


def test_origins_that_a_passage_trusts(edge: Edge) -> None:
    page = "origin: https://page.example"
    assert ask(edge.line(), "/later", page, method="POST").status == 200
    stranger = "origin: https://stranger.example"
    assert ask(edge.line(), "/later", stranger, method="POST").code == "ORIGIN_NOT_ALLOWED"


def test_preflights_come_first(edge: Edge) -> None:
    answer = ask(edge.line(), "/asked", method="OPTIONS")
    assert (answer.body, marks(answer)) == (b"preflight", {})
    assert ask(edge.line(), "/later", method="OPTIONS").status == 200


HANDSHAKE = (
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def test_handshakes(edge: Edge, way: str) -> None:
    answer = ask(edge.line(), "/socket", *HANDSHAKE)
    assert (answer.status, marks(answer)) == (101, all_of(way, "begun 101"))
    assert ask(edge.line(), "/no-first", *HANDSHAKE).status == 400


def test_handshakes_that_the_host_refuses(edge: Edge, way: str) -> None:
    stranger = "origin: https://stranger.example"
    answer = ask(edge.line(), "/socket", stranger, *HANDSHAKE)
    assert (answer.status, answer.code) == (403, "ORIGIN_NOT_ALLOWED")
    assert marks(answer) == all_of(way, "begun 403")
    assert ask(edge.line(), "/no-first", stranger, *HANDSHAKE).status == 400


def test_an_answer_without_content_says_nothing_of_it(edge: Edge) -> None:
    answer = ask(edge.line(), "/nothing")
    assert answer.status == 204
    assert not {"content-length", "content-type", "transfer-encoding"} & {*answer.headers}


def test_lines_that_are_ready_are_headers_on_both_ways(edge: Edge) -> None:
    answer = ask(edge.line(), "/lines")
    assert (answer.headers["x-one"], answer.headers["x-two"]) == ("1", "a: b")


def test_what_is_no_passage_is_refused(tmp_path: Path) -> None:
    wrong = "@hookimpl\ndef passage():\n    return 5\n"
    process = start(tmp_path, {"wrong": wrong}, {})
    assert process.wait() != 0
    assert "passage() must return a RequestPassage" in process.out + process.err

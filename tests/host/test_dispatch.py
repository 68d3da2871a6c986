"""Raw ASGI calls to a host: routing, limits, ids, origins, errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host.http.origin import OriginPolicy
from buntime_host.routing.dispatch import RequestDispatcher
from buntime_host.routing.mounts import mount_at
from starlette.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

ECHO = """
import json
class Plugin:
    def __init__(self, options):
        pass
    @hookimpl
    def routes(self):
        return self.app
    async def app(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = {
            "path": scope["path"], "raw": scope["raw_path"].decode(), "root": scope["root_path"],
            "headers": [[k.decode(), v.decode()] for k, v in scope["headers"]],
            "id": scope["state"]["request_id"], "size": len(body),
        }
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"""

ROUTES = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.exceptions import HTTPException
from buntime_host import Forbidden
async def ok(request):
    return PlainTextResponse(request.scope["path"])
async def boom(request):
    raise RuntimeError("secret")
async def http(request):
    raise HTTPException(418, "tea")
async def forbidden(request):
    raise Forbidden("not you", code="NOT_YOU")
async def late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("late")
class Late:
    async def __call__(self, scope, receive, send):
        await late(scope, receive, send)
@hookimpl
def routes():
    return [Route("/", ok), Route("/only-get", ok), Route("/boom", boom), Route("/http", http),
            Route("/forbidden", forbidden), Route("/late", Late()), Route("/x/{rest:path}", ok)]
"""


async def test_first_segment_decides(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    add_plugin("kvx", ECHO, base="/kvx")
    async with make_host() as host:
        for path, root in (("/kv/a", "/kv"), ("/kvx/a", "/kvx"), ("/kvx", "/kvx"), ("/kv/", "/kv")):
            assert (await call(host, path=path)).json["root"] == root
        for path in ("/kvy", "/k", "/kv2/a", "//kv", "/KV/a", "/x/kv"):
            assert (await call(host, path=path)).status == 404


@pytest.mark.parametrize(
    ("sent", "path", "raw"),
    [
        ("/kv/api/keys/a%2Fb/c?x=1", "/kv/api/keys/a/b/c", "/kv/api/keys/a%2Fb/c"),
        ("/kv", "/kv/", "/kv/"),
        ("/kv/", "/kv/", "/kv/"),
        ("/%6Bv/a%20b", "/kv/a b", "/kv/a%20b"),
        ("/%6Bv", "/kv/", "/kv/"),
        ("/kv//a", "/kv//a", "/kv//a"),
    ],
)
async def test_paths_as_the_plugin_sees_them(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, sent: str, path: str, raw: str
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    async with make_host() as host:
        answer = (await call(host, path=sent)).json
    assert (answer["path"], answer["raw"], answer["root"]) == (path, raw, "/kv")


async def test_an_encoded_slash_does_not_end_the_base(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    async with make_host() as host:
        assert (await call(host, path="/kv%2Fapi")).code == "NOT_FOUND"


async def test_below_a_root_path(call: Call) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    dispatcher = RequestDispatcher({"/kv": mount_at("/kv", app, 10)}, limit=10)

    async def below(scope: Scope, receive: Receive, send: Send) -> None:
        scope["root_path"] = "/sub"
        await dispatcher(scope, receive, send)

    for path in ("/sub/kv/a%2Fb", "/sub/kv"):
        assert (await call(below, path=path)).status == 200
    assert [(s["root_path"], s["path"]) for s in seen] == [
        ("/sub/kv", "/sub/kv/a/b"),
        ("/sub/kv", "/sub/kv/"),
    ]
    assert (await call(below, path="/sub/nope")).status == 404
    assert (await call(below, path="/sub/kv%2Fx")).status == 404


async def test_the_base_slash_is_that_one_path(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("home", ECHO, base="/")
    async with make_host() as host:
        assert (await call(host, path="/")).json["root"] == ""
        assert (await call(host, path="/other")).status == 404


async def test_routes_and_errors_are_json(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("p", ROUTES, base="/p")
    async with make_host() as host:
        for path in ("/p", "/p/", "/p/only-get", "/p/x/a/b"):
            assert (await call(host, path=path)).status == 200
        cases = {
            ("GET", "/nothing"): (404, "NOT_FOUND"),
            ("GET", "/p/nothing"): (404, "NOT_FOUND"),
            ("GET", "/p/only-get/"): (404, "NOT_FOUND"),
            ("POST", "/p/only-get"): (405, "METHOD_NOT_ALLOWED"),
            ("GET", "/p/http"): (418, "IM_A_TEAPOT"),
            ("GET", "/p/forbidden"): (403, "NOT_YOU"),
            ("GET", "/p/boom"): (500, "INTERNAL_SERVER_ERROR"),
        }
        for (method, path), (status, code) in cases.items():
            answer = await call(host, method, path)
            assert (answer.status, answer.code) == (status, code), path
            assert "x-request-id" in answer.headers
        allow = (await call(host, "POST", "/p/only-get")).headers["allow"]
        assert sorted(allow.split(", ")) == ["GET", "HEAD"]
        assert b"secret" not in (await call(host, path="/p/boom")).body
    record = next(r for r in caplog.records if "Unhandled exception at GET /p/boom" in r.message)
    assert record.exc_info is not None


async def test_an_exception_after_the_start_ends_the_response(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("p", ROUTES, base="/p")
    async with make_host() as host:
        answer = await call(host, path="/p/late")
    assert (answer.status, answer.body) == (200, b"")
    assert "Unhandled exception at GET /p/late" in caplog.messages


async def test_request_id(add_plugin: AddPlugin, make_host: MakeHost, call: Call) -> None:
    add_plugin("kv", ECHO, base="/kv")
    async with make_host() as host:
        for given in ("abc-1.2:3", "x" * 128):
            answer = await call(host, path="/kv/", headers={"x-request-id": given})
            assert answer.headers["x-request-id"] == answer.json["id"] == given
            assert answer.json["headers"].count(["x-request-id", given]) == 1
        for given in ("", "a b", "x" * 129, "ä", '"'):
            answer = await call(host, path="/kv/", headers={"x-request-id": given})
            made = answer.headers["x-request-id"]
            assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab].*", made)
            values = [v for k, v in answer.json["headers"] if k == "x-request-id"]
            assert values == [made]
        first, second = (await call(host, path="/kv/")).json, (await call(host, path="/kv/")).json
        assert first["id"] != second["id"]


async def test_a_reused_start_message_is_not_changed(call: Call) -> None:
    own = [(b"a", b"b"), (b"x-request-id", b"of another server")]
    start: Message = {"type": "http.response.start", "status": 200, "headers": own}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)

    dispatcher = RequestDispatcher({"/p": mount_at("/p", app, 1)}, limit=1)
    for _ in range(2):
        assert len((await call(dispatcher, path="/p/")).headers) == 2
    assert start["headers"] is own
    assert len(own) == 2


async def test_headers_that_plugins_set_for_each_other_are_removed(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    spoofed = ["X-Identity", "X-Base", "X-Not-Found", "X-Buntime-Internal", "X-Vhost-Tenant"]
    headers = dict.fromkeys(spoofed, "evil") | {"X-Other": "kept"}
    async with make_host() as host:
        answer = await call(host, path="/kv/", headers=headers)
    assert [name for name, _ in answer.json["headers"]] == ["host", "x-other", "x-request-id"]


async def test_nothing_is_copied_when_nothing_is_dropped(call: Call) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    dispatcher = RequestDispatcher({"/p": mount_at("/p", app, 1)}, limit=1)
    answer = await call(dispatcher, path="/p/")
    assert seen[0] is answer.scope["headers"]


@pytest.mark.parametrize(
    ("length", "status"),
    [("8", 200), ("9", 413), ("-1", 413), ("x", 413), ("", 413), ("9" * 5000, 413), ("+5", 413)],
)
async def test_content_length(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, length: str, status: int
) -> None:
    add_plugin("kv", ECHO, base="/kv", maxBodySize=8)
    async with make_host() as host:
        headers = {"content-length": length}
        answer = await call(host, "PUT", "/kv/a", headers=headers, body=b"12345678")
        assert answer.status == status
        if status == 413:
            assert answer.code == "PAYLOAD_TOO_LARGE"


async def test_chunked_bodies_are_counted(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", ECHO, base="/kv", maxBodySize=8)
    add_plugin("kw", ECHO, base="/kw")
    async with make_host({"bodySize": {"default": 4}}) as host:
        assert (await call(host, "PUT", "/kv/a", body=[b"1234", b"5678"])).json["size"] == 8
        assert (await call(host, "PUT", "/kv/a", body=[b"1234", b"56789"])).code == (
            "PAYLOAD_TOO_LARGE"
        )
        assert (await call(host, "GET", "/kv/a", body=[b"123456789"])).status == 413
        assert (await call(host, "PUT", "/kw/a", body=[b"12345"])).status == 413
        assert (await call(host, "PUT", "/kw/a", body=[b"1234"])).status == 200
        assert (await call(host, "PUT", "/none", body=b"12345")).status == 413


async def test_the_limit_holds_when_a_plugin_swallows_the_exception(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    code = """
    class Plugin:
        def __init__(self, options):
            pass
        @hookimpl
        def routes(self):
            return self.app
        async def app(self, scope, receive, send):
            try:
                while (await receive()).get("more_body"):
                    pass
                status = 200
            except Exception:
                status = 400
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"mine"})
    """
    add_plugin("p", code, base="/p", maxBodySize=3)
    async with make_host() as host:
        answer = await call(host, "POST", "/p/", body=[b"12", b"34"])
        assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")
        assert (await call(host, "POST", "/p/", body=[b"12", b"3"])).body == b"mine"


ORIGINS = [
    ("http://testserver", True),
    ("https://testserver", True),
    ("HTTP://TestServer", True),
    ("http://testserver:80", True),
    ("http://testserver:8080", False),
    ("https://app.example.com", True),
    ("http://app.example.com", False),
    ("https://evil.example.com", False),
    ("https://testserver.evil.com", False),
    ("http://user@testserver", False),
    ("ftp://testserver", False),
    ("http://testserver/", False),
    ("null", False),
    ("", False),
    ("http://", False),
    ("http://[", False),
]


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
async def test_origin_of_writes(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, origin: str, allowed: bool
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    async with make_host({"trustedOrigins": ["https://app.example.com/"]}) as host:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await call(host, method, "/kv/a", headers={"Origin": origin})
            assert answer.status == (200 if allowed else 403), method
            if not allowed:
                assert answer.code == "ORIGIN_NOT_ALLOWED"
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await call(host, method, "/kv/a", headers={"Origin": origin})
            assert answer.status == 200
        assert (await call(host, "POST", "/kv/a")).status == 200


def test_origin_policy_without_a_usable_host() -> None:
    policy = OriginPolicy()
    assert not policy.allows(b"http://x", b"")
    assert not policy.allows(b"http://", b"")
    assert not policy.allows(b"http://a@b", b"a@b")
    assert not policy.allows(b"http://x", b"[")
    assert policy.allows(b"http://[::1]:8000", b"[::1]:8000")
    assert policy.allows(b"https://x", b"x:443")


async def test_middleware_of_the_first_plugin_is_outermost(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    code = """
    from starlette.middleware import Middleware
    class Tag:
        def __init__(self, app, name):
            self.app, self.name = app, name
        async def __call__(self, scope, receive, send):
            scope["headers"].append((b"x-seen", self.name.encode()))
            async def tagged(message):
                if message["type"] == "http.response.start":
                    headers = [*message["headers"], (b"x-" + self.name.encode(), b"1")]
                    message = {**message, "headers": headers}
                await send(message)
            await self.app(scope, receive, tagged)
    @hookimpl
    def middleware():
        return [Middleware(Tag, name="NAME")]
    """
    add_plugin("first", code.replace("NAME", "first"))
    add_plugin("second", code.replace("NAME", "second"))
    add_plugin("kv", ECHO, base="/kv")
    async with make_host() as host:
        answer = await call(host, path="/kv/a")
        assert [v for k, v in answer.json["headers"] if k == "x-seen"] == ["first", "second"]
        assert list(answer.headers)[-3:] == ["x-second", "x-first", "x-request-id"]
        assert answer.json["root"] == "/kv"
        assert (await call(host, path="/health")).headers["x-first"] == "1"
        assert (await call(host, path="/none")).status == 404


async def test_middleware_that_cannot_be_built_is_fatal(
    add_plugin: AddPlugin, make_host: MakeHost
) -> None:
    code = """
    from starlette.middleware import Middleware
    def broken(app):
        raise OSError("m")
    @hookimpl
    def middleware():
        return [Middleware(broken)]
    """
    add_plugin("p", code)
    host = make_host()
    with pytest.raises(Exception, match="a plugin's middleware: OSError: m"):
        await host.start()
    assert host.statuses["p"].state == "stopped"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "made-up"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "https://trusted.example"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://other.example"}, False),
    ],
)
async def test_what_other_sites_send_changes_nothing(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, headers: dict[str, str], allowed: bool
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    code = """
    from buntime_host import noticed_of, refuse_foreign
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    async def take(request):
        refuse_foreign(request.scope)
        return JSONResponse({"foreign": noticed_of(request.scope).foreign})
    @hookimpl
    def routes():
        return [Route("/take", take)]
    """
    add_plugin("taking", code, base="/taking")
    async with make_host({"trustedOrigins": ["https://trusted.example"]}) as host:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = await call(host, method, "/kv/a", headers)
            assert answer.status == (200 if allowed else 403)
        for method in ("GET", "HEAD", "OPTIONS"):
            assert (await call(host, method, "/kv/a", headers)).status == 200
        answer = await call(host, "GET", "/taking/take", headers)
        assert answer.status == (200 if allowed else 403)
        if not allowed:
            assert answer.code == "ORIGIN_NOT_ALLOWED"


async def test_what_is_uncommon_is_noticed(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    code = """
    from buntime_host import noticed_of
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    async def tell(request):
        noticed = noticed_of(request.scope)
        return JSONResponse([noticed.unasked_body, noticed.precondition, noticed.foreign])
    @hookimpl
    def routes():
        return [Route("/tell", tell, methods=["GET", "PUT"])]
    """
    add_plugin("telling", code, base="/telling")
    async with make_host() as host:

        async def told(method: str, headers: dict[str, str], body: Any = b"") -> Any:
            return (await call(host, method, "/telling/tell", headers, body)).json

        assert await told("GET", {}) == [False, None, False]
        assert await told("PUT", {}, b"x") == [False, None, False]
        assert await told("GET", {}, b"x") == [True, None, False]
        assert await told("GET", {}, [b"x"]) == [True, None, False]
        assert await told("GET", {"content-length": "0"}) == [False, None, False]
        assert await told("PUT", {"if-match": "*"}) == [False, "If-Match", False]
        assert await told("GET", {"if-none-match": "*"}) == [False, "If-None-Match", False]
        assert await told("GET", {"origin": "null"}) == [False, None, True]

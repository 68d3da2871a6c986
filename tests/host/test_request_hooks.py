from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

APP = """
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
async def echo(request):
    return JSONResponse({
        "body": (await request.body()).decode(),
        "user": request.headers.get("x-identity"),
        "path": request.url.path,
    })
async def stream(request):
    async def parts():
        for part in (b"a", b"b", b"c"):
            yield part
    return StreamingResponse(parts())
async def missing(request):
    from buntime_host import NotFound
    raise NotFound
@hookimpl
def routes():
    return [Route("/echo", echo, methods=["GET", "POST"]), Route("/stream", stream),
            Route("/missing", missing)]
"""
PRELUDE = """
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
"""


async def test_on_request_may_pass_answer_and_replace(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("app", APP, base="/app", version="1.2.3", n=1)
    code = """
    @hookimpl
    async def on_request(request, app):
        if request.url.path == "/moved":
            scope = {**request.scope, "path": "/app/echo", "raw_path": b"/app/echo"}
            return Request(scope, request.receive)
        if app is None:
            return PlainTextResponse("mine", 203)
        assert (app.name, app.plugin, app.version, app.config["n"]) == ("app", "app", "1.2.3", 1)
        if request.method == "POST":
            MutableHeaders(scope=request.scope)["x-identity"] = (await request.body()).decode()
    """
    add_plugin("hooks", PRELUDE + _dedent(code))
    async with make_host() as host:
        answer = await call(host, "POST", "/app/echo", {"x-identity": "evil"}, body=b"ann")
        assert answer.json == {"body": "ann", "user": "ann", "path": "/app/echo"}
        assert (await call(host, path="/app/echo")).json["user"] is None
        answer = await call(host, path="/elsewhere")
        assert (answer.status, answer.body) == (203, b"mine")
        assert "x-request-id" in answer.headers
        assert (await call(host, "POST", "/moved", body=b"x")).json["body"] == "x"
        assert (await call(host, path="/health")).status == 200


async def test_hooks_run_in_load_order_unless_they_ask_otherwise(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    code = """
    @hookimpl(MARK)
    def on_request(request):
        MutableHeaders(scope=request.scope).append("x-seen", "NAME")
    @hookimpl
    def on_response(response):
        response.headers.append("x-order", response.headers.get("x-order", "") + "NAME")
        del response.headers["x-order"]
        response.headers["x-last"] = "NAME"
    """
    for name, mark in (("a", ""), ("b", "trylast=True"), ("c", ""), ("d", "tryfirst=True")):
        text = _dedent(code).replace("NAME", name).replace("MARK", mark)
        add_plugin(name, PRELUDE + text)
    add_plugin("app", APP, base="/app")
    async with make_host() as host:
        answer = await call(host, path="/app/echo")
    seen = [v.decode() for k, v in answer.scope["headers"] if k == b"x-seen"]
    assert seen == ["d", "a", "c", "b"]
    assert answer.headers["x-last"] == "d"


async def test_on_request_that_raises_is_503_or_let_pass_when_allowed(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("app", APP, base="/app")
    add_plugin("h", "@hookimpl\ndef on_request(request):\n    raise OSError('x')")
    async with make_host() as host:
        answer = await call(host, path="/app/echo")
        assert (answer.status, answer.code) == (503, "PLUGIN_ONREQUEST_FAILED")
        assert (await call(host, path="/health")).status == 200
    async with make_host({"plugins": ["app", ["h", {"onRequestFailOpen": True}]]}) as host:
        assert (await call(host, path="/app/echo")).status == 200


async def test_the_master_key_skips_on_request(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("app", APP, base="/app")
    add_plugin("h", PRELUDE + "@hookimpl\ndef on_request():\n    return PlainTextResponse('', 401)")
    async with make_host(RUNTIME_MASTER_KEY="k") as host:
        assert (await call(host, path="/app/echo")).status == 401
        assert (await call(host, path="/app/echo", headers={"x-api-key": "z"})).status == 401
        assert (await call(host, path="/app/echo", headers={"x-api-key": "k"})).status == 200


async def test_on_response_changes_head_and_streams_the_body(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("app", APP, base="/app")
    code = """
    @hookimpl
    async def on_response(response, app, request):
        response.headers["x-app"] = app.name + request.url.path
        response.status_code = 299 if response.status_code == 200 else response.status_code
    """
    add_plugin("h", _dedent(code))
    async with make_host() as host:
        answer = await call(host, path="/app/stream")
        assert (answer.status, answer.body) == (299, b"abc")
        assert answer.headers["x-app"] == "app/app/stream"
        missing = await call(host, path="/app/missing")
        assert (missing.code, missing.headers["x-app"]) == ("NOT_FOUND", "app/app/missing")
        assert "x-app" not in (await call(host, path="/none")).headers
        assert "x-app" not in (await call(host, path="/health")).headers


async def test_on_response_may_replace_and_may_fail(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("app", APP, base="/app")
    replace = """
    @hookimpl
    def on_response(response):
        return PlainTextResponse("new", 201)
    """
    fail = """
    @hookimpl
    def on_response(response):
        response.headers["x-half"] = "1"
        response.status_code = 500
        raise OSError("h")
    """
    add_plugin("replace", PRELUDE + _dedent(replace))
    add_plugin("fail", PRELUDE + _dedent(fail))
    async with make_host() as host:
        answer = await call(host, path="/app/stream")
    assert (answer.status, answer.body) == (201, b"new")
    assert "x-half" not in answer.headers
    assert "on_response of fail failed" in caplog.messages


async def test_bodies_are_limited_before_hooks_read_them(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("app", APP, base="/app", maxBodySize=3)
    add_plugin("h", "@hookimpl\nasync def on_request(request):\n    await request.body()")
    async with make_host() as host:
        assert (await call(host, "POST", "/app/echo", body=[b"ab", b"c"])).json["body"] == "abc"
        answer = await call(host, "POST", "/app/echo", body=[b"ab", b"cd"])
        assert answer.status == 413


def _dedent(code: str) -> str:
    from textwrap import dedent

    return dedent(code)

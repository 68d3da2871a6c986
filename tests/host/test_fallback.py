"""`fallback()`: what serves the paths that are below no plugin's base."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from buntime_host.plugins.fallback import Fallback

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

FALLBACK = """
from buntime_host import Fallback, NotFound
from starlette.requests import Request
from starlette.responses import JSONResponse

async def serve(scope, receive, send):
    if scope["path"].startswith("/no"):
        raise NotFound
    request = Request(scope, receive)
    body = await request.body()
    await JSONResponse({
        "path": scope["path"], "raw": scope["raw_path"].decode(), "root": scope["root_path"],
        "length": len(body), "encoding": request.headers.get("content-encoding"),
    })(scope, receive, send)

def is_public(method, path):
    return method == "GET" and path.startswith(b"/open")

@hookimpl
def fallback():
    return Fallback(serve, is_public)
"""
SMALL = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route

@hookimpl
def on_init(ctx):
    global mounted_at
    mounted_at = ctx.mounted_at

async def whose(request):
    return PlainTextResponse(str(mounted_at(request.query_params["path"])))

@hookimpl
def routes():
    return [Route("/whose", whose)]
"""


async def test_it_gets_what_has_no_base(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("rest", FALLBACK, base="/rest", maxBodySize="1kb")
    add_plugin("small", SMALL, base="/small")
    async with make_host() as host:
        answer = await call(host, path="/a%2Fb/c?d")
        assert answer.json == {
            "path": "/a/b/c", "raw": "/a%2Fb/c", "root": "", "length": 0, "encoding": None,
        }  # fmt: skip
        for path in ("//small/x", "/small%2Fx", "/smallx", "/restx/y", "/%2Fx"):
            assert (await call(host, path=path)).json["raw"] == path
        for path in ("/small/x", "/%73mall/x", "/no", "/api/x"):
            assert (await call(host, path=path)).code == "NOT_FOUND"
        assert (await call(host, path="/health")).status == 200
        # Bodies come as they were sent, within the limit of the plugin.
        body = gzip.compress(b"x" * 5000)
        headers = {"content-encoding": "gzip"}
        told = (await call(host, "POST", "/x", headers, body)).json
        assert (told["length"], told["encoding"]) == (len(body), "gzip")
        told = (await call(host, "POST", "/x", {"content-encoding": "br"}, [b"ab", b"c"])).json
        assert (told["length"], told["encoding"]) == (3, "br")
        assert (await call(host, "POST", "/x", {}, b"x" * 1025)).code == "PAYLOAD_TOO_LARGE"
        assert (await call(host, "POST", "/x", {}, [b"x" * 1025])).code == "PAYLOAD_TOO_LARGE"


async def test_plugins_learn_whose_a_path_is(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("rest", FALLBACK)
    add_plugin("small", SMALL, base="/small")
    async with make_host() as host:
        for path, whose in (
            ("/small/x", "small"),
            ("/small", "small"),
            ("/%2573mall", "small"),
            ("/health", "host"),
            ("/", "host"),
            ("/else", "None"),
            ("//small", "None"),
        ):
            assert (await call(host, path=f"/small/whose?path={path}")).body.decode() == whose


async def test_hooks_see_for_whom_it_is(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("rest", FALLBACK)
    code = """
    @hookimpl
    def on_response(response, app, request):
        response.headers["x-seen"] = app.plugin
    """
    add_plugin("hooks", code)
    async with make_host() as host:
        assert (await call(host, path="/x")).headers["x-seen"] == "rest"
        assert (await call(host, path="/no")).headers["x-seen"] == "rest"


async def test_it_says_what_is_public(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("rest", FALLBACK)
    async with make_host({"masterKey": "m" * 32}) as host:
        assert (await call(host, path="/open/x")).status == 200
        assert (await call(host, "POST", "/open/x")).code == "AUTH_REQUIRED"
        assert (await call(host, path="/x")).code == "AUTH_REQUIRED"
        assert (await call(host, path="/x", headers={"x-api-key": "m" * 32})).status == 200


async def test_one_plugin_has_it(add_plugin: AddPlugin, make_host: MakeHost, call: Call) -> None:
    add_plugin("a", FALLBACK)
    add_plugin("b", FALLBACK)
    add_plugin("c", "@hookimpl\ndef fallback():\n    return 5\n")
    add_plugin("d", "@hookimpl\nasync def fallback():\n    return None\n")
    async with make_host() as host:
        reasons = {status.name: status.reason for status in host.statuses.values()}
        assert reasons["b"] == "fallback() is that of a already, and only one can have it"
        assert reasons["c"] == "fallback() must return a Fallback"
        assert host.statuses["d"].state == "loaded"
        assert (await call(host, path="/x")).status == 200


def test_nothing_is_public_unless_it_is_said() -> None:
    async def serve(scope: object, receive: object, send: object) -> None: ...

    assert not Fallback(serve).has("GET", b"/")

"""What pages of other origins are told: preflights, answers, errors, streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from buntime_host.config import parse_config
from buntime_host.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from host.conftest import AddPlugin, Call, MakeHost

PAGE = "https://app.example.com"
TRUSTING = {"trustedOrigins": [PAGE], "bodySize": {"default": "10kb"}}

APP = """
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from buntime_host import Forbidden
async def ok(request):
    return JSONResponse({}, headers={"access-control-allow-origin": "*", "x-own": "1"})
async def forbidden(request):
    raise Forbidden("not you")
async def boom(request):
    raise RuntimeError("secret")
async def stream(request):
    async def events():
        yield "data: 1\\n\\n"
    return StreamingResponse(events(), media_type="text/event-stream")
@hookimpl
def routes():
    return [Route("/ok", ok, methods=["GET", "PUT"]), Route("/forbidden", forbidden),
            Route("/boom", boom), Route("/stream", stream)]
"""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/kv/ok", 200),
        ("PUT", "/kv/ok", 200),
        ("GET", "/kv/forbidden", 403),
        ("GET", "/kv/boom", 500),
        ("GET", "/kv/nothing", 404),
        ("DELETE", "/kv/ok", 405),
        ("GET", "/kv/stream", 200),
        ("GET", "/elsewhere", 404),
        ("GET", "/health", 200),
        ("GET", "/api/plugins", 200),
    ],
)
async def test_every_answer_names_the_trusted_origin(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, method: str, path: str, status: int
) -> None:
    add_plugin("kv", APP, base="/kv")
    async with make_host(TRUSTING) as host:
        answer = await call(host, method, path, headers={"Origin": PAGE})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "origin"


async def test_a_body_that_is_too_large_is_readable_as_an_error(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", APP, base="/kv")
    async with make_host(TRUSTING) as host:
        answer = await call(host, "PUT", "/kv/ok", headers={"Origin": PAGE}, body=b"x" * 20_000)
        assert answer.status == 413
        assert answer.headers["access-control-allow-origin"] == PAGE


async def test_a_preflight_allows_what_the_page_asks_for(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", APP, base="/kv")
    asks = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,idempotency-key,last-event-id",
        "Access-Control-Request-Private-Network": "true",
    }
    async with make_host(TRUSTING) as host:
        for path in ("/kv/ok", "/kv/stream", "/api/plugins", "/elsewhere"):
            answer = await call(host, "OPTIONS", path, headers=asks)
            assert answer.status == 204
            assert answer.body == b""
            said = answer.headers
            assert said["access-control-allow-origin"] == PAGE
            assert said["access-control-allow-methods"] == "PUT"
            allowed = said["access-control-allow-headers"]
            assert allowed == "content-type,idempotency-key,last-event-id"
            assert said["access-control-allow-private-network"] == "true"
            assert said["access-control-max-age"] == "600"
            assert "x-request-id" in said
        plain = await call(host, "OPTIONS", "/kv/ok", headers={"Origin": PAGE})
        assert plain.status == 405  # no preflight: the plugin's own matter


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", "null"])
async def test_other_origins_are_told_nothing(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, origin: str
) -> None:
    add_plugin("kv", APP, base="/kv")
    asks = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    async with make_host(TRUSTING) as host:
        for method in ("GET", "OPTIONS"):
            answer = await call(host, method, "/kv/stream", headers=asks)
            named = [name for name in answer.headers if name.startswith("access-control")]
            assert named == []
            assert answer.headers["vary"] == "origin"


async def test_without_trusted_origins_nothing_is_added(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", APP, base="/kv")
    async with make_host() as host:
        answer = await call(host, path="/kv/ok", headers={"Origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == "*"  # the plugin's own word
        assert "vary" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["*", "app.example.com", "https://app.example.com/path", "https://ü.example", "null", ""],
)
def test_what_is_no_origin_is_refused_at_the_start(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ConfigError, match=r"trustedOrigins: .* is not an origin"):
        parse_config({"trustedOrigins": [origin]}, tmp_path, environ={})

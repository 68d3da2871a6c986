"""A host below a path: `basePath`, and prefixes that proxies have taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from buntime_host import ConfigError
from buntime_host.config import parse_config
from host.test_dispatch import ECHO

if TYPE_CHECKING:
    from pathlib import Path

    from host.conftest import AddPlugin, Call, MakeHost

STORE = {"basePath": "/store"}
TAKEN = {"x-forwarded-prefix": "/shop"}
PAGE = """
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    @hookimpl
    def routes():
        return [Route("/seen", lambda request: PlainTextResponse(request.url.query))]
"""


async def test_everything_is_below_the_base_path(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    async with make_host(STORE) as host:
        for sent, path, raw in (
            ("/store/kv/a%2Fb", "/store/kv/a/b", "/store/kv/a%2Fb"),
            ("/store/kv", "/store/kv/", "/store/kv/"),
            ("/store/%6Bv/a", "/store/kv/a", "/store/kv/a"),
        ):
            seen = (await call(host, path=sent)).json
            assert (seen["path"], seen["raw"], seen["root"]) == (path, raw, "/store/kv")
        assert (await call(host, path="/store/health")).status == 200
        for path in ("/kv/a", "/health", "/", "/storekv/a", "/st%6Fre/kv/a", "/store%2Fkv/a"):
            refused = await call(host, path=path)
            assert (refused.status, refused.code) == (404, "NOT_FOUND")
            assert "below /store (basePath)" in refused.json["error"]
        assert "basePath" not in (await call(host, path="/store/none")).json["error"]


async def test_requests_are_told_of_as_they_are_sent_and_counted_by_what_serves_them(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("page", PAGE, base="/page")
    caplog.set_level("INFO", "access")
    async with make_host({**STORE, "observe": {"accessLog": "json"}}) as host:
        for path in ("/store/page/seen", "/page/seen"):
            await call(host, path=path)
    told = [record.getMessage() for record in caplog.records if record.name == "access"]
    assert [(line["path"], line["route"]) for line in map(json.loads, told)] == [
        ("/store/page/seen", "/page/seen"),
        ("/page/seen", "(none)"),
    ]


async def test_what_names_paths_names_them_as_they_are_seen(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    folder = add_plugin("p", PAGE, base="/p", entrypoint="index.html")
    (folder / "index.html").write_text("<html><head></head></html>")
    for config, headers, root in (
        ({}, {}, ""),
        (STORE, {}, "/store"),
        ({}, TAKEN, "/shop"),
        (STORE, TAKEN, "/shop/store"),
    ):
        at = config.get("basePath", "")
        async with make_host(config) as host:
            bare = await call(host, "GET", f"{at}/p?a=1", headers)
            assert (bare.status, bare.headers["location"]) == (308, f"{root}/p/?a=1")
            document = (await call(host, "GET", f"{at}/api/openapi.json", headers)).json
            assert document["servers"] == [{"url": root or "/"}]
            assert "/p/seen" in document["paths"]
            viewer = await call(host, "GET", f"{at}/api/docs", headers)
            assert f'<base href="{root}/api/">' in viewer.body.decode()
        async with make_host({**config, "homepage": "/p/"}) as host:
            home = await call(host, "GET", f"{at}/", headers)
            assert home.headers["location"] == f"{root}/p/"


async def test_the_page_of_the_host_ends_with_a_slash(make_host: MakeHost, call: Call) -> None:
    async with make_host(STORE) as host:
        bare = await call(host, "GET", "/store", {"accept": "text/html"})
        assert (bare.status, bare.headers["location"]) == (308, "/store/")
        assert (await call(host, "GET", "/store/", {"accept": "text/html"})).status == 200


async def test_sessions_and_tickets_below_a_path(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("p", PAGE, base="/p")
    key = {"x-api-key": "master"}
    async with make_host(STORE, RUNTIME_MASTER_KEY="master") as host:
        opened = await call(host, "POST", "/store/api/admin/session", {**key, **TAKEN}, b"{}")
        assert "; Path=/shop/store;" in opened.headers["set-cookie"]
        for path in ("/p/seen", "/store/p/seen"):  # as the host has it, as the browser has it
            made = await call(
                host, "POST", "/store/api/admin/tickets", key, b'{"path": "%s"}' % path.encode()
            )
            ticket = made.json["data"]["ticket"]
            stream = {"accept": "text/event-stream"}
            used = await call(host, "GET", f"/store/p/seen?ticket={ticket}&x=1", stream)
            assert (used.status, used.body) == (200, b"x=1")


async def test_only_proxies_say_what_was_taken_away(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("kv", ECHO, base="/kv")
    async with make_host({"trustedProxies": ["10.0.0.0/8"]}) as host:
        assert (await call(host, "GET", "/kv/a", TAKEN)).json["root"] == "/kv"
    async with make_host() as host:
        assert (await call(host, "GET", "/kv/a", TAKEN)).json["path"] == "/shop/kv/a"
        assert (await call(host, "GET", "/kv/a", {"x-forwarded-prefix": "/"})).json["root"] == "/kv"
        for wrong in ("shop", "//evil.example", "/a/../b", "/a, /b", "/a b"):
            refused = await call(host, "GET", "/kv/a", {"x-forwarded-prefix": wrong})
            assert refused.status == 400
            assert "X-Forwarded-Prefix" in refused.json["error"]


@pytest.mark.parametrize(
    ("given", "path"), [("", ""), ("/", ""), ("/store/", "/store"), ("/a/b.c", "/a/b.c")]
)
def test_base_paths(tmp_path: Path, given: str, path: str) -> None:
    assert parse_config({"basePath": given}, tmp_path, environ={}).base_path == path


@pytest.mark.parametrize("wrong", ["store", "/a b", "/..", "//a", "/a%2Fb", "http://a/b"])
def test_what_is_no_base_path(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="basePath: must be a path such as"):
        parse_config({"basePath": wrong}, tmp_path, environ={})

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

PAGE = "<!doctype html><html><head lang=en><title>x</title></head><body></body></html>"
HTML = {"Accept": "text/html"}
ROUTES = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route
async def ok(request):
    return PlainTextResponse("route")
@hookimpl
def routes():
    return [Route("/api/keys", ok, methods=["GET", "POST"])]
"""
OPAQUE = """
@hookimpl
def routes():
    return app
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"app " + scope["path"].encode()})
"""


@pytest.fixture
def ui(add_plugin: AddPlugin) -> Path:
    folder = add_plugin("ui", ROUTES, base="/ui", entrypoint="client/index.html")
    client = folder / "client"
    (client / "assets").mkdir(parents=True)
    (client / "index.html").write_text(PAGE)
    (client / "assets" / "app.js").write_text("code()")
    (folder / "secret.txt").write_text("secret")
    (client / "link.txt").symlink_to(folder / "secret.txt")
    return folder


async def test_files_and_the_page_for_its_own_links(
    ui: Path, make_host: MakeHost, call: Call
) -> None:
    async with make_host() as host:
        page = await call(host, path="/ui/", headers=HTML)
        assert (page.status, page.body.decode()) == (200, PAGE)
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert (await call(host, path="/ui/")).status == 200
        script = await call(host, path="/ui/assets/app.js")
        assert script.body == b"code()"
        assert script.headers["content-type"].startswith(("text/javascript", "application/javasc"))
        assert "cache-control" not in script.headers
        again = await call(
            host, path="/ui/assets/app.js", headers={"If-None-Match": script.headers["etag"]}
        )
        assert again.status == 304
        deep = await call(host, path="/ui/entries/7", headers=HTML)
        assert (deep.status, deep.body.decode()) == (200, PAGE)
        assert (await call(host, "HEAD", "/ui/assets/app.js")).status == 200


async def test_what_is_not_the_page(ui: Path, make_host: MakeHost, call: Call) -> None:
    async with make_host() as host:
        assert (await call(host, path="/ui/assets/gone.js")).code == "NOT_FOUND"
        for path in ("/ui/api", "/ui/api/", "/ui/api/none"):
            assert (await call(host, path=path, headers=HTML)).code == "NOT_FOUND"
        assert (await call(host, path="/ui/api/keys")).body == b"route"
        denied = await call(host, "POST", "/ui/entries/7", headers=HTML)
        assert (denied.code, denied.headers["allow"]) == ("METHOD_NOT_ALLOWED", "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/ui/../secret.txt", "/ui/%2e%2e/secret.txt", "/ui/link.txt", "/ui/..%2fsecret.txt",
             "/ui//etc/passwd", "/ui/%00"]
)  # fmt: skip
async def test_nothing_outside_the_folder(
    ui: Path, make_host: MakeHost, call: Call, path: str
) -> None:
    async with make_host() as host:
        answer = await call(host, path=path)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_the_bare_base_goes_to_the_page(ui: Path, make_host: MakeHost, call: Call) -> None:
    async with make_host() as host:
        for method in ("GET", "HEAD"):
            answer = await call(host, method, "/ui?tab=1")
            assert (answer.status, answer.headers["location"]) == (308, "/ui/?tab=1")
        assert (await call(host, "POST", "/ui")).code == "METHOD_NOT_ALLOWED"


async def test_base_and_environment_are_put_into_the_page(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    env = {"PUBLIC_A": "</script>", "SECRET": "s", "VITE_B": 1}
    folder = add_plugin("ui", base="/ui", entrypoint="index.html", injectBase=True, env=env)
    (folder / "index.html").write_text(PAGE)
    async with make_host() as host:
        for path in ("/ui/", "/ui/index.html", "/ui/deep/link"):
            text = (await call(host, path=path, headers=HTML)).body.decode()
            assert '<head lang=en><base href="/ui/"><title>' in text
            assert (
                '<script>window.__env__={"PUBLIC_A":"\\u003c/script>","VITE_B":"1"}</script></head>'
                in text
            )
            assert "SECRET" not in text


async def test_a_page_beside_an_application(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    folder = add_plugin("ui", OPAQUE, base="/ui", entrypoint="index.html")
    (folder / "index.html").write_text(PAGE)
    async with make_host() as host:
        assert (await call(host, path="/ui/api/x")).body == b"app /ui/api/x"
        assert (await call(host, "POST", "/ui/x")).body == b"app /ui/x"
        assert (await call(host, "POST", "/ui")).body == b"app /ui/"
        assert (await call(host, path="/ui")).status == 308
        assert (await call(host, path="/ui/x", headers=HTML)).body.decode() == PAGE


@pytest.mark.parametrize("entrypoint", ["gone.html", "../x/manifest.html", "worker.ts"])
async def test_a_bad_entrypoint_fails_the_plugin(
    add_plugin: AddPlugin, make_host: MakeHost, entrypoint: str
) -> None:
    add_plugin("ui", "", base="/ui", entrypoint=entrypoint)
    add_plugin("other")
    async with make_host() as host:
        assert "entrypoint" in (host.statuses["ui"].reason or "")

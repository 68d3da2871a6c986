"""The page at `/`, the files that pages share, and the policy of both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from buntime_host.access.public import PublicRoutes
from buntime_host.pages.shared import FOLDER, POLICY

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

HTML = {"Accept": "text/html,*/*"}
SHARED = "/.well-known/buntime/ui"
PAGE = "<!doctype html><html><head></head><body></body></html>"


async def test_browsers_get_a_page_with_links(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    below = [{"title": "<b>Inner</b>", "path": '/a/"x"'}]
    menus = [
        {"title": "A & B", "path": "/a", "items": below},
        {"title": "Away", "path": "//elsewhere.test/"},
        {"title": "Script", "path": "javascript:alert(1)"},
    ]
    add_plugin("a", base="/a", menus=menus)
    async with make_host() as host:
        answer = await call(host, path="/", headers=HTML)
    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert '<base href="./">' in text
    assert (
        '<ul><li><a href="a/">A &amp; B</a>'
        '<ul><li><a href="a/&quot;x&quot;">&lt;b&gt;Inner&lt;/b&gt;</a></li></ul></li>'
        "<li>Away</li><li>Script</li></ul>"
    ) in text


async def test_a_homepage_comes_first(make_host: MakeHost, call: Call) -> None:
    async with make_host({"homepage": "app"}) as host:
        answer = await call(host, path="/", headers=HTML)
        assert (answer.status, answer.headers["location"]) == (302, "/app")


async def test_shared_files_are_public_and_strict(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_MASTER_KEY="m" * 20) as host:
        script = await call(host, path=f"{SHARED}/dom.js")
        assert script.body == (FOLDER / "dom.js").read_bytes()
        assert script.headers["content-type"].startswith("text/javascript")
        assert script.headers["content-security-policy"] == POLICY
        assert script.headers["cache-control"] == "no-cache"
        asked_again = {"If-None-Match": script.headers["etag"]}
        assert (await call(host, path=f"{SHARED}/dom.js", headers=asked_again)).status == 304
        assert (await call(host, "POST", f"{SHARED}/dom.js")).code == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    "name", ["none.js", "index.html", "../pages.py", "%2e%2e%2fpages.py", "", "x/dom.js", "%00.js"]
)
async def test_nothing_but_shared_files(make_host: MakeHost, call: Call, name: str) -> None:
    async with make_host() as host:
        answer = await call(host, path=f"{SHARED}/{name}", headers=HTML)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_a_strict_page(add_plugin: AddPlugin, make_host: MakeHost, call: Call) -> None:
    folder = add_plugin("ui", base="/ui", entrypoint="index.html", injectBase=True, strictPage=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "app.js").write_text("code()")
    bases = {"/ui/": "./", "/ui/deep": "./", "/ui/deep/7": "../"}
    async with make_host() as host:
        for path, base in bases.items():
            page = await call(host, path=path, headers=HTML)
            assert f'<base href="{base}">' in page.body.decode(), path
        for path in ("/ui/", "/ui/deep", "/ui/app.js"):
            answer = await call(host, path=path, headers=HTML)
            assert answer.headers["content-security-policy"] == POLICY, path
            assert answer.headers["cache-control"] == "no-cache", path


async def test_a_module_has_a_page_around_it(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    menus = [{"title": "<Entries>", "path": "/ui"}]
    folder = add_plugin("ui", base="/ui", entrypoint="client/app.js", menus=menus)
    modules = {
        "app.js": 'import { h } from "../.well-known/buntime/ui/dom.js";\n'
        'import {\n  one,\n} from "./parts/one.js";\nimport "./last.js";\n'
        '/** @type {import("./types.js").Type} */\nconst later = () => import("./seen.js");\n',
        "parts/one.js": "export { two } from '../two.js';\nexport const one = 1;\n",
        "two.js": 'import { one } from "./parts/one.js";\nexport const two = "./none.js";\n',
        "seen.js": 'import { three } from "./three.js";\n',
        "three.js": "export const three = 3;\n",
        "last.js": "",
    }
    for name, text in modules.items():
        (folder / "client" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "client" / name).write_text(text)
    always = ["../.well-known/buntime/ui/dom.js", "parts/one.js", "last.js", "two.js"]
    async with make_host() as host:
        for path, base, modules_of_view in (
            ("/ui/", "./", []),
            ("/ui/seen", "./", ["seen.js", "three.js"]),
            ("/ui/app", "./", []),
            (f"/ui/{'x' * 300}", "./", []),
            ("/ui/deep/seen", "../", ["seen.js", "three.js"]),
        ):
            page = await call(host, path=path, headers=HTML)
            assert page.headers["content-security-policy"] == POLICY
            text = page.body.decode()
            assert f'<base href="{base}">' in text
            assert "<title>&lt;Entries&gt; · Buntime</title>" in text
            assert '<script type="module" src="app.js"></script>' in text
            preloaded = re.findall('<link rel="modulepreload" href="(.*?)">', text)
            assert preloaded == [*always, *modules_of_view], path
        script = await call(host, path="/ui/app.js", headers=HTML)
        assert script.body.decode() == modules["app.js"]


async def test_a_strict_page_has_no_env(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    more = {"strictPage": True, "env": {"PUBLIC_A": "1"}}
    add_plugin("other")
    folder = add_plugin("ui", base="/ui", entrypoint="index.html", **more)
    (folder / "index.html").write_text(PAGE)
    async with make_host() as host:
        assert "strictPage" in (host.statuses["ui"].reason or "")


async def test_menus_follow_the_base(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    items = [{"title": "Inner", "path": "/a/inner"}, {"title": "Other", "path": "/ab"}]
    add_plugin("a", base="/a", menus=[{"title": "A", "path": "/a", "items": items}])
    async with make_host({"plugins": [["a", {"base": "/z"}]]}) as host:
        moved = [{"title": "Inner", "path": "/z/inner"}, {"title": "Other", "path": "/ab"}]
        assert list(host.statuses["a"].menus) == [{"title": "A", "path": "/z", "items": moved}]


def test_the_bare_base_is_as_public_as_what_it_leads_to() -> None:
    routes = PublicRoutes({"GET": ["/*"]}, "/ui")
    assert routes.has("GET", b"/ui")
    assert routes.has("GET", b"/ui/")
    assert not routes.has("GET", b"/ui/api/x")
    assert not routes.has("POST", b"/ui")

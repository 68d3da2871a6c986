"""What a server says, names, values and errors, is text on every page and never a part of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect
from support.live import LiveServer, live_server
from support.pages import SHARED, folders_of_pages

MARKUP = '<img src=x onerror="document.title=1">'
GATEWAY = {"rateLimit": {"requests": 100_000, "window": "1d"}, "cache": {"paths": "/keyval/**"}}
RULE = {"pattern": "^/fixed", "target": "http://127.0.0.1:9", "name": "fixed"}
DATABASE = {"adapters": [{"type": "sqlite", "baseDir": "data"}], "api": {"write": True}}
PLUGINS = [
    ["@buntime/plugin-database", DATABASE],
    "@buntime/plugin-keyval",
    ["@buntime/plugin-gateway", GATEWAY],
    ["@buntime/plugin-proxy", {"rules": [RULE]}],
]
HOST_PAGES = ".well-known/buntime/ui/pages"
ADDRESSES = {"proxy": "redirects"}
"""Where plugins are whose base is not their name."""

ASKED = {
    "keyval/entries": "prefix=seen",
    "keyval/entry": "key=seen/1",
    "keyval/queue": "queue=mail",
    "keyval/task": "id=t-1",
    "keyval/consumer": "name=mailer",
    "keyval/search": "prefix=seen&query=word&explain=true",
    "database/studio": "adapter=sqlite&table=people",
}
"""The query of a view that shows nothing without one."""

SILENT = {
    "keyval/", "keyval/atomic", "keyval/metrics", "keyval/watch", "database/console",
    "gateway/answers", "gateway/shell", f"{HOST_PAGES}/keys", f"{HOST_PAGES}/trail",
}  # fmt: skip
"""Views that have no text of the server as they are opened here: numbers, or what is typed."""

_PATH = re.compile(r'\{ path: "([a-z]*)", title:')
_KEPT = {"__type", "api", "adapter", "grant", "type", "versionstamp"}
"""Members that pages go by, and that nobody has a say in."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("markup"), {"plugins": PLUGINS}) as running:
        fill(running)
        yield running


def fill(server: LiveServer) -> None:
    """Store something for every page to show."""
    with httpx2.Client(base_url=server.api) as api:
        calls: list[tuple[str, str, Any]] = [
            ("PUT", "/consumers/mailer/position", {"seq": 0}),
            ("PUT", "/keys/seen/1?type=note", {"text": "a word"}),
            ("POST", "/indexes", {"prefix": ["seen"], "fields": ["text"]}),
            ("POST", "/queue/enqueue", {"value": 1, "options": {"queue": "mail"}}),
            ("POST", "/tasks", {"name": "print", "id": "t-1", "payload": {"a": "b"}}),
            ("PUT", "/schedules/nightly", {"cron": "0 3 * * *", "task": {"name": "report"}}),
            ("POST", "/locks/door/acquire", {"owner": "me", "duration": "5m"}),
        ]
        for method, path, body in calls:
            answer = api.request(method, path, json=body)
            assert answer.is_success, (path, answer.text)
    sql = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT DEFAULT 'nobody')"
    for statement in (sql, "INSERT INTO people (name) VALUES ('Ada')"):
        run = {"sql": statement}
        assert httpx2.post(f"{server.url}/database/api/execute", json=run).is_success


def views() -> list[str]:
    """The addresses of all views of all pages."""
    folders = {ADDRESSES.get(name, name): path for name, path in folders_of_pages().items()}
    found = [f"{base}/{path}" for base, it in folders.items() for path in paths(it / "app.js")]
    return [*found, "", *(f"{HOST_PAGES}/{path}" for path in paths(SHARED / "admin.js"))]


def paths(script: Path) -> list[str]:
    return _PATH.findall(script.read_text("utf-8"))


def marked(said: Any) -> Any:
    """The same with markup behind every text."""
    if isinstance(said, str):
        return said + MARKUP
    if isinstance(said, list):
        return [marked(item) for item in said]
    if isinstance(said, dict):
        return {name: value if name in _KEPT else marked(value) for name, value in said.items()}
    return said


def answer_with_markup(route: Route) -> None:
    if route.request.headers.get("accept") == "text/event-stream":
        route.continue_()  # which ends with the page
        return
    answer = route.fetch()
    if not answer.headers.get("content-type", "").startswith("application/json"):
        route.fulfill(response=answer)
        return
    route.fulfill(response=answer, body=json.dumps(marked(answer.json())))


def test_all_that_is_said_is_text(page: Page, server: LiveServer) -> None:
    page.route(re.compile(r"/api/"), answer_with_markup)
    for view in views():
        page.goto(f"{server.url}/{view}?{ASKED.get(view, '')}")
        expect(page.locator("main h1, main h2").first).to_be_visible()
        expect(page.locator("main[aria-busy]")).to_have_count(0)
        if view not in SILENT:
            expect(page.locator("main"), view).to_contain_text("<img src=x")
        assert page.locator("img").count() == 0, view
        assert page.title() != "1", view


@pytest.mark.parametrize("base", ["keyval", "database", "gateway", "redirects", HOST_PAGES])
def test_so_is_what_goes_wrong(page: Page, server: LiveServer, base: str) -> None:
    refusal = {"error": MARKUP, "code": "INTERNAL_ERROR"}
    refused = re.compile(r"/api/(?!admin/session)")
    page.route(refused, lambda route: route.fulfill(status=502, json=refusal))
    page.goto(f"{server.url}/{base}/{'plugins' if base == HOST_PAGES else ''}")
    expect(page.get_by_text(MARKUP).first).to_be_visible()
    assert page.locator("img").count() == 0
    assert page.title() != "1"

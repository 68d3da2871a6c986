"""The page of redirects: rules, their order, their editor, and where a path leads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, expect
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.pages import violations, watched_page

MARKUP = "<img src=x onerror=alert(1)>"
CONFIG = {
    "plugins": [
        *DEFAULT_PLUGINS,
        [
            "@buntime/plugin-proxy",
            {"rules": [{"pattern": "^/fixed", "target": "http://127.0.0.1:9", "name": MARKUP}]},
        ],
    ]
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(tmp_path, CONFIG) as running:
        yield running


def patterns(server: LiveServer) -> list[str]:
    rules = httpx2.get(f"{server.url}/redirects/api/rules").json()
    return [rule["pattern"] for rule in rules]


def test_the_life_of_rules(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/redirects/")
    rows = page.get_by_role("region", name="Rules").get_by_role("row")
    expect(rows.nth(1)).to_contain_text(MARKUP)
    expect(rows.nth(1)).to_contain_text("of the configuration")
    expect(rows.nth(1).get_by_role("button")).to_have_count(0)
    page.get_by_role("button", name="New rule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Pattern").fill("^/shop(")
    dialog.get_by_label("Target", exact=True).fill("http://127.0.0.1:9/deep")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    assert violations(page) == []
    dialog.get_by_label("Pattern").fill("^/shop(/.*)$")
    dialog.get_by_label("Rewrite").fill("$1")
    dialog.get_by_label("Headers").fill("x-shop: a: b")
    dialog.get_by_label("Open to everybody").fill("GET /shop/open/*")
    dialog.get_by_label("Websockets pass").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(rows).to_have_count(3)
    rule = httpx2.get(f"{server.url}/redirects/api/rules").json()[1]
    assert (rule["headers"], rule["publicRoutes"]) == (
        {"x-shop": "a: b"},
        {"GET": ["/shop/open/*"]},
    )
    assert rule["ws"] is False

    page.get_by_role("textbox", name="Path").fill("/shop/open/1?a=b")
    page.get_by_role("button", name="Try").click()
    leads = page.get_by_role("region", name="Where a path leads")
    expect(leads).to_contain_text("http://127.0.0.1:9/deep/open/1?a=b")
    expect(leads).to_contain_text("open to everybody")
    page.get_by_role("textbox", name="Path").fill("/keyval/api/keys")
    page.get_by_role("button", name="Try").click()
    expect(leads).to_contain_text("@buntime/plugin-keyval")

    httpx2.post(
        f"{server.url}/redirects/api/rules", json={"pattern": "^/b", "target": "http://127.0.0.1:9"}
    )
    page.reload()
    page.get_by_role("button", name="Move ^/b up").click()
    expect(rows.nth(2)).to_contain_text("^/b")
    assert patterns(server) == ["^/fixed", "^/b", "^/shop(/.*)$"]
    rows.nth(2).get_by_role("checkbox").uncheck()
    expect(rows.nth(2).get_by_role("checkbox")).not_to_be_checked()
    page.get_by_role("button", name="Edit ^/b").click()
    dialog.get_by_label("Name", exact=True).fill("b")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Delete b").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(3)
    assert patterns(server) == ["^/fixed", "^/shop(/.*)$"]
    assert violations(page) == []
    assert page.locator("img").count() == 0


def test_who_may_read_changes_nothing(browser: Browser, tmp_path: Path) -> None:
    with (
        live_server(tmp_path, CONFIG, {"RUNTIME_MASTER_KEY": MASTER}) as server,
        watched_page(browser, viewport={"width": 390, "height": 800}) as page,
    ):
        made = httpx2.post(
            f"{server.url}/api/keys",
            headers={"x-api-key": MASTER},
            json={"name": "k", "permissions": ["proxy:read"]},
        )
        page.goto(f"{server.url}/redirects/")
        page.get_by_role("dialog").get_by_label("Key").fill(made.json()["data"]["key"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Rules")).to_contain_text("^/fixed")
        expect(page.get_by_role("button", name="New rule")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_rule_is_moved_on_by_pressing_on(page: Page, server: LiveServer) -> None:
    for path in ("a", "b", "c"):
        rule = {"pattern": f"^/{path}", "target": "http://127.0.0.1:9"}
        httpx2.post(f"{server.url}/redirects/api/rules", json=rule).raise_for_status()
    page.goto(f"{server.url}/redirects/")
    up = page.get_by_role("button", name="Move ^/c up")
    up.focus()
    page.keyboard.press("Enter")
    rows = page.get_by_role("region", name="Rules").get_by_role("row")
    expect(rows.nth(3)).to_contain_text("^/c")
    expect(up).to_be_focused()
    page.keyboard.press("Enter")
    expect(rows.nth(2)).to_contain_text("^/c")
    assert patterns(server) == ["^/fixed", "^/c", "^/a", "^/b"]
    expect(page.get_by_role("main")).to_be_focused()  # it cannot go further up

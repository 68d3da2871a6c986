"""The page of plugins, and what is in the navigation for whom."""

from __future__ import annotations

import httpx2
from pages.conftest import MASTER
from playwright.sync_api import Page, expect
from support.live import LiveServer
from support.pages import violations

PAGES = "/.well-known/buntime/ui/pages"


def sign_in(page: Page, server: LiveServer, *permissions: str) -> None:
    wanted = {"name": "k", "permissions": permissions}
    root = {"x-api-key": MASTER}
    made = httpx2.post(f"{server.url}/api/keys", json=wanted, headers=root).json()
    page.goto(f"{server.url}/health")
    key = {"key": made["data"]["key"]}
    assert page.request.post(f"{server.url}/api/admin/session", data=key).ok


def test_what_became_of_each(page: Page, open_server: LiveServer) -> None:
    page.goto(open_server.url)
    page.get_by_role("navigation").get_by_role("link", name="Plugins").click()
    row = page.get_by_role("row").filter(has_text="plugin-keyval")
    expect(row).to_contain_text("loaded")
    expect(row).to_contain_text("/keyval")
    assert violations(page) == []
    row.get_by_role("link").click()
    facts = page.locator("dl")
    expect(facts).to_contain_text("@buntime/plugin-database")
    expect(facts.get_by_role("link", name="/keyval")).to_be_visible()
    assert violations(page) == []
    page.go_back()
    expect(row).to_be_visible()
    page.goto(f"{open_server.url}{PAGES}/plugins?name=nobody")
    expect(page.get_by_text("There is no such plugin")).to_be_visible()


def test_the_navigation_has_what_a_key_permits(page: Page, closed_server: LiveServer) -> None:
    navigation = page.get_by_role("navigation")
    sign_in(page, closed_server, 'keyval:read:["team"]', "keyval:consume:mail-")
    page.goto(closed_server.url)
    expect(navigation.get_by_role("link")).to_have_text(
        ["Home", "KeyVal", "Entries", "Search", "Watch", "Atomic", "Streams", "Consumers"]
    )
    navigation.get_by_role("link", name="KeyVal").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Entries")


def test_keys_for_a_prefix_are_led_to_it(page: Page, closed_server: LiveServer) -> None:
    httpx2.put(f"{closed_server.api}/keys/team/1", json=1, headers={"x-api-key": MASTER})
    sign_in(page, closed_server, 'keyval:read:["team"]', "keyval:lock:mail-")
    for view, name in (("entries", '"team" 1'), ("streams", '"team" 1')):
        page.goto(f"{closed_server.url}/keyval/{view}")
        expect(page.get_by_role("link", name=name).first).to_be_visible()
        page.goto(f"{closed_server.url}/keyval/{view}?prefix=others")
        page.get_by_role("link", name='["team"]').click()
        expect(page.get_by_role("link", name=name).first).to_be_visible()
    page.goto(f"{closed_server.url}/keyval/watch")
    expect(page.get_by_label("Keys, one in each line")).to_have_value('["team"]')
    index = {"prefix": ["team"], "fields": ["title"]}
    root = {"x-api-key": MASTER}
    httpx2.post(f"{closed_server.api}/indexes", json=index, headers=root).raise_for_status()
    httpx2.put(f"{closed_server.api}/keys/team/2", json={"title": "cream"}, headers=root)
    page.goto(f"{closed_server.url}/keyval/search")
    expect(page.get_by_label("Keys below")).to_have_value('["team"]')
    page.get_by_label("Query").fill("cream")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("cream")
    page.goto(f"{closed_server.url}/keyval/locks")
    expect(page.get_by_label("Names that begin with")).to_have_value("mail-")
    expect(page.get_by_text("Nobody has a lock")).to_be_visible()
    page.goto(f"{closed_server.url}/keyval/locks?prefix=other")
    expect(page.get_by_text("for names that begin with: mail-")).to_be_visible()

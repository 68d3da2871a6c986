"""What is around all pages: the way to them, who is signed in, keyboards, narrow screens."""

from __future__ import annotations

import httpx2
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, expect
from support.live import LiveServer
from support.pages import violations, watched_page


def test_home_leads_to_the_pages_of_plugins(page: Page, open_server: LiveServer) -> None:
    page.goto(open_server.url)
    row = page.get_by_role("row").filter(has_text="@buntime/plugin-keyval")
    expect(row).to_contain_text("ready")
    page.get_by_role("navigation").get_by_role("link", name="Overview").first.click()
    page.wait_for_url("**/keyval/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    # Two links lead here: the plugin's, and the one of its first page.
    current = page.get_by_role("navigation").locator('[aria-current="page"]')
    expect(current).to_have_text(["Overview"])
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plugins")
    assert violations(page) == []


def test_without_scripts_there_are_links(browser: Browser, open_server: LiveServer) -> None:
    with watched_page(browser, java_script_enabled=False) as page:
        page.goto(open_server.url)
        page.get_by_role("link", name="KeyVal").click()
        page.wait_for_url("**/keyval/")


def test_who_asks_for_no_html_gets_the_version(open_server: LiveServer) -> None:
    assert httpx2.get(open_server.url).text.startswith("Buntime v")


def test_signing_in_and_out(page: Page, closed_server: LiveServer) -> None:
    page.goto(f"{closed_server.url}/keyval/")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key").fill("wrong")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("There is no such key")
    assert violations(page) == []
    dialog.get_by_label("Key").fill(MASTER)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Messages waiting", exact=True)).to_be_visible()
    expect(page.get_by_text("master key")).to_be_visible()
    assert page.evaluate("document.cookie") == "", "no script reads the session"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_narrow_and_in_portuguese(browser: Browser, open_server: LiveServer) -> None:
    size = {"width": 390, "height": 800}
    with watched_page(browser, viewport=size, locale="pt-BR") as page:
        page.goto(open_server.url)
        expect(page.get_by_role("row").filter(has_text="keyval")).to_contain_text("pronto")
        assert page.locator("html").get_attribute("lang") == "pt"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Visão geral").first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Visão geral")
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_by_keyboard_alone(page: Page, open_server: LiveServer) -> None:
    page.goto(open_server.url)
    expect(page.get_by_role("row").filter(has_text="keyval")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.get_by_role("link", name="KeyVal").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

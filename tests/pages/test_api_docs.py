"""The viewer of the API's document in a browser: within its policy, and with all routes."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from support.live import LiveServer


def test_the_viewer_shows_the_routes_and_tries_one(page: Page, open_server: LiveServer) -> None:
    page.goto(f"{open_server.url}/api/docs")
    section = page.locator("#operations-tag-host")
    expect(section).to_be_visible()
    section.get_by_role("button").first.click()
    route = page.locator("[id$='getApiPluginsLoaded']")
    expect(route).to_contain_text("The plugins that run, in load order, with paths and menus")
    route.locator("button.opblock-summary-control").click()
    route.get_by_role("button", name="Try it out").click()
    route.get_by_role("button", name="Execute").click()
    expect(route.locator(".live-responses-table")).to_contain_text("@buntime/plugin-keyval")

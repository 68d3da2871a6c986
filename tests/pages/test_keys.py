"""The pages of those who run a host: keys, and who did what."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, expect
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.pages import violations, watched_page

MARKUP = "<img src=x onerror=alert(1)>"
PAGES = "/.well-known/buntime/ui/pages"
DATABASE, KEYVAL = DEFAULT_PLUGINS
CONFIG = {"plugins": [DATABASE, [KEYVAL, {"auditKeep": "1d"}]], "auth": {"audit": "writes"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    environ = {"RUNTIME_MASTER_KEY": MASTER}
    with live_server(tmp_path_factory.mktemp("keys"), CONFIG, environ) as running:
        yield running


def sign_in(page: Page, server: LiveServer, path: str, key: str) -> None:
    page.goto(f"{server.url}{path}")
    page.get_by_role("dialog").get_by_label("Key").fill(key)
    page.keyboard.press("Enter")


def test_the_life_of_a_key(page: Page, server: LiveServer) -> None:
    sign_in(page, server, f"{PAGES}/keys", MASTER)
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="New key").click()
    dialog.get_by_label("Name").fill(MARKUP)
    dialog.get_by_label("Plugin").select_option("keyval")
    dialog.get_by_label("Action").select_option("read")
    dialog.get_by_label("Resource").fill("users")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("users")
    dialog.get_by_label("Resource").fill('["users"]')
    dialog.get_by_role("button", name="Add").click()
    dialog.get_by_label("Plugin").select_option("host")
    dialog.get_by_label("Action").select_option("keys:read")
    dialog.get_by_role("button", name="Add").click()
    assert violations(page) == []
    dialog.get_by_role("button", name="Create").click()
    shown = dialog.get_by_role("textbox", name="Key", exact=True)
    secret = shown.input_value()
    assert secret.startswith("btk_")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(shown).to_have_value(secret)
    dialog.get_by_role("button", name="I have it").click()
    row = page.get_by_role("row").filter(has_text=MARKUP)
    expect(row).to_contain_text('keyval:read:["users"]')
    assert secret not in page.content()
    status = httpx2.get(f"{server.url}/keyval/api/keys/users/1", headers={"x-api-key": secret})
    assert status.status_code == 404

    row.get_by_role("button", name="Rotate").click()
    dialog.get_by_label("The old secret is good for").fill("0")
    dialog.get_by_role("button", name="Rotate").click()
    expect(shown).not_to_have_value(secret)
    dialog.get_by_role("button", name="I have it").click()
    row.get_by_role("button", name="Revoke").click()
    dialog.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    expect(row.get_by_role("button")).to_have_count(0)
    assert violations(page) == []
    assert page.locator("img").count() == 0

    page.get_by_role("link", name="Trail").click()
    expect(page.get_by_role("region", name="Trail")).to_contain_text("DELETE /api/keys/")
    assert violations(page) == []


def test_who_may_look_changes_nothing(browser: Browser, server: LiveServer) -> None:
    made = httpx2.post(
        f"{server.url}/api/keys",
        headers={"x-api-key": MASTER},
        json={"name": "viewer", "role": "viewer"},
    )
    with watched_page(browser, viewport={"width": 390, "height": 800}) as page:
        sign_in(page, server, f"{PAGES}/keys", made.json()["data"]["key"])
        row = page.get_by_role("row").filter(has_text="viewer")
        expect(row.first).to_contain_text("yours")
        expect(page.get_by_role("button", name="New key")).to_have_count(0)
        expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
        page.get_by_role("button", name="Menu").click()
        expect(page.get_by_role("link", name="Keys")).to_be_visible()
        expect(page.get_by_role("link", name="Trail")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_who_may_not_see_the_trail_looks_beside_it(browser: Browser, server: LiveServer) -> None:
    root = {"x-api-key": MASTER}
    httpx2.put(f"{server.api}/keys/beside/1", json=1, headers=root)
    wanted = {"name": "reader", "permissions": ["keyval:read"]}
    made = httpx2.post(f"{server.url}/api/keys", json=wanted, headers=root)
    with watched_page(browser) as page:
        sign_in(page, server, "/keyval/entries", made.json()["data"]["key"])
        expect(page.get_by_text("Not all of the keys are for you to see")).to_be_visible()
        page.get_by_label("Keys below").fill("beside")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name='"beside" 1')).to_be_visible()


def test_only_pages_and_files_are_there(server: LiveServer) -> None:
    shared = f"{server.url}/.well-known/buntime/ui"
    answers = {
        path: httpx2.get(f"{shared}/{path}").status_code
        for path in ("pages/keys", "admin.html", "admin.js")
    }
    assert answers == {"pages/keys": 200, "admin.html": 404, "admin.js": 200}

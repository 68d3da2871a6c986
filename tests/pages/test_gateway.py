"""The pages of the gateway: limits, kept answers, the shell, the log, and what was counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, expect
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.pages import violations, watched_page
from support.waiting import PATIENCE

MARKUP = "<img src=x onerror=alert(1)>"
SHELL = f"shell-{'x' * 100}"
"""Of a folder that is longer than a line on a phone."""
OPTIONS: dict[str, Any] = {
    "rateLimit": {
        "requests": 1000,
        "window": "1d",
        "routes": [{"path": "/keyval/api/keys/scarce", "requests": 1, "window": "1d"}],
    },
    "cors": {"origin": "https://app.example"},
    "cache": {"paths": "/keyval/api/keys/kept"},
    "shellDir": SHELL,
    "shellExcludes": ["gateway"],
}


def configured(folder: Path) -> dict[str, Any]:
    shell = folder / SHELL
    shell.mkdir(parents=True)
    (shell / "index.html").write_text("<!doctype html><title>shell</title>")
    return {"plugins": [*DEFAULT_PLUGINS, ["@buntime/plugin-gateway", OPTIONS]]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("gateway")
    with live_server(folder, configured(folder)) as running:
        yield running


def test_numbers_come_by_themselves(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/gateway/")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    parts = page.get_by_role("region", name="What is on")
    expect(parts).to_contain_text("1,000 in 1d for each ip")
    expect(parts).to_contain_text("https://app.example")
    newest = page.get_by_role("region", name="Requests")
    httpx2.get(f"{server.url}/keyval/api/keys/seen", params={"type": MARKUP})
    expect(newest).to_contain_text("GET /keyval/api/keys/seen")
    # The counts of the last hour are written every few seconds.
    page.clock.install()
    page.reload()
    hour = page.get_by_role("region", name="The last hour")
    deadline = time.monotonic() + PATIENCE
    while hour.get_by_role("img").count() != 2 and time.monotonic() < deadline:
        with page.expect_response("**/metrics/history?*"):
            page.clock.run_for(30_000)
    expect(hour.get_by_role("img")).to_have_count(2)
    assert violations(page) == []


def test_clients_begin_anew(page: Page, server: LiveServer) -> None:
    for _ in range(2):
        httpx2.get(f"{server.url}/keyval/api/keys/scarce", headers={"x-forwarded-for": "192.0.2.1"})
    page.goto(f"{server.url}/gateway/limits")
    clients = page.get_by_role("region", name="Clients")
    scarce = clients.get_by_role("row").filter(has_text="192.0.2.1")
    expect(scarce).to_contain_text("0")
    counts = httpx2.get(f"{server.url}/gateway/api/rate-limit/metrics").json()
    refused = page.locator(".card").filter(has_text="Refused")
    expect(refused).to_contain_text(f"{counts['blockedRequests']} (")
    assert violations(page) == []
    scarce.get_by_role("button").click()
    expect(page.get_by_text("begins anew")).to_be_visible()
    expect(scarce).to_have_count(0)
    page.get_by_role("button", name="Let all begin anew").click()
    page.get_by_role("dialog").get_by_role("button", name="Begin anew").click()
    expect(page.get_by_role("status")).to_contain_text("clients begin anew")


def test_the_log_says_what_was_refused(page: Page, server: LiveServer) -> None:
    for path in (f"keys/{MARKUP}", "keys/scarce", "keys/scarce"):
        httpx2.get(f"{server.url}/keyval/api/{path}")
    page.goto(f"{server.url}/gateway/log")
    rows = page.get_by_role("region", name="Requests").get_by_role("row")
    expect(rows.filter(has_text="onerror")).not_to_have_count(0)
    assert page.locator("main img").count() == 0
    page.get_by_label("Answers").select_option("refused by a limit")
    page.get_by_role("button", name="Show").click()
    expect(rows.nth(1)).to_contain_text("429")
    expect(rows.filter(has_text="onerror")).to_have_count(0)
    assert violations(page) == []
    page.go_back()
    expect(rows.filter(has_text="onerror")).not_to_have_count(0)
    page.get_by_role("button", name="Forget the log").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(rows.filter(has_text="onerror")).to_have_count(0)


def test_segments_are_left_to_others(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/gateway/shell")
    rows = page.get_by_role("region", name="What it leaves to others").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("of the configuration")
    expect(rows.nth(1).get_by_role("button")).to_have_count(0)
    segment = page.get_by_label("First segment")
    segment.fill("no/segment")
    page.keyboard.press("Enter")
    expect(page.locator("main .problem")).to_contain_text("Invalid basename format")
    segment.fill("shop")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(3)
    assert violations(page) == []
    page.get_by_role("button", name="Remove shop").click()
    expect(rows).to_have_count(2)


def test_answers_are_forgotten(page: Page, server: LiveServer) -> None:
    httpx2.put(f"{server.api}/keys/kept", json=1)
    for _ in range(2):
        answer = httpx2.get(f"{server.api}/keys/kept")
    assert answer.headers["x-cache"] == "HIT"
    page.goto(f"{server.url}/gateway/answers")
    expect(page.locator(".card").first).to_contain_text("1 / 1,000")
    page.get_by_label("Forget").select_option("Those of paths")
    page.get_by_label("Which").fill("/keyval/**")
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text("1 answers are forgotten")).to_be_visible()
    expect(page.locator(".card").first).to_contain_text("0 / 1,000")
    assert violations(page) == []


def test_who_may_read_resets_nothing(browser: Browser, tmp_path: Path) -> None:
    with (
        live_server(tmp_path, configured(tmp_path), {"RUNTIME_MASTER_KEY": MASTER}) as server,
        watched_page(browser, viewport={"width": 390, "height": 800}) as page,
    ):
        made = httpx2.post(
            f"{server.url}/api/keys",
            headers={"x-api-key": MASTER},
            json={"name": "k", "permissions": ["gateway:read"]},
        )
        page.goto(f"{server.url}/gateway/")
        page.get_by_role("dialog").get_by_label("Key").fill(made.json()["data"]["key"])
        page.keyboard.press("Enter")
        expect(page.get_by_text("live", exact=True)).to_be_visible()
        for path in ("", "limits", "answers", "shell", "log"):
            page.goto(f"{server.url}/gateway/{path}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            expect(page.locator("main button:not([type=submit])")).to_have_count(0)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390

"""What a page of another origin can do with a store, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.api import api_of
from support.browser import open_browser, page_origin
from support.foreign_page import FOLLOW, RESUME, WRITE_AND_READ
from support.live import LiveServer, live_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_origin() as origin:
        page = browser.new_page()
        page.goto(origin)
        yield page
        page.close()


@pytest.fixture
def trusting(page: Page, tmp_path: Path) -> Iterator[LiveServer]:
    """A server that trusts the origin of the page."""
    origin = page.evaluate("location.origin")
    with live_server(tmp_path, environ={"RUNTIME_TRUSTED_ORIGINS": origin}) as server:
        yield server


def test_a_trusted_page_writes_and_reads_errors_too(page: Page, trusting: LiveServer) -> None:
    assert page.evaluate(WRITE_AND_READ, trusting.api) == {
        "put": 200,
        "id": "page-1",
        "value": {"by": "page"},
        "missing": 404,
        "error": "Key not found",
        "left": None,
    }


def test_a_trusted_page_follows_a_watch(page: Page, trusting: LiveServer) -> None:
    page.evaluate(FOLLOW, trusting.api)
    page.wait_for_function("source.readyState === 1")
    with api_of(trusting.api) as api:
        api.put("watched/1", "new")
    page.wait_for_function("seen.length > 0")
    assert page.evaluate("seen[0].value") == "new"
    assert page.evaluate("window.failed") is None


def test_a_trusted_page_resumes_with_a_header_of_its_own(page: Page, trusting: LiveServer) -> None:
    with api_of(trusting.api) as api:
        api.put("watched/1", "old")
    status, text = page.evaluate(RESUME, [trusting.api, "0"])
    assert status == 200
    assert "event: " in text

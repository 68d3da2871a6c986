"""One browser for the tests of a module, and servers that their pages are of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.browser import open_browser
from support.live import LiveServer, live_server
from support.pages import watched_page

MASTER = "master-key-of-the-pages"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer: as long as Playwright runs, no test of its process can have an event loop."""
    with open_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched_page(browser) as page:
        yield page


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that asks nobody for a key."""
    with live_server(tmp_path_factory.mktemp("open")) as server:
        yield server


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that wants a key."""
    environ = {"RUNTIME_MASTER_KEY": MASTER}
    with live_server(tmp_path_factory.mktemp("closed"), environ=environ) as server:
        yield server

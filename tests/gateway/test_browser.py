"""What pages of other origins can do through the gateway, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway.conftest import Serve
from playwright.sync_api import Browser, Error, Page
from support.api import api_of
from support.browser import open_browser, page_origin
from support.foreign_page import FOLLOW, RESUME, WRITE_AND_READ
from support.live import LiveServer

pytestmark = pytest.mark.slow

ASK_TOO_OFTEN = """async api => {
  for (let n = 0; n < 60; n++) {
    const answer = await fetch(`${api}/keys/page/1`);
    if (answer.status === 429)
      return [answer.headers.get("retry-after") > 0, (await answer.json()).error];
  }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with page_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def server(serve: Serve, origin: str) -> Iterator[LiveServer]:
    """A server that lets one origin in."""
    limit = {"requests": 40, "window": "1h"}
    with serve(stored=True, rateLimit=limit, cors={"origin": [origin]}) as running:
        yield running


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(origin)
    yield page
    page.close()


def test_a_page_of_the_origin_reads_writes_and_follows(page: Page, server: LiveServer) -> None:
    said = page.evaluate(WRITE_AND_READ, server.api)
    assert said.pop("left") is not None
    assert said == {
        "put": 200,
        "id": "page-1",
        "value": {"by": "page"},
        "missing": 404,
        "error": "Key not found",
    }
    page.evaluate(FOLLOW, server.api)
    page.wait_for_function("source.readyState === 1")
    with api_of(server.api) as api:
        api.put("watched/1", "new")
    page.wait_for_function("seen.length > 0")
    assert page.evaluate("seen[0].value") == "new"
    assert page.evaluate("window.failed") is None
    page.evaluate("source.close()")
    status, text = page.evaluate(RESUME, [server.api, "0"])
    assert status == 200
    assert "event: " in text


def test_a_page_of_another_origin_cannot(browser: Browser, server: LiveServer) -> None:
    with page_origin() as stranger, api_of(server.api) as api:
        page = browser.new_page()
        page.goto(stranger)
        with pytest.raises(Error, match="Failed to fetch"):
            page.evaluate(WRITE_AND_READ.replace("page/1", "stranger/1"), server.api)
        with pytest.raises(Error, match="Failed to fetch"):
            page.evaluate("api => fetch(`${api}/keys/page/1`)", server.api)
        page.evaluate(FOLLOW, server.api)
        page.wait_for_function("window.failed === true")
        assert page.evaluate("seen") == []
        assert api.send("GET", "/keys/stranger/1").status_code == 404
        page.close()


def test_a_page_of_the_origin_reads_why_it_is_refused(page: Page, server: LiveServer) -> None:
    assert page.evaluate(ASK_TOO_OFTEN, server.api) == [True, "Too Many Requests"]


REFUSED = """async api => {
  const long = await fetch(`${api}/keys/page?q=${"a".repeat(100_000)}`);
  const large = await fetch(`${api}/keys/page`, {headers: {"x-api-key": "a".repeat(70_000)}});
  return [[long.status, (await long.json()).code], [large.status, (await large.json()).code]];
}"""


def test_a_page_sees_what_is_refused_before_any_plugin(page: Page, server: LiveServer) -> None:
    assert page.evaluate(REFUSED, server.api) == [
        [414, "URL_TOO_LONG"],
        [431, "HEADERS_TOO_LARGE"],
    ]

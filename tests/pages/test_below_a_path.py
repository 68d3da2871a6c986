"""Pages behind a proxy that serves them below a path, and takes that away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from playwright.sync_api import Page, expect
from support.live import LiveServer

PREFIX = "/store"


@pytest.fixture
def below(open_server: LiveServer) -> Iterator[str]:
    """The address of the host behind such a proxy."""
    client = httpx2.Client(base_url=open_server.url)

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404, "not below the path")
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            passed = {name: self.headers[name] for name in ("accept", "content-type", "host")
                      if name in self.headers}  # fmt: skip
            answer = client.request(
                self.command, self.path[len(PREFIX) :], headers=passed, content=body
            )
            self.send_response(answer.status_code)
            for name in ("content-type", "content-security-policy", "location"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with client, ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{PREFIX}"
        finally:
            server.shutdown()
            thread.join()


def test_pages_below_a_path(page: Page, open_server: LiveServer, below: str) -> None:
    httpx2.put(f"{open_server.api}/keys/deep/1", content=json.dumps({"a": 1}))
    page.goto(f"{below}/")
    page.get_by_role("navigation").get_by_role("link", name="Entries").click()
    expect(page.get_by_role("link", name='"deep" 1')).to_be_visible()
    page.get_by_role("link", name='"deep" 1').click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Entry")
    page.reload()
    page.get_by_label("Value as JSON").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert page.url.startswith(f"{below}/keyval/entry?")
    page.get_by_role("link", name="KeyVal").click()
    expect(page.get_by_text("Messages waiting", exact=True)).to_be_visible()
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plugins")
    page.get_by_role("navigation").get_by_role("link", name="Studio").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Studio")
    page.locator(".tables a").first.click()
    expect(page.get_by_role("region", name="Rows")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Plugins").click()
    expect(page.get_by_role("row").filter(has_text="plugin-keyval")).to_contain_text("loaded")
    assert page.url.startswith(f"{below}/.well-known/buntime/ui/pages/plugins")

"""What a page can try against a host on somebody's own machine, in a real browser: it gets nothing.

`foreign_page.js` has every way in which a browser sends requests, to what reads, writes or takes a
message. What the page sees is looked at, and what the host holds afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser
from support.browser import open_browser, page_origin
from support.live import live_server

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("foreign_page.js").read_text("utf-8")
NAME = "evil.example"
MASTER = "the master key of these pages"
SECRET = "s3cret"
SQL = {"sql": "CREATE TABLE taken (x DEFAULT (1=1))"}
ATTEMPTS: dict[str, Any] = {
    "reads": [
        "/keyval/api/keys/secret",
        "/keyval/api/keys?prefix=secret",
        "/keyval/api/watch/poll?keys=secret",
        "/database/api/tables",
        "/api/keys",
    ],
    "takes": [f"/keyval/api/queue/{name}" for name in ("poll", "dequeue", "listen")],
    # Each has a "=" somewhere, so that a form can send it as plain text.
    "writes": [
        ("PUT", "/keyval/api/keys/secret", "="),
        ("DELETE", "/keyval/api/keys/secret", None),
        (
            "POST",
            "/keyval/api/atomic",
            {"mutations": [{"type": "set", "key": ["other"], "value": "="}]},
        ),
        ("POST", "/keyval/api/keys/delete-batch", {"keys": [["secret"], ["="]]}),
        ("POST", "/keyval/api/queue/enqueue", {"value": "="}),
        ("POST", "/keyval/api/queue/dequeue", {}),
        ("POST", "/database/api/execute", SQL),
        ("POST", "/database/api/v2/pipeline", {"requests": [{"type": "execute", "stmt": SQL}]}),
        ("POST", "/api/keys", {"name": "k=k", "role": "admin"}),
        ("POST", "/api/admin/tickets", {"path": "/keyval/api/watch/="}),
    ],
    "streams": ["/keyval/api/watch/prefix?prefix=secret", "/keyval/api/queue/listen"],
    "sockets": ["/database/api/", "/database/api/ws"],
    "say": [
        {"type": "hello", "jwt": None},
        *(
            {"type": "request", "request_id": number, "request": request}
            for number, request in enumerate(
                [
                    {"type": "open_stream", "stream_id": 1},
                    {"type": "execute", "stream_id": 1, "stmt": SQL},
                ]
            )
        ),
    ],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as running:
        yield running


@pytest.mark.parametrize(
    ("host", "page"),
    [
        ("open", "of another port"),
        ("open", "of another site"),
        ("open", "of a rebound name"),
        # That page is of the same site, so its requests have the cookie.
        ("with keys and a session", "of another port"),
    ],
)
def test_a_foreign_page_gets_nothing(
    browser: Browser, host: str, page: str, tmp_path: Path
) -> None:
    environ = {} if host == "open" else {"RUNTIME_MASTER_KEY": MASTER}
    headers = {} if host == "open" else {"x-api-key": MASTER}
    with (
        live_server(tmp_path, environ=environ) as server,
        page_origin() as elsewhere,
        httpx2.Client(base_url=server.url, headers=headers) as owner,
    ):
        owner.put("/keyval/api/keys/secret", json=SECRET).raise_for_status()
        owner.post("/keyval/api/queue/enqueue", json={"value": SECRET}).raise_for_status()
        before = held(owner)
        context = browser.new_context()
        opened = context.new_page()
        if headers:
            opened.goto(f"{server.url}/health")
            login = (
                "key => fetch('/api/admin/session', {method: 'POST', body: JSON.stringify({key})})"
            )
            assert opened.evaluate(f"key => ({login})(key).then(got => got.status)", MASTER) == 200
            assert (
                opened.evaluate("fetch('/keyval/api/keys/secret').then(got => got.status)") == 200
            )
        base = server.url
        if page == "of a rebound name":
            base = f"http://{NAME}:{urlsplit(server.url).port}"
            opened.goto(f"{base}/health")
        elif page == "of another site":
            opened.goto(f"http://{NAME}:{urlsplit(elsewhere).port}")
        else:
            opened.goto(elsewhere)
        seen = opened.evaluate(SCRIPT, {"base": base, **ATTEMPTS})
        context.close()
        assert held(owner) == before
    assert {way for way, _, _ in seen} >= {
        "fetch", "fetch without answer", "image", "form", "frame", "beacon", "EventSource",
        "WebSocket",
    }  # fmt: skip
    for way, path, outcome in seen:
        assert SECRET not in str(outcome), (way, path)
        if way in ("EventSource", "WebSocket", "image"):
            assert outcome == "refused", (way, path, outcome)
        if isinstance(outcome, list) and way == "fetch":
            assert page == "of a rebound name", (way, path, outcome)
            assert outcome[0] == 421, (way, path, outcome)


def held(owner: httpx2.Client) -> list[Any]:
    """What a host holds that a page could have changed."""
    paths = ("/keyval/api/keys", "/keyval/api/queue/stats", "/database/api/tables", "/api/keys")
    return [owner.get(path).raise_for_status().json() for path in paths]

"""A host behind Caddy, as the page on deployment has it: at its root, and below a path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from support.caddy import Caddy, running_caddy
from support.live import DEFAULT_PLUGINS, live_server
from support.waiting import PATIENCE
from websockets.sync.client import connect
from websockets.typing import Subprotocol

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deployment.md").read_text("utf-8")
TOKEN = "t" * 44


class Front(NamedTuple):
    """Caddy, and the path below which it has the host."""

    caddy: Caddy
    path: str

    def client(self) -> httpx2.Client:
        """One that asks the host by way of it."""
        return httpx2.Client(
            base_url=self.caddy.url + self.path, verify=self.caddy.trust, timeout=PATIENCE
        )


def sites(upstream: str) -> list[str]:
    """Those of the page, of which only the addresses are others."""
    found: list[str] = re.findall(r"```caddyfile\nkv\.example (\{.*?)```", PAGE, re.S)
    assert all("127.0.0.1:8000" in text for text in found)
    return [f"SITE {text.replace('127.0.0.1:8000', upstream)}" for text in found]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a host listens that knows of no proxy."""
    database = ["@buntime/plugin-database", {**DEFAULT_PLUGINS[0][1], "token": TOKEN}]
    folder = tmp_path_factory.mktemp("host")
    with live_server(folder, {"plugins": [database, *DEFAULT_PLUGINS[1:]]}) as server:
        yield server.url.removeprefix("http://")


@pytest.fixture(scope="module", params=["", "/store"])
def front(
    upstream: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    at_root, below = sites(upstream)
    text = below if request.param else at_root
    with running_caddy(tmp_path_factory.mktemp("caddy"), text) as caddy:
        yield Front(caddy, request.param)


def test_keys_with_a_slash_arrive_as_they_are(front: Front) -> None:
    with front.client() as client:
        assert client.get("/.well-known/buntime/slash/a%2Fb").json() == {"ok": True}
        assert client.put("/keyval/api/keys/a%2Fb/c", content="1").status_code == 200
        assert client.get("/keyval/api/keys/a%2Fb/c").json()["key"] == ["a/b", "c"]


def test_paths_in_answers(front: Front) -> None:
    with front.client() as client:
        # What a client says of prefixes does not come through.
        for lying in ({}, {"x-forwarded-prefix": "/evil"}):
            bare = client.get("/keyval", headers={"accept": "text/html", **lying})
            assert bare.status_code == 308
            assert bare.headers["location"] == f"{front.path}/keyval/"
            described = client.get("/api/openapi.json", headers=lying).json()
            assert described["servers"] == [{"url": front.path or "/"}]
        page = client.get("/keyval/", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


def test_events_come_at_once(front: Front) -> None:
    with (
        front.client() as client,
        client.stream(
            "GET",
            "/keyval/api/watch/prefix?prefix=live",
            headers={"accept": "text/event-stream"},
        ) as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        with front.client() as writer:
            writer.put(f"/keyval/api/keys/live/at{front.path.replace('/', '-')}", content="7")
        data = (json.loads(line[5:]) for line in lines if line.startswith("data: [{"))
        assert next(data)[0]["value"] == 7


def test_websockets(front: Front) -> None:
    with connect(
        f"{front.caddy.url.replace('https', 'wss')}{front.path}/database/api/",
        ssl=front.caddy.trust,
        subprotocols=[Subprotocol("hrana3")],
        additional_headers={"authorization": f"Bearer {TOKEN}"},
    ) as socket:
        socket.send(json.dumps({"type": "hello", "jwt": TOKEN}))
        answer: dict[str, Any] = json.loads(socket.recv(PATIENCE))
        assert answer["type"] == "hello_ok"

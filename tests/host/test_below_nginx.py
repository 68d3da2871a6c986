"""A host below a path, behind nginx as the page on deployment has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from buntime_keyval import Kv
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.nginx import running_nginx
from websockets.sync.client import connect
from websockets.typing import Subprotocol

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deployment.md").read_text("utf-8")
TOKEN = "t" * 44
MAP = 'map $http_upgrade $connection_upgrade { default upgrade; "" ""; }'


class Front(NamedTuple):
    """nginx, and the host behind it."""

    url: str
    server: LiveServer


def block() -> str:
    found: list[str] = re.findall(r"```nginx\n(location /store/ .*?)```", PAGE, re.S)
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    database = ["@buntime/plugin-database", {**DEFAULT_PLUGINS[0][1], "token": TOKEN}]
    plugins = [database, *DEFAULT_PLUGINS[1:], "@buntime/plugin-proxy"]
    config = {"basePath": "/store", "plugins": plugins}
    with live_server(folder, config) as server:
        assert server.url.endswith("/store")  # so it is logged
        origin = server.url.removesuffix("/store")
        locations = block().replace("http://127.0.0.1:8000", origin)
        # Another one, which takes the prefix away and says so.
        locations += f"""
            location /taken/ {{
                proxy_pass {server.url}/;
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-Prefix /taken;
            }}
        """
        with running_nginx(
            folder, f"{MAP} server {{ listen 127.0.0.1:PORT; {locations} }}"
        ) as port:
            yield Front(f"http://127.0.0.1:{port}", server)


def test_keys_with_a_slash_arrive_as_they_are(front: Front) -> None:
    key = f"{front.url}/store/keyval/api/keys/a%2Fb/c"
    assert httpx2.put(key, content="1").status_code == 200
    assert httpx2.get(key).json()["key"] == ["a/b", "c"]
    with Kv(f"{front.url}/store/keyval/api") as kv:
        assert kv.get(["a/b", "c"]).value == 1


def test_a_proxy_that_decodes_slashes_is_told_of(front: Front) -> None:
    probe = ".well-known/buntime/slash/a%2Fb"
    assert httpx2.get(f"{front.url}/store/{probe}").json() == {"ok": True}
    decoded = httpx2.get(f"{front.url}/taken/{probe}")  # its proxy_pass has a path
    assert (decoded.status_code, decoded.json()["code"]) == (400, "SLASH_DECODED")
    assert "a proxy before this host decodes %2F" in decoded.json()["error"]


def test_paths_in_answers(front: Front) -> None:
    with httpx2.Client(base_url=front.url) as client:
        assert client.get("/store/health/ready").status_code == 200
        bare = client.get("/store/keyval", headers={"accept": "text/html"})
        assert (bare.status_code, bare.headers["location"]) == (308, "/store/keyval/")
        for path in ("/store/", bare.headers["location"]):
            assert client.get(path, headers={"accept": "text/html"}).status_code == 200, path
        shared = client.get("/store/.well-known/buntime/ui/ui.css")
        assert shared.headers["content-type"].startswith("text/css")
        assert client.get("/store/api/openapi.json").json()["servers"] == [{"url": "/store"}]
        # What a client says of prefixes does not come through this block.
        lying = client.get("/store/keyval", headers={"x-forwarded-prefix": "/evil"})
        assert lying.headers["location"] == "/store/keyval/"
        taken = client.get("/taken/keyval")
        assert taken.headers["location"] == "/taken/store/keyval/"


def test_streams_and_websockets(front: Front) -> None:
    with httpx2.stream(
        "GET",
        f"{front.url}/store/keyval/api/watch/prefix?prefix=live",
        headers={"accept": "text/event-stream"},
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        httpx2.put(f"{front.url}/store/keyval/api/keys/live/1", content="7")
        data = (json.loads(line[5:]) for line in lines if line.startswith("data: [{"))
        assert next(data)[0]["value"] == 7
    address = f"{front.url.replace('http', 'ws')}/store/database/api/"
    allowed = {"authorization": f"Bearer {TOKEN}"}
    hrana = [Subprotocol("hrana3")]
    with connect(address, subprotocols=hrana, additional_headers=allowed) as socket:
        socket.send(json.dumps({"type": "hello", "jwt": TOKEN}))
        answer: dict[str, Any] = json.loads(socket.recv(10))
        assert answer["type"] == "hello_ok"


def test_a_request_in_a_row_is_below_the_path_too(front: Front) -> None:
    """Also where a connection knows the head, and where the direct way is not taken."""
    with httpx2.Client(base_url=front.server.url.removesuffix("/store")) as client:
        client.put("/store/keyval/api/keys/row", content="1")
        for _ in range(3):
            assert client.get("/store/keyval/api/keys/row").json()["value"] == 1
            elsewhere = client.get("/keyval/api/keys/row")
            assert elsewhere.status_code == 404
            assert "below /store (basePath)" in elsewhere.json()["error"]

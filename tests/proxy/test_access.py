"""Who may send requests through rules, see rules and change them, where the host asks for keys."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from proxy.conftest import Serve
from support.live import LiveServer
from support.waiting import PATIENCE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

MASTER = "m" * 32
RULES = "/redirects/api/rules"


@pytest.fixture(scope="module")
def closed(serve: Serve, target: str) -> Iterator[LiveServer]:
    public = {"GET": ["/up/open/*"], "WEBSOCKET": ["/up/talk"], "POST": ["/up/hook"]}
    rule = {"pattern": "^/up(/.*)", "rewrite": "$1", "target": target, "publicRoutes": public}
    environ = {"RUNTIME_MASTER_KEY": MASTER}
    shadow = {"pattern": "^/keyval/api/shadow", "target": target}
    with serve(rule, shadow, stored=True, environ=environ, allowShadow=["/keyval"]) as server:
        yield server


@pytest.fixture(scope="module")
def client(closed: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=closed.url, trust_env=False, timeout=PATIENCE) as made:
        yield made


def key_for(client: httpx2.Client, *permissions: str) -> dict[str, str]:
    """Headers of somebody who may do that."""
    body = {"name": "somebody", "permissions": list(permissions)}
    answer = client.post("/api/keys", json=body, headers={"x-api-key": MASTER})
    assert answer.status_code == 201, answer.text
    return {"x-api-key": answer.json()["data"]["key"]}


def test_a_path_needs_a_key_unless_a_rule_says_otherwise(client: httpx2.Client) -> None:
    assert client.get("/up/x").status_code == 401
    assert client.get("/keyval/api/shadow").status_code == 401
    assert client.get("/nothing").status_code == 401
    assert client.get("/up/open/x").status_code == 200
    assert client.get("/up/open/x/y").status_code == 401
    assert client.get("/up/open/%2e%2e").status_code == 401
    assert client.post("/up/open/x").status_code == 401
    assert client.post("/up/hook", content=b"{}").status_code == 200
    master = {"x-api-key": MASTER}
    assert client.get("/up/x", headers=master).status_code == 200
    assert client.get("/nothing", headers=master).status_code == 404


def test_websockets_too(closed: LiveServer) -> None:
    url = closed.url.replace("http", "ws")
    with connect(f"{url}/up/talk", proxy=None, open_timeout=PATIENCE) as socket:
        socket.recv(20)
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/up/else", proxy=None):
        pass
    assert refused.value.response.status_code == 401


def test_permissions(client: httpx2.Client) -> None:
    rule = {"pattern": "^/p", "target": "http://127.0.0.1:1"}
    nobody, user = key_for(client, "keyval:read"), key_for(client, "proxy:use")
    reader, admin = key_for(client, "proxy:read"), key_for(client, "proxy:admin")
    for headers, use, read, change in (
        (nobody, 403, 403, 403),
        (user, 200, 403, 403),
        (reader, 403, 200, 403),
        (admin, 200, 200, 201),
    ):
        assert client.get("/up/x", headers=headers).status_code == use
        assert client.get(RULES, headers=headers).status_code == read
        tried = client.post("/redirects/api/test", json={"path": "/up/x"}, headers=headers)
        assert tried.status_code == read
        made = client.post(RULES, json=rule, headers=headers)
        assert made.status_code == change
    assert client.get(RULES).status_code == 401
    denied = client.get("/up/x", headers=nobody).json()
    assert denied["error"] == "Missing permission: proxy:use"


def test_the_credential_stays_here(client: httpx2.Client) -> None:
    """What opens this host is not for others; what is theirs passes."""

    def arrived(path: str, headers: dict[str, str]) -> dict[str, str]:
        told: dict[str, str] = dict(client.get(path, headers=headers).json()["headers"])
        return told

    key = key_for(client, "proxy:use")["x-api-key"]
    got = arrived("/up/x", {"x-api-key": key, "authorization": "Bearer theirs"})
    assert ("x-api-key" in got, got["authorization"]) == (False, "Bearer theirs")
    assert "authorization" not in arrived("/up/x", {"authorization": f"Bearer {key}"})
    cookies = "a=1; buntime_session=s; b=2"
    assert arrived("/up/open/x", {"cookie": cookies})["cookie"] == "a=1; b=2"
    assert "cookie" not in arrived("/up/open/x", {"cookie": "buntime_session=s"})
    got = arrived("/up/open/x", {"authorization": "Basic dTpw", "x-api-key": "theirs"})
    assert (got["authorization"], got["x-api-key"]) == ("Basic dTpw", "theirs")


def test_what_is_open_ends_with_its_key(client: httpx2.Client, closed: LiveServer) -> None:
    master = {"x-api-key": MASTER}
    body = {"name": "short", "permissions": ["proxy:use"]}
    made = client.post("/api/keys", json=body, headers=master).json()["data"]
    headers = {"x-api-key": made["key"]}
    url = closed.url.replace("http", "ws")
    with (
        client.stream("GET", "/up/events", headers=headers) as stream,
        connect(f"{url}/up/talk", proxy=None, additional_headers=headers) as socket,
    ):
        lines = stream.iter_lines()
        next(lines)
        socket.recv(20)
        assert client.delete(f"/api/keys/{made['id']}", headers=master).status_code in (200, 204)
        with pytest.raises(httpx2.RemoteProtocolError):
            for _ in lines:
                pass
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(20)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1008

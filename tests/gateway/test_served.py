"""What clients of a server get, on the direct way and by ASGI: limits, CORS, log, API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway.conftest import API, Serve, client_for
from support.live import LiveServer, add_looker
from support.waiting import PATIENCE, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

PAGE, STRANGER = "https://page.example", "https://stranger.example"
ALLOW_ORIGIN = "access-control-allow-origin"
MASTER = "m" * 32
KEY = "/keyval/api/keys/gateway"
FORWARDED = "x-forwarded-for"


@pytest.fixture(scope="module", params=["direct", "asgi"])
def server(
    request: pytest.FixtureRequest, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp(request.param)
    others = [add_looker(folder)] if request.param == "asgi" else []
    with serve(
        stored=True,
        folder=folder,
        others=others,
        rateLimit={"requests": 5, "window": "1h", "excludePaths": ["/health", "/gateway/**"]},
        cors={"origin": PAGE},
    ) as running:
        yield running


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx2.Client]:
    """Somebody new, and a log without anybody else."""
    with client_for(server) as client:
        client.post(f"{API}/rate-limit/clear")
        client.delete(f"{API}/logs")
        yield client


def test_a_client_gets_so_many_answers_and_no_more(client: httpx2.Client) -> None:
    left = [client.get(KEY).headers["ratelimit-remaining"] for _ in range(5)]
    assert left == ["4", "3", "2", "1", "0"]
    refused = client.get(KEY)
    assert refused.status_code == 429
    assert refused.json()["error"] == "Too Many Requests"
    assert refused.json()["code"] == "TOO_MANY_REQUESTS"
    assert refused.headers["retry-after"] == "720"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert client.get("/health").status_code == 200
    assert client.get(KEY, headers={FORWARDED: "198.51.100.7"}).status_code == 404
    assert client.put(KEY, json=1).status_code == 429


def test_errors_are_limited_too(client: httpx2.Client) -> None:
    paths = ("/nothing", "/streams/fails", "/api/nothing", "/streams/events", "/%ff")
    answers = [client.get(path) for path in paths]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == [*"43210"]
    assert client.get("/").status_code == 429


def test_pages_of_the_origin_are_told_so_by_every_answer(client: httpx2.Client) -> None:
    page = {"origin": PAGE}
    for path in (KEY, "/nothing", "/streams/fails", "/streams/events", "/streams/own", KEY):
        answer = client.get(path, headers=page)
        assert answer.headers[ALLOW_ORIGIN] == PAGE, path
        assert "x-ratelimit-remaining" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"]
    assert answer.status_code == 429
    assert ALLOW_ORIGIN not in client.get("/streams/own", headers={"origin": STRANGER}).headers


def test_pages_of_the_origin_write_and_others_do_not(client: httpx2.Client) -> None:
    assert client.put(KEY, json=1, headers={"origin": PAGE}).status_code == 200
    refused = client.put(KEY, json=2, headers={"origin": STRANGER})
    assert (refused.status_code, refused.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert ALLOW_ORIGIN not in refused.headers
    assert refused.headers["ratelimit-remaining"] == "3"
    assert client.delete(KEY).status_code == 200


def test_preflights_have_no_limit_and_no_content(client: httpx2.Client) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "PUT"}
    for _ in range(7):
        answer = client.options(KEY, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers[ALLOW_ORIGIN] == PAGE
        assert not {"content-length", "content-type"} & {*answer.headers}
    stranger = client.options(KEY, headers={**asked, "origin": STRANGER})
    assert stranger.status_code == 204
    assert ALLOW_ORIGIN not in stranger.headers


def test_handshakes_count(client: httpx2.Client, server: LiveServer) -> None:
    url = server.url.replace("http", "ws") + "/streams/echo"
    with connect(url, proxy=None, open_timeout=PATIENCE) as socket:
        socket.send("hello")
        assert socket.recv(20) == "hello"
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None, origin=Origin(STRANGER)):
        pass
    assert refused.value.response.status_code == 403
    assert client.get(KEY).headers["ratelimit-remaining"] == "2"
    for _ in range(2):
        client.get(KEY)
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None):
        pass
    assert refused.value.response.status_code == 429


def test_the_log_has_every_request(client: httpx2.Client) -> None:
    client.get(KEY)
    client.get("/streams/events")
    client.get(KEY, headers={FORWARDED: "198.51.100.8"})
    asked = {"origin": PAGE, "access-control-request-method": "PUT"}
    client.options(KEY, headers=asked)
    for _ in range(5):
        client.get("/streams/own")
    entries = client.get(f"{API}/logs?limit=9").json()
    assert [(entry["method"], entry["path"], entry["status"]) for entry in entries[-4:]] == [
        ("OPTIONS", KEY, 204),
        ("GET", KEY, 404),
        ("GET", "/streams/events", 200),
        ("GET", KEY, 404),
    ]
    assert entries[0]["rateLimited"] is True
    assert entries[0]["duration"] >= 0
    assert len({entry["id"] for entry in entries}) == 9
    others = client.get(f"{API}/logs?ip=198.51.100.8").json()
    assert [entry["ip"] for entry in others] == ["198.51.100.8"]
    assert len(client.get(f"{API}/logs?rateLimited=true").json()) == 2
    assert {it["status"] for it in client.get(f"{API}/logs?statusRange=4").json()} == {404, 429}
    assert client.get(f"{API}/logs/stats").json()["rateLimited"] == 2
    assert client.delete(f"{API}/logs").json() == {"cleared": True}
    assert client.get(f"{API}/logs").json() == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/logs?limit=0", "limit must be a whole number from 1 on, not '0'"),
        ("/logs?limit=x", "limit must be a whole number"),
        ("/logs?statusRange=9", "statusRange must be a digit from 1 to 5"),
        ("/logs?statusRange=", "statusRange must be a digit"),
        ("/logs?statusRange=12", "statusRange must be a digit"),
        ("/logs?rateLimited=yes", "rateLimited must be true or false"),
        ("/logs?from=1", "from"),
        ("/stats?x=1", "x"),
        ("/rate-limit/buckets?limit=-1", "limit must be"),
    ],
)
def test_queries_that_are_wrong(client: httpx2.Client, path: str, message: str) -> None:
    answer = client.get(API + path)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_buckets_can_be_seen_and_filled(client: httpx2.Client) -> None:
    for address in ("198.51.100.1", "198.51.100.2", "198.51.100.2"):
        client.get(KEY, headers={FORWARDED: address})
    buckets = client.get(f"{API}/rate-limit/buckets").json()
    assert [(it["key"], it["tokens"], it["retryAfter"]) for it in buckets] == [
        ("ip:198.51.100.2", 3, 0),
        ("ip:198.51.100.1", 4, 0),
    ]
    assert len(client.get(f"{API}/rate-limit/buckets?limit=1").json()) == 1
    path = f"{API}/rate-limit/buckets/ip%3A198.51.100.2"
    assert client.delete(path).json() == {"deleted": True, "key": "ip:198.51.100.2"}
    assert client.delete(path).json()["deleted"] is False
    assert client.post(f"{API}/rate-limit/clear").json() == {"cleared": 1}


def test_what_is_counted(client: httpx2.Client) -> None:
    before = client.get(f"{API}/rate-limit/metrics").json()
    for _ in range(7):
        client.get(KEY)
    after = client.get(f"{API}/rate-limit/metrics").json()
    assert after["config"] == {"capacity": 5, "windowSeconds": 3600}
    assert {name: after[name] - before[name] for name in list(before)[:3]} == {
        "totalRequests": 7,
        "blockedRequests": 2,
        "allowedRequests": 5,
    }
    stats = client.get(f"{API}/stats").json()
    assert stats["rateLimit"]["enabled"] is True
    assert stats["rateLimit"]["config"] == {"requests": 5, "window": "1h", "keyBy": "ip"}
    assert stats["cors"]["config"]["origin"] == [PAGE]
    assert client.get(f"{API}/config").json()["cors"]["credentials"] is False


@pytest.fixture(scope="module")
def plain(serve: Serve) -> Iterator[LiveServer]:
    """A server whose gateway does nothing but log, and that asks for keys."""
    with serve(environ={"RUNTIME_MASTER_KEY": MASTER}) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/rate-limit/metrics", "Rate limiting not enabled"),
        ("GET", "/rate-limit/buckets", "Rate limiting not enabled"),
        ("DELETE", "/rate-limit/buckets/a", "Rate limiting not enabled"),
        ("POST", "/rate-limit/clear", "Rate limiting not enabled"),
    ],
)
def test_what_is_off_says_so(plain: LiveServer, method: str, path: str, message: str) -> None:
    with client_for(plain, **{"x-api-key": MASTER}) as client:
        answer = client.request(method, API + path)
        assert (answer.status_code, answer.json()["error"]) == (400, message)
        assert client.get(f"{API}/config").json()["rateLimit"] is None
        assert "ratelimit-limit" not in answer.headers


def key_for(client: httpx2.Client, *permissions: str) -> dict[str, str]:
    body = {"name": "somebody", "permissions": list(permissions)}
    answer = client.post("/api/keys", json=body, headers={"x-api-key": MASTER})
    assert answer.status_code == 201, answer.text
    return {"x-api-key": answer.json()["data"]["key"]}


def test_12_the_api_asks_who_it_is(plain: LiveServer) -> None:
    with client_for(plain) as client:
        assert client.get(f"{API}/logs").status_code == 401
        reader, other = key_for(client, "gateway:read"), key_for(client, "streams:*")
        assert client.get(f"{API}/logs", headers=other).status_code == 403
        assert client.get(f"{API}/logs", headers=reader).status_code == 200
        assert client.delete(f"{API}/logs", headers=reader).status_code == 403
        admin = key_for(client, "gateway:admin")
        assert client.delete(f"{API}/logs", headers=admin).status_code == 200
        # Who is refused is noted as well.
        client.get(f"{API}/logs")
        assert client.get(f"{API}/logs", headers=admin).json()[0]["status"] == 401


def test_the_environment_comes_first(serve: Serve) -> None:
    environ = {
        "GATEWAY_RATE_LIMIT_REQUESTS": "7",
        "GATEWAY_RATE_LIMIT_WINDOW": "90",
        "GATEWAY_CORS_ORIGIN": f"{PAGE}, https://b.example",
        "GATEWAY_CORS_CREDENTIALS": "true",
    }
    options: dict[str, Any] = {"rateLimit": {"requests": 3, "keyBy": "header:x-team"}}
    with serve(environ=environ, **options) as server, client_for(server) as client:
        config = client.get(f"{API}/config").json()
        assert config["rateLimit"] == {"requests": 7, "window": 90, "keyBy": "header:x-team"}
        assert config["cors"]["origin"] == [PAGE, "https://b.example"]
        assert config["cors"]["credentials"] is True
        metrics = client.get(f"{API}/rate-limit/metrics").json()
        assert metrics["config"]["windowSeconds"] == 90


async def test_17_all_workers_share_a_limit(serve: Serve) -> None:
    """A bucket that is new in a worker knows what the others took."""
    limit = {"requests": 20, "window": "1h", "excludePaths": ["/gateway/**"]}
    most = 5_000  # what is asked while the test waits is listed too, and must push out nothing
    with serve(workers=2, rateLimit=limit, logSize=most) as server, client_for(server) as admin:
        passed, headers = 0, {"connection": "close"}
        for _ in range(40):  # each on a connection of its own, which either worker may take
            passed += admin.get("/health/live", headers=headers).status_code == 200
        assert passed == 20

        def counted() -> tuple[int, int]:
            metrics = admin.get(f"{API}/rate-limit/metrics").json()
            return metrics["totalRequests"], metrics["blockedRequests"]

        await until(lambda: counted() == (40, 20))

        def logged() -> int:
            entries = admin.get(f"{API}/logs?limit={most}").json()
            return sum(entry["path"] == "/health/live" for entry in entries)

        await until(lambda: logged() == 40)
        assert admin.post(f"{API}/rate-limit/clear").json() == {"cleared": 1}
        assert admin.get("/health/live").status_code == 200


def test_cookies_count_only_for_pages_that_may_have_them(serve: Serve, tmp_path: Path) -> None:
    """With `*` a page of anybody may write, but not as whoever looks at it."""
    environ = {"RUNTIME_MASTER_KEY": MASTER}
    for cors, status in (({"origin": PAGE, "credentials": True}, 200), ({"origin": "*"}, 401)):
        with serve(environ=environ, cors=cors) as server, client_for(server) as client:
            login = client.post("/api/admin/session", json={"key": MASTER})
            assert login.status_code in (200, 201), login.text
            assert client.get(f"{API}/logs").status_code == 200
            page = {"origin": PAGE}
            assert client.delete(f"{API}/logs", headers=page).status_code == status
            key = {**page, "x-api-key": MASTER}
            assert client.delete(f"{API}/logs", headers=key).status_code == 200

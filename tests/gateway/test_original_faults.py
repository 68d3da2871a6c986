"""What a gateway before this one did wrong: each of its 18 faults, by its number.

Faults with a file of their own are there: 1, 2 and the migration in `test_history.py`, 3 and 4 in
`test_shell.py`, 5 in `test_addresses.py`, 6 and 7 in `test_limiter.py`, 10 and 12 in
`test_passage.py`, 11 in `test_buckets.py`, 12 and 17 in `test_served.py`, 14 and 15 in
`test_cache.py`. Here they are seen once more from outside.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway.conftest import API, Serve, client_for
from support.live import LiveServer
from support.sse import EventStream, event_stream
from support.waiting import until

PAGE = "https://page.example"
OTHER = "https://other.example"
KEY = "/keyval/api/keys/large"
DOCUMENT = {"sec-fetch-dest": "document"}
HISTORY = ("gateway", "metrics", "history")
EXCLUDES = "/keyval/api/keys/gateway/shell/excludes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("all")


@pytest.fixture(scope="module")
def faulty(serve: Serve, folder: Path) -> Iterator[LiveServer]:
    """A server with everything on."""
    shell = folder / "shell"
    shell.mkdir()
    (shell / "index.html").write_text("<title>shell</title>")
    options: dict[str, Any] = {
        "rateLimit": {
            "requests": 500,
            "window": "1h",
            "excludePaths": ["/health"],
            "routes": [
                {"path": "/streams/own", "requests": 2, "window": "1h", "keyBy": "header:x-team"}
            ],
        },
        "cors": {"origin": f"{PAGE}, {OTHER}"},
        "cache": {"ttl": "1m", "paths": "/keyval/api/keys/cached/**"},
        "compression": {},
        "shellDir": "shell",
        "shellExcludes": "cpanel",
    }
    with serve(stored=True, folder=folder, **options) as server:
        yield server


@pytest.fixture
def client(faulty: LiveServer) -> Iterator[httpx2.Client]:
    with client_for(faulty) as client:
        client.post(f"{API}/rate-limit/clear")
        yield client


async def test_01_snapshots_are_keys_of_their_own(client: httpx2.Client) -> None:
    client.get(KEY)
    await until(lambda: client.get(f"{API}/metrics/history").json())
    (newest, *_) = client.get(f"{API}/metrics/history?limit=1").json()
    assert set(newest) == {
        "timestamp", "totalRequests", "blockedRequests", "allowedRequests", "activeBuckets",
    }  # fmt: skip
    key = "/keyval/api/keys/" + "/".join(HISTORY)
    assert client.get(key).status_code == 404  # no list of all of them
    assert client.delete(f"{API}/metrics/history").json() == {"cleared": True}


def test_02_what_was_counted_last_is_written_when_the_host_ends(
    serve: Serve, tmp_path: Path
) -> None:
    limit = {"requests": 50}
    with serve(stored=True, folder=tmp_path, rateLimit=limit) as server:
        with client_for(server) as client:
            for _ in range(3):
                client.get(KEY)
        assert server.stop() == 0
    again = serve(stored=True, folder=tmp_path, rateLimit=limit)
    with again as server, client_for(server) as client:
        (newest, *_) = client.get(f"{API}/metrics/history?limit=1").json()
    assert newest["totalRequests"] == 3


def test_03_an_exclude_is_a_key_with_the_time_it_was_added(client: httpx2.Client) -> None:
    path = f"{API}/shell/excludes"
    assert client.get("/lab/1", headers=DOCUMENT).text == "<title>shell</title>"
    added = client.post(path, json={"basename": "lab"}).json()
    assert added == {"added": True, "basename": "lab", "source": "keyval"}
    assert client.post(path, json={"basename": "lab"}).json()["added"] is False
    assert client.get("/lab/1", headers=DOCUMENT).status_code == 404
    env, stored = client.get(path).json()
    assert env == {"basename": "cpanel", "source": "env"}
    assert (stored["basename"], stored["source"]) == ("lab", "keyval")
    value = client.get(f"{EXCLUDES}/lab").json()["value"]
    assert value == {"addedAt": stored["addedAt"]}
    assert client.delete(f"{path}/lab").json() == {"removed": True, "basename": "lab"}
    assert client.delete(f"{path}/lab").json()["removed"] is False
    assert client.get("/lab/1", headers=DOCUMENT).status_code == 200


async def test_04_what_others_write_is_noticed(client: httpx2.Client) -> None:
    client.put(f"{EXCLUDES}/written", json={"addedAt": 5})
    await until(lambda: client.get("/written", headers=DOCUMENT).status_code == 404)
    client.delete(f"{EXCLUDES}/written")
    await until(lambda: client.get("/written", headers=DOCUMENT).status_code == 200)


def test_05_nobody_gets_a_new_bucket_by_saying_another_address(client: httpx2.Client) -> None:
    for number in range(3):
        said = f"192.0.2.{number}, 198.51.100.4"  # the last one is what the proxy has seen
        client.get(KEY, headers={"x-forwarded-for": said, "x-real-ip": f"192.0.2.{number}"})
    keys = {it["key"] for it in client.get(f"{API}/rate-limit/buckets").json()}
    assert "ip:198.51.100.4" in keys
    assert not any("192.0.2" in key for key in keys)


def test_06_excludes_are_globs_of_the_whole_path(client: httpx2.Client) -> None:
    assert "ratelimit-limit" not in client.get("/health").headers
    assert "ratelimit-limit" in client.get("/streams/health").headers


def test_07_a_header_tells_clients_apart_and_is_not_shown(client: httpx2.Client) -> None:
    red, blue = {"x-team": "red-secret"}, {"x-team": "blue-secret"}
    statuses = [client.get("/streams/own", headers=it).status_code for it in (red, red, red, blue)]
    assert statuses == [200, 200, 429, 200]
    shown = client.get(f"{API}/rate-limit/buckets").text
    assert "header:x-team:" in shown
    assert "secret" not in shown


def test_08_allowed_answers_say_what_is_left(client: httpx2.Client) -> None:
    headers = client.get(KEY).headers
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("500", "499")
    assert int(headers["x-ratelimit-reset"]) > 1_600_000_000_000  # milliseconds of the calendar
    assert int(headers["ratelimit-reset"]) < 60  # seconds from now


def test_09_lists_of_origins_hold_for_real_answers(client: httpx2.Client) -> None:
    for origin in (PAGE, OTHER):
        answer = client.get(KEY, headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "origin" in answer.headers["vary"]
    stranger = client.get(KEY, headers={"origin": "https://stranger.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_10_every_request_is_in_the_log(client: httpx2.Client) -> None:
    client.get("/streams/events?secret=1")
    (entry, *_) = client.get(f"{API}/logs?limit=1").json()
    assert (entry["path"], entry["status"], entry["rateLimited"]) == ("/streams/events", 200, False)
    assert entry["duration"] > 0


def told(stream: EventStream) -> dict[str, Any]:
    """What the next event tells."""
    event = stream.next()
    assert event is not None
    data: dict[str, Any] = event.data
    return data


async def test_13_a_stream_of_events_notices_who_leaves(
    faulty: LiveServer, client: httpx2.Client
) -> None:
    stream = EventStream(faulty.url, f"{API}/sse")
    first, second = told(stream), told(stream)
    for event in (first, second):
        assert set(event) == {"timestamp", "rateLimit", "cors", "shell", "recentLogs"}
    assert second["timestamp"] > first["timestamp"]
    assert (first["shell"]["enabled"], first["shell"]["excludes"]) == (True, ["cpanel"])
    assert first["cors"]["origin"] == [PAGE, OTHER]
    assert b"\r" not in b"".join(stream.chunks)
    stream.close()


def test_13_it_ends_cleanly_with_the_host(serve: Serve) -> None:
    with serve() as server:
        with event_stream(server.url, f"{API}/sse") as stream:
            assert told(stream)["rateLimit"] is None
            server.process.send_signal(signal.SIGTERM)
            while stream.next() is not None:  # it comes to an end, the last chunk included
                pass
        assert server.process.wait(20) == 0
        assert "without completing" not in server.output
        lines = [json.loads(line) for line in server.lines if line.startswith("{")]
        assert [it["message"] for it in lines if it["level"] in ("warn", "error")] == []


def test_14_no_regular_expression_comes_over_http(client: httpx2.Client) -> None:
    path = f"{API}/cache/invalidate"
    assert client.post(path, json={"pattern": "re:(a+)+$"}).status_code == 400
    assert client.post(path, json={"pattern": "x" * 600}).status_code == 400


def test_15_the_cache_works(client: httpx2.Client) -> None:
    key = "/keyval/api/keys/cached/a"
    client.put(key, json=1)
    first, second = client.get(key), client.get(key)
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    assert first.json() == second.json()
    assert "ratelimit-remaining" in second.headers
    client.put(key, json=2)
    assert client.get(key).json()["value"] == 2
    assert client.get(key).headers["x-cache"] == "HIT"
    invalidate = f"{API}/cache/invalidate"
    assert client.post(invalidate, json={"pattern": "/keyval/**"}).json() == {"invalidated": 1}
    assert client.get(key).headers["x-cache"] == "MISS"
    assert client.post(invalidate, json={"key": f"GET:{key}"}).json() == {"invalidated": 1}
    assert client.post(invalidate).json() == {"invalidated": "all"}
    assert "x-cache" not in client.get(KEY).headers


def test_16_the_shell_is_a_folder(client: httpx2.Client) -> None:
    page = client.get("/anything/below", headers=DOCUMENT)
    assert (page.status_code, page.text) == (200, "<title>shell</title>")
    assert page.headers["content-type"].startswith("text/html")
    assert client.head("/", headers=DOCUMENT).headers["content-length"] == str(len(page.text))
    assert client.get("/health", headers=DOCUMENT).json()["ok"] is True
    assert client.get("/api/plugins", headers=DOCUMENT).headers["content-type"] == (
        "application/json"
    )


def test_18_pages_are_told_why_they_are_refused(client: httpx2.Client) -> None:
    page = {"origin": PAGE, "x-team": "green"}
    answers = [client.get("/streams/own", headers=page) for _ in range(3)]
    assert answers[-1].status_code == 429
    assert answers[-1].headers["access-control-allow-origin"] == PAGE
    exposed = answers[-1].headers["access-control-expose-headers"]
    assert {"retry-after", "ratelimit-reset"} <= {*exposed.split(", ")}


def test_large_answers_get_smaller_and_streams_do_not(client: httpx2.Client) -> None:
    text = "word " * 20_000
    client.put(KEY, json=text)
    for encoding, connection in (("zstd", "keep-alive"), ("gzip", "close"), ("gzip", "keep-alive")):
        # One that ends goes by ASGI, where all is as on the direct way.
        headers = {"accept-encoding": encoding, "connection": connection}
        answer = client.get(KEY, headers=headers)
        assert answer.headers["content-encoding"] == encoding
        assert int(answer.headers["content-length"]) < 5_000
        assert answer.headers["etag"].startswith('W/"')
        assert "accept-encoding" in answer.headers["vary"]
    plain = client.get(KEY, headers={"accept-encoding": "identity"})
    assert plain.json()["value"] == text
    assert "content-encoding" not in plain.headers
    # The weak tag is as good as the strong one for who changes what was read.
    changed = client.put(KEY, json=1, headers={"if-match": answer.headers["etag"]})
    assert changed.status_code == 200
    events = client.get("/streams/events", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in events.headers


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/shell/excludes", {}, "basename is required"),
        ("POST", "/shell/excludes", {"basename": ""}, "basename is required"),
        ("POST", "/shell/excludes", {"basename": "a/b"}, "Invalid basename format"),
        ("POST", "/shell/excludes", {"basename": 5}, "Invalid basename format"),
        ("POST", "/shell/excludes", {"basenam": "a"}, "Unknown member 'basenam'"),
        ("POST", "/shell/excludes", {"basename": "cpanel"}, "Already excluded via environment"),
        ("DELETE", "/shell/excludes/cpanel", None, "Cannot remove environment-based exclude"),
        ("DELETE", "/shell/excludes/a.b", None, "Invalid basename format"),
        ("POST", "/cache/invalidate", {"key": 5}, "key must be a text"),
        ("POST", "/cache/invalidate", {"key": "a", "pattern": "b"}, "exclude each other"),
        ("POST", "/cache/invalidate", [], "The body has to be a JSON object"),
        ("GET", "/metrics/history?limit=0", None, "limit must be a whole number"),
    ],
)
def test_what_is_wrong_is_named(
    client: httpx2.Client, method: str, path: str, body: Any, message: str
) -> None:
    answer = client.request(method, API + path, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_what_is_off_or_missing_says_so(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("shell")
    with serve() as server, client_for(server) as client:
        for method, path, message in (
            ("GET", "/shell/excludes", "Shell not configured"),
            ("POST", "/shell/excludes", "Shell not configured"),
            ("DELETE", "/shell/excludes/a", "Shell not configured"),
            ("POST", "/cache/invalidate", "Cache not enabled"),
        ):
            answer = client.request(method, API + path)
            assert (answer.status_code, answer.json()["error"]) == (400, message)
        assert client.get(f"{API}/metrics/history").json() == []
        assert client.delete(f"{API}/metrics/history").json() == {"cleared": True}
        stats = client.get(f"{API}/stats").json()
        assert stats["cache"] == {"enabled": False, "entries": 0}
        assert stats["shell"] == {"enabled": False, "dir": None, "excludesCount": 0}
    with serve(shellDir=str(tmp_path), rateLimit={}) as server, client_for(server) as client:
        answer = client.post(f"{API}/shell/excludes", json={"basename": "a"})
        assert "plugin-keyval is not configured" in answer.json()["error"]
        assert client.get(f"{API}/shell/excludes").json() == []
        assert client.get(f"{API}/metrics/history").json() == []
        assert client.get("/x", headers=DOCUMENT).text == "shell"
        server.wait_for_output("Persistence disabled")


def test_what_is_wrong_in_the_configuration_is_named(serve: Serve) -> None:
    for options, message in (
        ({"shellDir": "missing"}, "shellDir"),
        ({"cors": {"origin": "*", "credentials": True}}, "cors.credentials"),
        ({"rateLimit": {"window": "soon"}}, "rateLimit.window"),
    ):
        with serve(**options) as server, client_for(server) as client:
            assert client.get(f"{API}/stats").status_code in (404, 503)
            server.wait_for_output(message)


def test_excludes_survive_a_restart(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("shell")
    options = {"stored": True, "folder": tmp_path, "shellDir": str(tmp_path)}
    with serve(**options) as server, client_for(server) as client:
        client.post(f"{API}/shell/excludes", json={"basename": "lab"})
    with serve(**options) as server, client_for(server) as client:
        assert client.get("/lab", headers=DOCUMENT).status_code == 404
        assert client.get("/labs", headers=DOCUMENT).text == "shell"

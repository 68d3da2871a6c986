"""What a proxy before this one did wrong: each of its 22 faults, by its number.

Those that need more have their tests elsewhere, under the same numbers: 07 in `test_http.py`, 08 in
`test_guards.py`, 16 and 17 in `test_live_reload.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx2
import pytest
from buntime_plugin_proxy.forward.headers import response_headers
from buntime_plugin_proxy.forward.html import rewritten
from buntime_plugin_proxy.forward.websocket import sendable
from buntime_plugin_proxy.rules.reading import rule_from
from buntime_plugin_proxy.rules.table import ReadyRule
from buntime_plugin_proxy.upstream.connection import Head
from proxy.conftest import Serve
from proxy.raw_request import sent
from proxy.upstream_app import PAGE, SEEN
from support.live import LiveServer
from support.waiting import PATIENCE
from websockets.sync.client import connect

RULES = "/redirects/api/rules"


@pytest.fixture(scope="module")
def faulty(serve: Serve, target: str) -> Iterator[LiveServer]:
    """A server with a rule for each that the original would go wrong with."""
    rules = [
        {"pattern": "^/open(.*)", "rewrite": "$1", "target": target},
        {"pattern": "^/prefix(/.*)", "rewrite": "$1", "target": f"{target}/app"},
        {
            "pattern": "^/old(/.*)", "rewrite": "$1", "target": f"{target}/app",
            "targetPath": "replace",
        },
        {
            "pattern": "^/html(/.*)", "rewrite": "$1", "target": target, "relativePaths": True,
            "base": '/a&"b',
        },
        {"pattern": "^/origin", "target": target, "changeOrigin": True},
        {
            "pattern": "^/set", "target": target, "id": "mine",
            "headers": {"X-Token": "${TOKEN}", "User-Agent": "rule", "host": "named.example"},
        },
        {"pattern": "^/", "target": target},
    ]  # fmt: skip
    with serve(*rules, stored=True, environ={"TOKEN": "s3cret"}) as server:
        yield server


@pytest.fixture(scope="module")
def client(faulty: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=faulty.url, trust_env=False, timeout=PATIENCE) as made:
        yield made


def test_01_a_rewritten_path_cannot_name_another_host(client: httpx2.Client) -> None:
    for path in ("//evil.example/x", "///evil.example/x"):
        told = client.get(f"/open{path}").json()
        assert told["path"] == "/evil.example/x"
        assert dict(told["headers"])["host"] == client.base_url.netloc.decode()
    assert client.get("/open/\\evil.example").status_code == 400
    assert client.get("/open@evil.example/x").json()["path"] == "/@evil.example/x"


def test_02_the_path_of_the_target_is_kept(client: httpx2.Client) -> None:
    assert client.get("/prefix/x").json()["path"] == "/app/x"
    assert client.get("/old/x").json()["path"] == "/x"


def test_03_targets_are_guarded(client: httpx2.Client) -> None:
    """`test_guards.py` and `test_access.py` have the rest."""
    rule = {"pattern": "^/metadata", "target": "http://169.254.169.254/latest"}
    made = client.post(RULES, json=rule).json()
    ids = client.get(RULES).json()
    assert made["id"] in [rule["id"] for rule in ids]
    for scheme in ("file:///etc/passwd", "gopher://x", "javascript:1"):
        assert client.post(RULES, json={**rule, "target": scheme}).status_code == 400
    client.delete(f"{RULES}/{made['id']}")


def test_04_the_tenth_group_is_not_the_first(client: httpx2.Client) -> None:
    """`test_matching.py` has the rest."""
    pattern = "^/" + "".join(f"({letter})" for letter in "abcdefghij")
    rule = {"pattern": pattern, "target": "http://t", "rewrite": "/$10/$1"}
    answer = client.post("/redirects/api/test", json={"path": "/abcdefghij", "rule": rule})
    assert answer.json()["url"] == "http://t/j/a"


def test_05_no_pattern_holds_the_server_up(client: httpx2.Client) -> None:
    """`test_matching.py` measures it."""
    rule = {"pattern": "(a+)+$", "target": "http://t"}
    path = "/" + "a" * 8000 + "!"
    tried = client.post("/redirects/api/test", json={"path": path, "rule": rule})
    assert tried.json()["matched"] is False


def test_06_redirects_are_the_clients(client: httpx2.Client, target: str) -> None:
    before = SEEN.requests
    answer = client.get("/open/moved", params={"to": f"{target}/x?y"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/x?y")
    assert SEEN.requests == before
    for elsewhere in ("https://other.example/x", f"{target}.evil.example/", "/x", "x"):
        answer = client.get("/open/moved", params={"to": elsewhere})
        assert answer.headers["location"] == elsewhere
    answer = client.get("/prefix/moved", params={"to": "x"})
    assert answer.status_code == 200  # /app/moved, which tells what it got
    answer = client.get("/html/moved", params={"to": f"{target}/x"})
    assert answer.headers["location"] == '/a&"b/x'
    for here in ("/x", target.partition(":")[2] + "/x"):
        answer = client.get("/html/moved", params={"to": here})
        assert answer.headers["location"] == '/a&"b/x'


def test_06_a_target_may_name_this_host(client: httpx2.Client) -> None:
    """As it is told with `Host`, unless the rule changes that."""
    host = client.base_url.netloc.decode()
    base = '/a&"b'
    for location, told in (
        (f"http://{host}/x?y", f"http://{host}{base}/x?y"),
        (f"http://{host}", f"http://{host}{base}/"),
        (f"//{host.upper()}/x", f"//{host.upper()}{base}/x"),
        (f"https://{host}/x", f"https://{host}{base}/x"),
        (f"http://{host}.evil.example/x", f"http://{host}.evil.example/x"),
        (f"http://{host}@evil.example/x", f"http://{host}@evil.example/x"),
        (f"ftp://{host}/x", f"ftp://{host}/x"),
    ):
        answer = client.get("/html/moved", params={"to": location})
        assert (answer.status_code, answer.headers["location"]) == (302, told)
    for _ in range(3):  # on all ways that requests take
        for location in (f"http://{host}/x", "https://other.example/x"):
            answer = client.get("/open/moved", params={"to": location})
            assert answer.headers["location"] == location


@pytest.mark.parametrize(
    ("target", "told", "location", "expected"),
    [
        ("http://t/p", ["app.example"], "http://app.example/p/x", "http://app.example/r/x"),
        ("http://t/p", ["app.example"], "https://app.example:443/p", "https://app.example:443/r/"),
        ("http://t/p", ["app.example:80"], "http://app.example/x", "http://app.example/r/x"),
        ("http://t/p", ["app.example"], "http://app.example:8080/p/x", None),
        ("http://t/p", ["app.example"], "http://app.example/r/x", None),
        ("http://t/r", ["app.example"], "http://app.example/rx", "http://app.example/r/rx"),
        ("http://t/p", ["app.example", "b"], "//b/p/x#y", "//b/r/x#y"),
        ("http://t/p", [], "http://app.example/p/x", None),
        ("http://t/p", ["app.example"], "http:///p/x", None),
    ],
)
def test_06_the_name_of_this_host_stays(
    target: str, told: list[str], location: str, expected: str | None
) -> None:
    ready = ReadyRule(rule_from({"pattern": "^/", "target": target}, "r"))
    headers = response_headers(
        Head(302, [(b"content-location", location.encode())]),
        ready,
        "/r",
        lambda: [name.encode() for name in told],
    )
    assert headers == [(b"content-location", (expected or location).encode())]


@pytest.mark.parametrize(
    ("target", "location", "told"),
    [
        ("http://t.example", "http://t.example:80/x", "/x"),
        ("https://t.example", "https://t.example:443/x?y", "/x?y"),
        ("https://t.example", "//t.example:443", "/"),
        ("http://t.example:81", "http://T.example:81/x", "/x"),
        ("http://t.example", "http://t.example:8080/x", "http://t.example:8080/x"),
        ("http://t.example", "http://t.example:80.evil.example/x", None),
        ("http://t.example", "http://t.example:80@evil.example/x", None),
    ],
)
def test_06_a_target_may_say_its_port(target: str, location: str, told: str | None) -> None:
    ready = ReadyRule(rule_from({"pattern": "^/", "target": target}, "r"))
    headers = response_headers(Head(302, [(b"location", location.encode())]), ready)
    assert headers == [(b"location", (told or location).encode())]


def test_09_what_is_of_one_connection_stays_there(client: httpx2.Client) -> None:
    given = {
        "connection": "x-private, te, cookie", "x-private": "1", "te": "trailers",
        "trailer": "x-t", "proxy-connection": "keep-alive", "keep-alive": "timeout=5",
        "proxy-authorization": "Basic x", "x-identity": '{"sub":"root"}',
        "x-buntime-internal": "1", "x-base": "/", "cookie": "a=b",
    }  # fmt: skip
    got = dict(client.get("/x", headers=given).json()["headers"])
    assert not set(given) - {"cookie"} & set(got)
    assert got["cookie"] == "a=b"  # nobody may take that away by naming it
    answer = client.get("/open/cookies")
    assert not {"x-private", "keep-alive", "transfer-encoding"} & set(answer.headers)


def test_10_answers_pass_as_they_are(client: httpx2.Client) -> None:
    answer = client.get("/open/cookies")
    assert answer.headers.get_list("set-cookie") == [
        "a=1; Path=/; SameSite=lax",
        "b=2; Path=/; SameSite=lax",
    ]
    with client.stream("GET", "/open/packed") as stream:
        assert stream.headers["content-encoding"] == "gzip"
        assert b"".join(stream.iter_raw()) == b"not unpacked"
        assert stream.headers["content-length"] == "12"


def test_11_pages_are_rewritten_in_their_tags_only(client: httpx2.Client) -> None:
    answer = client.get("/html/page")
    assert answer.text == (
        "<!doctype html><html><HEAD data-x='>'><base href=\"/a&amp;&quot;b/\">"
        "<title>'/a'</title></HEAD>"
        "<script>let a = '/x'; let b = \"<a href='/y'>\"</script>"
        "<!-- <a href='/c'> --><a href='./a'>ä</a><img src=\"//cdn/x\"><img SRC = ./y.png></html>"
    )
    assert answer.headers["etag"] == 'W/"1"'
    assert "accept-ranges" not in answer.headers
    assert client.get("/open/page").text == PAGE
    head = client.head("/html/page")
    assert "content-length" not in head.headers  # nobody knows that of the page that is made
    assert (head.headers["etag"], "accept-ranges" in head.headers) == ('W/"1"', False)
    assert int(client.head("/open/page").headers["content-length"]) == len(PAGE.encode())
    assert client.get("/html/unchanged").headers["etag"] == 'W/"1"'


def test_11_no_page_takes_long() -> None:
    """Of the time of this thread: what is not closed is looked at once."""
    rule = rule_from(
        {"pattern": "x", "target": "http://t", "relativePaths": True, "base": "/"}, "r"
    )
    for piece in ("<a", '<a "', "<a '\"", "<!--", "<script>", "<a href=", "<head ", "<a \"'<b '"):
        page = piece.encode() * (200_000 // len(piece))
        begun = time.thread_time()
        rewritten(page, [(b"content-type", b"text/html")], rule)
        assert time.thread_time() - begun < 2, piece


def test_12_websockets_lose_nothing(faulty: LiveServer, target: str) -> None:
    """`test_websocket.py` has the rest."""
    url = faulty.url.replace("http", "ws")
    with connect(f"{url}/open/talk?a=b", proxy=None, open_timeout=PATIENCE) as socket:
        told = json.loads(socket.recv(20))  # sent by the target at once
        assert told["query"] == "a=b"
    assert [sendable(code) for code in (1000, 1001, 1005, 1006, 1015, 3999, 4999, 5000, 0)] == [
        1000, 1001, 1000, 1011, 1011, 3999, 4999, 1011, 1011,
    ]  # fmt: skip


def test_13_fields_can_be_cleared(client: httpx2.Client) -> None:
    rule = {"pattern": "^/c", "target": "http://t", "rewrite": "/x", "headers": {"a": "b"}}
    made = client.post(RULES, json=rule).json()
    changed = client.put(f"{RULES}/{made['id']}", json={"rewrite": None, "headers": None}).json()
    assert changed == {k: v for k, v in made.items() if k not in ("rewrite", "headers")}
    patched = client.patch(f"{RULES}/{made['id']}", json={"name": "n"}).json()
    assert patched == {**changed, "name": "n"}
    for wrong in ({"rewrite": 1}, {"headers": {"a": "b\r\nc: d"}}, {"headers": {"a\n": "b"}}):
        assert client.put(f"{RULES}/{made['id']}", json=wrong).status_code == 400
    client.delete(f"{RULES}/{made['id']}")


def test_14_a_reorder_loses_no_rule(client: httpx2.Client) -> None:
    """`test_rules_api.py` has its errors, `test_live_reload.py` changes at the same time."""
    ids = [
        client.post(RULES, json={"pattern": "^/o", "target": "http://t"}).json()["id"]
        for _ in range(2)
    ]
    answer = client.put(f"{RULES}/reorder", json={"ids": [ids[0], ids[0]]})
    assert answer.status_code == 400
    dynamic = [rule["id"] for rule in client.get(RULES).json() if not rule["readonly"]]
    assert dynamic == ids
    for one in ids:
        client.delete(f"{RULES}/{one}")


def test_15_deleting_a_rule_deletes_nothing_else(client: httpx2.Client) -> None:
    made = client.post(RULES, json={"pattern": "^/d", "target": "http://t"}).json()
    below = f"/keyval/api/keys/proxy/rules/{made['id']}/note"
    client.put(below, json="mine")
    assert client.delete(f"{RULES}/{made['id']}").status_code == 200
    assert client.get(below).json()["value"] == "mine"
    assert client.get(f"/keyval/api/keys/proxy/rules/{made['id']}").status_code == 404
    client.delete(below)


def test_18_rules_of_the_configuration_keep_their_ids(client: httpx2.Client) -> None:
    ids = [rule["id"] for rule in client.get(RULES).json() if rule["readonly"]]
    assert ids == [f"static-{i}" for i in range(5)] + ["static-mine", "static-6"]


def test_19_no_rule_takes_over_a_plugin(client: httpx2.Client) -> None:
    """`test_guards.py` has the rest: here a rule for everything is in force."""
    assert client.get("/anything").json()["path"] == "/anything"
    assert client.get(RULES).json()[0]["id"] == "static-0"
    assert "x-buntime-hop" not in client.get("/health").text


def test_20_secrets_are_put_in_by_the_host_alone(client: httpx2.Client) -> None:
    got = dict(client.get("/set").json()["headers"])
    assert (got["x-token"], got["user-agent"]) == ("s3cret", "rule")
    rule = {"pattern": "^/leak", "target": "http://t", "headers": {"x-token": "${TOKEN}"}}
    made = client.post(RULES, json=rule).json()
    assert made["headers"] == {"x-token": "${TOKEN}"}
    client.delete(f"{RULES}/{made['id']}")


def test_21_what_is_not_found_is_said_in_json(client: httpx2.Client) -> None:
    answer = client.get(f"{RULES}/nobody")
    assert (answer.status_code, answer.json()["error"]) == (404, "Rule not found")


def test_22_who_sent_it_is_told(client: httpx2.Client, faulty: LiveServer, target: str) -> None:
    """`test_http.py` has what strangers and trusted proxies say."""
    got = dict(client.get("/origin", headers={"origin": faulty.url}).json()["headers"])
    assert got["host"] == target.removeprefix("http://")
    assert got["origin"] == target
    assert got["x-forwarded-host"] == faulty.url.removeprefix("http://")
    assert got["x-forwarded-for"] == got["x-real-ip"] == "127.0.0.1"
    assert dict(client.get("/set").json()["headers"])["host"] == "named.example"


@pytest.mark.parametrize(
    "request_head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "X-A: b\x00c",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ],
)
def test_requests_that_can_be_read_in_two_ways_never_leave(
    faulty: LiveServer, request_head: str
) -> None:
    before = SEEN.requests
    head = f"POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{request_head}\r\n\r\n"
    smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    status, _ = sent(faulty.url, f"{head}0\r\n\r\n{smuggled}".encode())
    assert status == 400
    assert SEEN.requests == before

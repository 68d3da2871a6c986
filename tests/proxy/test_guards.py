"""Where rules may not lead, and what they may not take over."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from buntime_plugin_proxy.upstream.errors import TargetRefused
from buntime_plugin_proxy.upstream.guard import TargetGuard
from proxy.conftest import Serve, client_for
from proxy.raw_request import asked
from proxy.upstream_app import running_app
from support.certificates import Certificates
from support.live import LiveServer
from support.waiting import PATIENCE


def allows(guard: TargetGuard, host: str, *addresses: str, port: int = 80) -> bool:
    try:
        guard.check(host, port, addresses or (host,))
    except TargetRefused:
        return False
    return True


def plain(address: str) -> str:
    """An address of IPv4 that one of IPv6 stands for."""
    return address.removeprefix("::ffff:").removeprefix("64:ff9b::").removeprefix("0:")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "fd20:ce::254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:7a9:fe:a9fe::",
        "64:ff9b:1:777:a9:fea9:fe00:0",
    ],
)
def test_where_clouds_keep_secrets_is_no_target(address: str) -> None:
    assert not allows(TargetGuard(), address)
    assert not allows(TargetGuard(["rebound.example"]), "rebound.example", address)
    assert allows(TargetGuard([plain(address)]), address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "::1",
        "fc00::1",
        "0.0.0.0",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1::93.184.216.34",
        "192.0.0.10",
        "3fff::1",
    ],
)
def test_private_addresses_can_be_refused(address: str) -> None:
    assert allows(TargetGuard(), address)
    assert not allows(TargetGuard(deny_private=True), address)
    assert not allows(TargetGuard(deny_private=True), "mixed.example", "93.184.216.34", address)
    assert allows(TargetGuard(deny_private=True), "public.example", "93.184.216.34")
    assert allows(TargetGuard([plain(address)], deny_private=True), address)


def test_names_that_are_allowed() -> None:
    guard = TargetGuard(["app.internal:3000", "*.example.com", "10.1.0.0/16"])
    ip = "93.184.216.34"
    assert allows(guard, "app.internal", ip, port=3000)
    assert allows(guard, "APP.internal", ip, port=3000)
    assert allows(guard, "a.b.example.com", ip)
    assert allows(guard, "whatever", "10.1.9.9")
    assert not allows(guard, "app.internal", ip, port=3001)
    assert not allows(guard, "example.com", ip)
    assert not allows(guard, "badexample.com", ip)
    assert not allows(guard, "whatever", "10.1.9.9", "10.2.0.1")


@pytest.mark.parametrize("entry", ["", "*", "a/b", "host:port", "http://a"])
def test_entries_that_mean_nothing(entry: str) -> None:
    with pytest.raises(ValueError, match="allowTargets"):
        TargetGuard([entry])


def test_a_target_that_is_not_allowed_is_never_reached(serve: Serve, target: str) -> None:
    rules = (
        {"pattern": "^/a", "target": target},
        {"pattern": "^/b", "target": "http://localhost:1"},
    )
    with serve(*rules, denyPrivate=True) as server:
        for path in ("/a", "/b"):
            answer = httpx2.get(server.url + path, trust_env=False, timeout=PATIENCE)
            assert (answer.status_code, answer.json()["code"]) == (502, "TARGET_NOT_ALLOWED")
            assert answer.json()["error"] == "Proxy error: the target is not allowed"


@pytest.fixture(scope="module")
def everything(serve: Serve, target: str) -> Iterator[LiveServer]:
    """A server with a rule for every path there is."""
    with serve({"pattern": ".*", "target": target}, stored=True) as server:
        yield server


@pytest.mark.parametrize(
    "path",
    [
        "/redirects/api/rules", "/%72edirects/api/rules", "/redirects", "/keyval/api/keys/a",
        "/%6Beyval/api/keys/a", "/database/api/adapters", "/health", "/api/plugins",
        "/.well-known/buntime", "/_/plugin-keyval/keys/a", "/",
    ],
)  # fmt: skip
def test_plugins_and_the_host_keep_their_paths(everything: LiveServer, path: str) -> None:
    answer = httpx2.get(everything.url + path, trust_env=False, timeout=PATIENCE)
    assert "x-buntime-hop" not in answer.text


@pytest.mark.parametrize("path", ["/redirects%2Fapi/rules", "/redirectsx", "//redirects/api", "/x"])
def test_everything_else_is_for_rules(everything: LiveServer, path: str) -> None:
    status, body = asked(everything.url, "GET", path)
    assert status == 200
    assert b"x-buntime-hop" in body


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/a/..",
        "/./a",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/a/..;/b",
        "/a\\b",
        "/a%2f..%2Fb",
        "/a/..%5cb",
        "/a%5C%2e",
        "/a<b>",
    ],
)
def test_paths_that_can_be_read_in_two_ways(everything: LiveServer, path: str) -> None:
    status, _ = asked(everything.url, "GET", path)
    assert status == 400


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_do_not_pass(everything: LiveServer, method: str) -> None:
    status, _ = asked(everything.url, method, "/x")
    assert status in (400, 405)


def test_rules_take_over_what_they_are_allowed(serve: Serve, target: str) -> None:
    options = {"allowShadow": ["/", "/keyval"]}
    rule = {"pattern": "^/$|^/keyval/api/own", "target": target}
    with serve(rule, stored=True, **options) as server, client_for(server) as client:
        for path in ("/", "/keyval/api/own/x"):
            assert "x-buntime-hop" in client.get(path).text
        found = client.get("/keyval/api/keys/a")
        assert (found.status_code, "x-buntime-hop" in found.text) == (404, False)
        assert client.get("/redirects/api/rules").json()[0]["id"] == "static-0"
        tried = client.post("/redirects/api/test", json={"path": "/keyval/api/own"}).json()
        assert tried["matched"] is True


def test_what_is_taken_over_is_a_base(serve: Serve) -> None:
    with serve(stored=True, allowShadow=["/a/b"]) as server:
        assert "allowShadow" in server.output
        answer = httpx2.get(f"{server.url}/redirects/api/rules", trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (503, "PLUGIN_NOT_RUNNING")


def test_a_loop_has_an_end(serve: Serve, target: str) -> None:
    with (
        serve({"pattern": "^/other", "target": target}, stored=True) as server,
        client_for(server) as client,
    ):
        rule = {"pattern": "^/round", "target": server.url}
        assert client.post("/redirects/api/rules", json=rule).status_code == 201
        answer = client.get("/round")
        assert (answer.status_code, answer.json()["code"]) == (508, "LOOP_DETECTED")
        for hops in ("5", "99999", "x", "-1"):
            assert client.get("/other", headers={"x-buntime-hop": hops}).status_code == 508
        assert client.get("/other", headers={"x-buntime-hop": "4"}).status_code == 200


@contextmanager
def tls_target(folder: Path) -> Iterator[tuple[str, str]]:
    """The URL of a target whose certificate nobody has vouched for, and the file that does."""
    certificates = Certificates(folder)
    certificate, key = certificates.signed("localhost")
    with running_app(ssl_certfile=certificate, ssl_keyfile=key) as port:
        yield f"https://localhost:{port}", certificates.authority


def test_08_certificates_have_to_be_good(serve: Serve, tmp_path: Path) -> None:
    with tls_target(tmp_path) as (url, authority):
        rules = (
            {"pattern": "^/checked", "target": url},
            {"pattern": "^/unchecked", "target": url, "secure": False},
            {"pattern": "^/other", "target": url.replace("localhost", "127.0.0.1")},
        )

        def statuses(environ: dict[str, str]) -> list[int]:
            with serve(*rules, environ=environ) as server, client_for(server) as client:
                answer = client.get("/checked")
                if answer.status_code == 502:
                    said = "Proxy error: the certificate of the target is not good"
                    assert answer.json()["error"] == said
                paths = ("/checked", "/unchecked", "/other")
                return [client.get(path).status_code for path in paths]

        assert statuses({}) == [502, 200, 502]
        assert statuses({"SSL_CERT_FILE": authority}) == [200, 200, 502]
        assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED
        assert urlsplit(url).hostname == "localhost"

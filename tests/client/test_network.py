"""Proxies, certificates, sockets, and the variables that name them."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from buntime_keyval import InvalidInput, Kv, ServerUnreachable, Tls
from buntime_keyval._http import Settings
from buntime_keyval._network import find_proxy, of_environment

pytestmark = pytest.mark.slow

HTTP = "http://proxy.example:3128"


def proxy_of(url: str, **environ: str) -> str | None:
    found = find_proxy(urlsplit(url), environ)
    return None if found is None else found.url


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("http://kv.example/api", {}, None),
        ("http://kv.example/api", {"http_proxy": HTTP}, HTTP),
        ("http://kv.example/api", {"HTTP_PROXY": HTTP}, HTTP),
        ("http://kv.example/api", {"HTTP_PROXY": HTTP, "REQUEST_METHOD": "GET"}, None),
        ("http://kv.example/api", {"https_proxy": HTTP}, None),
        ("https://kv.example/api", {"https_proxy": HTTP}, HTTP),
        ("https://kv.example/api", {"ALL_PROXY": HTTP}, HTTP),
        ("http://kv.example/api", {"http_proxy": "http://a:1", "all_proxy": HTTP}, "http://a:1"),
        ("http://kv.example/api", {"http_proxy": "proxy.example:3128"}, HTTP),
        ("http://kv.example/api", {"http_proxy": " "}, None),
        ("http://127.0.0.1:8000/api", {"http_proxy": HTTP, "all_proxy": "socks5://a:1"}, None),
        ("http://127.9.9.9/api", {"http_proxy": HTTP}, None),
        ("http://localhost/api", {"http_proxy": HTTP}, None),
        ("http://app.localhost/api", {"http_proxy": HTTP}, None),
        ("http://[::1]:8000/api", {"http_proxy": HTTP}, None),
    ],
)
def test_the_proxy_of_the_environment(url: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_of(url, **environ) == proxy


@pytest.mark.parametrize(
    ("url", "no_proxy", "excepted"),
    [
        ("http://kv.example/api", "*", True),
        ("http://kv.example/api", "kv.example", True),
        ("http://KV.example/api", "kv.EXAMPLE", True),
        ("http://kv.example/api", "example", True),
        ("http://kv.example/api", ".example", True),
        ("http://kv.example/api", "*.example", True),
        ("http://kv.example/api", "other, kv.example", True),
        ("http://kv.example/api", "v.example", False),
        ("http://kv.example/api", "kv.example.org", False),
        ("http://kv.example:81/api", "kv.example:81", True),
        ("http://kv.example:81/api", "kv.example:82", False),
        ("http://kv.example/api", "kv.example:80", True),
        ("http://10.1.2.3/api", "10.0.0.0/8", True),
        ("http://11.1.2.3/api", "10.0.0.0/8", False),
        ("http://10.1.2.3/api", "10.1.2.3", True),
        ("http://kv.example/api", "10.0.0.0/8", False),
        ("http://[fd00::5]/api", "fd00::/8", True),
        ("http://[fd00::5]/api", "[fd00::5]", True),
        ("http://kv.example/api", "", False),
        ("http://kv.example/api", ",", False),
    ],
)
def test_what_is_excepted(url: str, no_proxy: str, excepted: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        found = proxy_of(url, http_proxy=HTTP, **{name: no_proxy})
        assert found == (None if excepted else HTTP)


def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("http_proxy", "all_proxy", "no_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with (
        Kv("http://kv.example/api") as kv,
        pytest.raises(ServerUnreachable, match="through the proxy of HTTP_PROXY"),
    ):
        kv.get(["a"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", r"ALL_PROXY names a SOCKS proxy.*NO_PROXY"),
        ("http_proxy", "socks5h://a:1", r"http_proxy names a SOCKS proxy"),
        ("HTTP_PROXY", "ftp://a:1", r"HTTP_PROXY is not the URL of a proxy"),
        ("HTTP_PROXY", "http://", r"HTTP_PROXY is not the URL of a proxy"),
        ("HTTP_PROXY", "http://a:port", r"HTTP_PROXY is not the URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    for other in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.upper(), raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=message):
        Kv("http://kv.example/api")
    Kv("http://127.0.0.1:1/api").close()
    monkeypatch.setenv("NO_PROXY", "kv.example")
    Kv("http://kv.example/api").close()


@pytest.mark.parametrize(
    ("url", "proxy", "verifies"),
    [
        ("http://kv.example/api", None, False),
        ("https://kv.example/api", None, True),
        ("http://kv.example/api", "https://127.0.0.1:1", True),
        ("http://kv.example/api", "http://127.0.0.1:1", False),
    ],
)
def test_certificates_are_verified_wherever_something_is_encrypted(
    url: str, proxy: str | None, verifies: bool
) -> None:
    verify = Settings(url, proxy=proxy).server.verify
    assert isinstance(verify, ssl.SSLContext) is verifies
    if isinstance(verify, ssl.SSLContext):
        assert verify.verify_mode is ssl.CERT_REQUIRED


def test_tls_options(tmp_path: Path) -> None:
    own = ssl.create_default_context()
    assert Settings("https://x", tls=Tls(verify=own)).server.verify is own
    unverified = Settings("https://x", tls=Tls(verify=False)).server.verify
    assert isinstance(unverified, ssl.SSLContext)
    assert unverified.verify_mode is ssl.CERT_NONE
    nothing = str(tmp_path / "missing.pem")
    for tls in (Tls(verify=nothing), Tls(cert=nothing), Tls(cert=(nothing, nothing))):
        with pytest.raises(InvalidInput, match="verify or cert cannot be used: No such file"):
            Settings("https://x", tls=tls)
    with pytest.raises(InvalidInput, match="belongs into the SSLContext"):
        Settings("https://x", tls=Tls(verify=own, cert=nothing))


def test_a_unix_socket_and_a_proxy_exclude_each_other() -> None:
    with pytest.raises(InvalidInput, match="give one of them"):
        Settings("http://x", unix_socket="/tmp/x", proxy=HTTP)


def test_the_server_of_the_environment() -> None:
    environ = {"BUNTIME_URL": " http://kv.example/api ", "BUNTIME_TOKEN": "t"}
    assert of_environment(None, None, environ) == ("http://kv.example/api", "t")
    assert of_environment(None, "own", environ) == ("http://kv.example/api", "own")
    # A token is for the server that it was given with.
    assert of_environment("http://other/api", None, environ) == ("http://other/api", None)
    assert of_environment(None, None, {"BUNTIME_URL": "http://x"}) == ("http://x", None)
    with pytest.raises(InvalidInput, match="BUNTIME_URL"):
        of_environment(None, None, {})

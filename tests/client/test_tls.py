"""Certificates of the server and of the client, with authorities that are made here."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from buntime_keyval import AsyncKv, ConnectionLost, Kv, KvError, ServerUnreachable, Tls
from client.hostile import always, answer, hostile
from support.certificates import Certificates

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl"),
]

VALUE = "x" * 3_000_000
ENTRY = b'{"key":["a"],"value":"%s","versionstamp":"v"}' % VALUE.encode()
COMMITTED = b'{"ok":true,"versionstamp":"v"}'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def of_server(certificates: Certificates) -> ssl.SSLContext:
    """What a server has that proves to be `localhost`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.signed("localhost"))
    return context


Use = Callable[[str, Tls], list[Any]]


def blocking(url: str, tls: Tls) -> list[Any]:
    with Kv(url, tls=tls, retries=0, timeout="10s") as kv:
        return [kv.get(["a"]).value, kv.set(["a"], VALUE).ok, kv.get(["a"]).value]


async def _use(url: str, tls: Tls) -> list[Any]:
    async with AsyncKv(url, tls=tls, retries=0, timeout="10s") as kv:
        first = (await kv.get(["a"])).value
        return [first, (await kv.set(["a"], VALUE)).ok, (await kv.get(["a"])).value]


def waiting(url: str, tls: Tls) -> list[Any]:
    return asyncio.run(_use(url, tls))


def on_uvloop(url: str, tls: Tls) -> list[Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_use(url, tls))


both = pytest.mark.parametrize("use", [blocking, waiting, on_uvloop])


def serve(client: Any) -> None:
    while (request := client.request()) is not None:
        client.send(answer(ENTRY if request.startswith(b"GET") else COMMITTED))


@both
def test_an_authority_of_ones_own(
    use: Use, certificates: Certificates, of_server: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile(serve, tls=of_server) as server:
        own = ssl.create_default_context(cafile=certificates.authority)
        ways = [Tls(verify=certificates.authority), Tls(verify=own), Tls(verify=False)]
        for tls in ways:
            assert use(server.url, tls) == [VALUE, True, VALUE]
        assert server.connections == len(ways), "one carries all requests of a client"
        with pytest.raises(ServerUnreachable, match="certificate verify failed"):
            use(server.url, Tls())
        monkeypatch.setenv("SSL_CERT_FILE", certificates.authority)
        assert use(server.url, Tls()) == [VALUE, True, VALUE]
    assert len(server.requests) == 3 * (len(ways) + 1)


@both
def test_a_certificate_of_another_host(use: Use, certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.signed("other.example"))
    with (
        hostile(serve, tls=context) as server,
        pytest.raises(ServerUnreachable, match="localhost"),
    ):
        use(server.url, Tls(verify=certificates.authority))
    assert not server.requests


@both
def test_a_certificate_of_the_client(use: Use, certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.signed("localhost"))
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = Tls(verify=certificates.authority, cert=certificates.signed("client"))
    with hostile(serve, tls=context) as server:
        assert use(server.url, tls) == [VALUE, True, VALUE]
        with pytest.raises(KvError):  # TLS 1.3 says so with the first answer
            use(server.url, Tls(verify=certificates.authority))
    assert len(server.requests) == 3


@both
def test_one_side_encrypts_and_the_other_does_not(use: Use, of_server: ssl.SSLContext) -> None:
    with hostile(always(answer(ENTRY))) as server, pytest.raises(ServerUnreachable):
        use(server.url.replace("http:", "https:"), Tls(verify=False))
    with hostile(serve, tls=of_server) as server, pytest.raises(ConnectionLost):
        use(server.url.replace("https:", "http:"), Tls())
    assert not server.requests


@both
def test_a_handshake_that_nobody_answers(use: Use) -> None:
    def connect() -> list[Any]:
        with Kv(url, tls=Tls(verify=False), connect_timeout="100ms", retries=0) as kv:
            return [kv.get(["a"])]

    async def connect_waiting() -> list[Any]:
        tls = Tls(verify=False)
        async with AsyncKv(url, tls=tls, connect_timeout="100ms", retries=0) as kv:
            return [await kv.get(["a"])]

    with hostile(lambda client: client.gone()) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(ServerUnreachable, match="too long"):
            connect() if use is blocking else asyncio.run(connect_waiting())

"""How `buntime serve` listens and is looked after: TLS, Unix sockets, SIGHUP, systemd."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from buntime_host.errors import ConfigError
from buntime_host.tls import Certificate
from support.certificates import Certificates

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Process, Serve

    Poll = Callable[[Callable[[], Any], str], Any]

ECHO = """
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def echo(request):
        body = await request.body()
        return PlainTextResponse(f"{request.url.scheme} {request.client is None} {len(body)}")

    @hookimpl
    def routes():
        return [Route("/echo", echo, methods=["POST"])]
"""


def serial_of(port: int, authority: str) -> str:
    """The serial number of the certificate that is shown."""
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection(("127.0.0.1", port)) as bare,
        context.wrap_socket(bare, server_hostname="localhost") as wrapped,
    ):
        shown = wrapped.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


def put(made: tuple[str, str], folder: Path) -> None:
    """Put a certificate and its key where a host looks for them."""
    for source, name in zip(made, ("cert.pem", "key.pem"), strict=True):
        shutil.copy(source, folder / name)


@pytest.mark.parametrize("workers", [1, 2])
def test_https_and_a_renewal(
    add_plugin: AddPlugin, serve: Serve, poll: Poll, tmp_path: Path, workers: int
) -> None:
    add_plugin("p", ECHO, base="/p")
    certificates = Certificates(tmp_path)
    put(certificates.signed("localhost"), tmp_path)
    config = {"plugins": ["p"], "tls": {"cert": "cert.pem", "key": "key.pem"}, "workers": workers}
    process = serve(config=config)
    port = process.port
    assert f"listening on https://127.0.0.1:{port}" in process.out
    trusting = ssl.create_default_context(cafile=certificates.authority)
    with httpx2.Client(verify=trusting) as client:
        url = f"https://localhost:{port}/p/echo"
        assert client.post(url, content=b"a" * 300_000).text == "https False 300000"
        first = serial_of(port, certificates.authority)
        put(certificates.signed("localhost"), tmp_path)
        process.signal(signal.SIGHUP)
        poll(lambda: serial_of(port, certificates.authority) != first, "the new certificate")
        assert client.post(url, content=b"a").text == "https False 1"  # on the old connection
        (tmp_path / "cert.pem").write_text("nonsense")
        process.signal(signal.SIGHUP)
        poll(lambda: "The certificate stays what it was: tls: " in process.err, "a complaint")
        assert client.post(url, content=b"a").text == "https False 1"
    process.signal()
    assert process.wait() == 0


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    chain, _ = certificates.signed("a")
    _, other = certificates.signed("b")
    with pytest.raises(ConfigError, match=r"tls: .*a\.pem with .*b\.key cannot be used"):
        Certificate(Path(chain), Path(other))
    with pytest.raises(ConfigError, match=r"gone\.pem cannot be read: No such file"):
        Certificate(tmp_path / "gone.pem", None)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(ConfigError, match=r"nonsense\.pem cannot be used"):
        Certificate(nonsense, None)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unix_socket(
    add_plugin: AddPlugin, serve: Serve, poll: Poll, tmp_path: Path, workers: int
) -> None:
    add_plugin("p", ECHO, base="/p")
    path = tmp_path / "host.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    config = {"plugins": ["p"], "socket": "host.sock", "workers": workers}
    process = serve(config=config)
    poll(lambda: f"listening on http+unix:{path}" in process.out, "the start")
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path))) as client:
        assert client.post("http://localhost/p/echo", content=b"ab").text == "http True 2"
    second = serve(config=config)
    assert second.wait() == 1
    assert f"cannot listen on {path}: Address already in use" in second.err
    process.signal()
    assert process.wait() == 0
    assert not path.exists()


def test_what_the_command_line_says_of_listening(
    add_plugin: AddPlugin, serve: Serve, poll: Poll, tmp_path: Path
) -> None:
    """It wins over the file and the environment."""
    add_plugin("p", ECHO, base="/p")
    certificates = Certificates(tmp_path)
    cert, key = certificates.signed("localhost")
    config = {"plugins": ["p"], "socket": "other.sock", "tls": {"cert": "gone", "key": "gone"}}
    files = ("--tls-cert", cert, "--tls-key", key)
    by_socket = serve("--socket", "host.sock", *files, config=config, RUNTIME_TLS_CERT="gone")
    poll(lambda: f"listening on https+unix:{tmp_path}/host.sock" in by_socket.out, "the start")
    by_port = serve("--host", "127.0.0.1", *files, RUNTIME_SOCKET="other.sock")
    trusting = ssl.create_default_context(cafile=certificates.authority)
    url = f"https://localhost:{by_port.port}/p/echo"
    assert httpx2.post(url, content=b"a", verify=trusting).text == "https False 1"


def test_a_file_is_no_socket_to_replace(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    process = serve(config={"plugins": [], "socket": "data"})
    assert process.wait() == 1
    assert "Address already in use" in process.err
    assert (tmp_path / "data").read_text() == "mine"
    assert stat.S_ISREG((tmp_path / "data").stat().st_mode)


def messages(process: Process) -> list[str]:
    return [json.loads(line)["message"] for line in process.out.splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_are_read_again(serve: Serve, poll: Poll, tmp_path: Path, workers: int) -> None:
    config: dict[str, Any] = {"plugins": [], "workers": workers}
    process = serve(config=config)
    url = f"http://127.0.0.1:{process.port}/health?{'a' * 200}"
    assert httpx2.get(url).status_code == 200
    process.signal(signal.SIGHUP)
    unchanged = "Reloaded: nothing has changed"
    poll(lambda: process.out.count(unchanged) == workers, "nothing new")
    path = tmp_path / "buntime.jsonc"
    changed = {**config, "limits": {"maxUrlBytes": 100}, "homepage": "/x", "logLevel": "debug"}
    path.write_text(json.dumps(changed))
    process.signal(signal.SIGHUP)
    poll(lambda: process.out.count("A restart is needed for: homepage") == workers, "news")
    poll(lambda: process.out.count("Reloaded: limits, logLevel") == workers, "what is new")
    assert httpx2.get(url).status_code == 414
    path.write_text("{")
    process.signal(signal.SIGHUP)
    poll(lambda: process.err.count("Nothing was reloaded: [buntime.jsonc]") == workers, "no")
    assert httpx2.get(url).status_code == 414
    process.signal()
    assert process.wait() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_manager_is_told(serve: Serve, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        process = serve(config={"plugins": [], "workers": workers}, NOTIFY_SOCKET=str(path))
        assert manager.recv(100) == b"READY=1"
        assert httpx2.get(f"http://127.0.0.1:{process.port}/health").status_code == 200
        process.signal()
        assert manager.recv(100) == b"STOPPING=1"
        assert process.wait() == 0


def test_a_manager_that_is_gone_is_no_reason_not_to_serve(serve: Serve, tmp_path: Path) -> None:
    process = serve(config={"plugins": []}, NOTIFY_SOCKET=str(tmp_path / "gone"))
    assert httpx2.get(f"http://127.0.0.1:{process.port}/health").status_code == 200
    assert "The service manager cannot be told READY=1: No such file" in process.out

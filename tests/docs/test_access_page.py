"""The set-ups of one machine and of a team on the page about access, as they stand there.

That of tenants runs on every engine: `tests/keyval/access/test_keyed_host.py`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from buntime_keyval import Kv, Tls
from support.browser import open_browser
from support.certificates import Certificates
from support.database import wait_until
from support.forking import forking_program
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.nginx import running_nginx
from support.waiting import PATIENCE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "access.md").read_text("utf-8")
MASTER = "k" * 44


def commands(name: str) -> list[list[str]]:
    """The lines of console blocks that call a command of `buntime keys`."""
    lines = [
        line
        for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
        for line in block.splitlines()
    ]
    return [shlex.split(line) for line in lines if line.startswith(f"buntime keys {name}")]


def run(folder: Path, arguments: list[str]) -> str:
    found = subprocess.run(
        [forking_program("buntime_host", "buntime"), *arguments[1:]],
        cwd=folder, env={**os.environ, "RUNTIME_MASTER_KEY": MASTER}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_a_team(tmp_path: Path) -> None:
    with live_server(tmp_path, environ={"RUNTIME_MASTER_KEY": MASTER}) as server:
        (create,) = commands("create")
        key = run(tmp_path, create)

        def status(path: str, key: str = "") -> int:
            return httpx2.get(
                server.url + path, headers={"x-api-key": key} if key else {}
            ).status_code

        # Until it is known it is a wrong one, of which there are thirty in a minute at most.
        wait_until(lambda: status("/api/plugins", key) == 200, pause=0.2)
        assert status("/metrics", key) == 200
        assert status("/keyval/api/keys/a", key) == 403
        assert status("/keyval/api/keys/a") == 401
        assert status("/keyval/api/keys/a", MASTER) == 404
        (listing,), (rotate,), (revoke,) = (commands(name) for name in ("list", "rotate", "revoke"))
        (row,) = json.loads(run(tmp_path, [*listing, "--json"]))["keys"]
        assert row["name"] == "reports"
        rotated = run(tmp_path, [row["id"] if word == "ID" else word for word in rotate])
        assert rotated != key
        wait_until(lambda: status("/api/plugins", rotated) == 200, pause=0.2)
        assert status("/api/plugins", key) == 200
        run(tmp_path, [row["id"] if word == "ID" else word for word in revoke])
        wait_until(lambda: status("/api/plugins", rotated) in (401, 429))


def test_one_machine(tmp_path: Path) -> None:
    (names,) = re.findall(r'"trustedHosts": (\[.*?\])', PAGE)
    config = {"plugins": DEFAULT_PLUGINS, "trustedHosts": json.loads(names)}
    with live_server(tmp_path, config) as server:
        port = server.url.rpartition(":")[2]
        for name in ("localhost", "127.0.0.1", "[::1]", "kv.test", "a.local.test"):
            answer = httpx2.get(f"{server.api}/keys/a", headers={"host": f"{name}:{port}"})
            assert answer.status_code == 404, name
        for name in ("a.kv.test", "evil.example"):
            answer = httpx2.get(f"{server.api}/keys/a", headers={"host": f"{name}:{port}"})
            assert (answer.status_code, answer.json()["code"]) == (421, "UNTRUSTED_HOST"), name


class Behind(NamedTuple):
    """A host behind nginx, as the page has it."""

    server: LiveServer
    url: str
    trust: ssl.SSLContext
    """Knows who signed the certificate of nginx."""
    authority: str
    """The file of the latter."""

    def client(self, address: str = "127.0.0.1", key: str = "", **headers: str) -> httpx2.Client:
        """Requests by nginx, coming from an address of this machine."""
        if key:
            headers["authorization"] = f"Bearer {key}"
        transport = httpx2.HTTPTransport(local_address=address, verify=self.trust)
        return httpx2.Client(
            base_url=self.url, transport=transport, headers=headers, timeout=PATIENCE
        )


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("nginx")
    certificates = Certificates(folder)
    certificate, private_key = certificates.signed("localhost")
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.S)
    config = {"plugins": DEFAULT_PLUGINS, "auth": {"audit": "all"}}
    # Other addresses of this machine are clients here: nginx alone stands for many.
    environ = {"RUNTIME_MASTER_KEY": MASTER, "RUNTIME_TRUSTED_PROXIES": "127.0.0.1"}
    with live_server(folder, config, environ) as server:
        for written, here in [
            ("listen 443", "listen 127.0.0.1:PORT"),
            ("server_name kv.example", "server_name localhost"),
            ("/etc/ssl/kv.example.pem", certificate),
            ("/etc/ssl/private/kv.example.key", private_key),
            ("http://127.0.0.1:8000", server.url),
        ]:
            assert block.count(written) == 1, written
            block = block.replace(written, here)
        with running_nginx(folder, block) as port:
            trust = ssl.create_default_context(cafile=certificates.authority)
            yield Behind(server, f"https://localhost:{port}", trust, certificates.authority)


class Key(NamedTuple):
    text: str
    id: str


def make_key(behind: Behind, *permissions: str) -> Key:
    with behind.client(key=MASTER) as admin:
        made = admin.post("/api/keys", json={"name": "k", "permissions": permissions})
        assert made.status_code == 201, made.text
        data = made.json()["data"]
        return Key(data["key"], data["id"])


def audited(behind: Behind, path: str) -> dict[str, Any]:
    """The line of the trail about a path."""

    def lines() -> list[dict[str, Any]]:
        said = (json.loads(line) for line in behind.server.lines if f'"{path}"' in line)
        return [line for line in said if line.get("path") == path]

    wait_until(lambda: bool(lines()))
    return lines()[-1]


def test_behind_nginx_a_key_does_what_it_may(behind: Behind) -> None:
    key = make_key(behind, 'keyval:read:["team"]', 'keyval:write:["team"]').text
    with behind.client("127.0.0.2") as anonymous, behind.client("127.0.0.2", key) as client:
        for path in ("/keyval/api/keys/team/1", "/api/plugins", "/metrics", "/api/keys"):
            assert anonymous.get(path).status_code == 401, path
        assert anonymous.get("/health").status_code == 200
        # A value as large as the store takes, and a key with a slash in it, arrive as they are.
        assert client.put("/keyval/api/keys/team/a%2Fb", content=f'"{"x" * 9_000_000}"').is_success
        assert client.get("/keyval/api/keys/team/a%2Fb").json()["key"] == ["team", "a/b"]
        too_large = client.put("/keyval/api/keys/team/c", content=f'"{"x" * 11_000_000}"')
        assert (too_large.status_code, too_large.headers["content-type"]) == (
            413, "application/json",
        )  # fmt: skip
        assert client.get("/keyval/api/keys/others/1").status_code == 403
    assert audited(behind, "/keyval/api/keys/others/1")["peer"] == "127.0.0.2"
    with Kv(f"{behind.url}/keyval/api", token=key, tls=Tls(behind.authority)) as kv:
        assert kv.set(["team", 1], 1).ok
        entry = kv.get(["team", 1])
        assert entry is not None
        assert entry.value == 1


def test_behind_nginx_failures_count_for_the_client(behind: Behind) -> None:
    key = make_key(behind, "plugins:read").text
    pretended = {"x-forwarded-for": "127.0.0.4"}
    with behind.client("127.0.0.3", **pretended) as guesser:
        codes = {
            guesser.get("/api/plugins", headers={"x-api-key": f"guess{number}"}).status_code
            for number in range(32)
        }
        assert codes == {401, 429}
        assert guesser.get("/api/plugins", headers={"x-api-key": key}).status_code == 200
    for address in ("127.0.0.4", "127.0.0.1"):
        with behind.client(address) as other:
            assert other.get("/api/plugins", headers={"x-api-key": "wrong"}).status_code == 401
            assert other.get("/api/plugins", headers={"x-api-key": MASTER}).status_code == 200


def test_behind_nginx_streams_and_websockets_live_as_long_as_their_key(behind: Behind) -> None:
    key = make_key(behind, "keyval:*", "database:*")
    path = "/keyval/api/watch/prefix"
    with behind.client("127.0.0.2", key.text) as client:
        made = client.post("/api/admin/tickets", json={"path": path})
        ticket = {"prefix": "live", "ticket": made.json()["data"]["ticket"]}
        headers = {"accept": "text/event-stream"}
        with (
            behind.client("127.0.0.2", **headers) as page,
            page.stream("GET", path, params=ticket) as events,
            connect(
                f"{behind.url.replace('https', 'wss')}/database/api/",
                subprotocols=[Subprotocol("hrana3")],
                ssl=behind.trust,
                additional_headers={"authorization": f"Bearer {key.text}"},
            ) as socket,
        ):
            assert page.get(path, params=ticket).status_code == 401, "a ticket is for once"
            text = events.iter_text()
            for number in range(3):
                client.put(f"/keyval/api/keys/live/{number}", content=f'"event-{number}"')
                while f"event-{number}" not in next(text):
                    pass
            socket.send(json.dumps({"type": "hello", "jwt": None}))
            assert json.loads(socket.recv(15))["type"] == "hello_ok"
            with behind.client(key=MASTER) as admin:
                assert admin.delete(f"/api/keys/{key.id}").is_success
            assert "event-" not in "".join(text), "it ends"
            with pytest.raises(ConnectionClosed):
                socket.recv(15)


PAGE_OF_THE_HOST = """async ([key, path]) => {
    const login = await fetch("/api/admin/session", {
        method: "POST", body: JSON.stringify({key}), headers: {"content-type": "application/json"},
    });
    const put = await fetch(path, {method: "PUT", body: "1"});
    const events = await new Promise((done) => {
        const source = new EventSource("/keyval/api/watch/prefix?prefix=page");
        source.onopen = () => { done("open"); source.close(); };
        source.onerror = () => { done("refused"); source.close(); };
    });
    const socket = await new Promise((done) => {
        const socket = new WebSocket("/database/api/", "hrana3");
        socket.onopen = () => { done("open"); socket.close(); };
        socket.onerror = () => done("refused");
    });
    return [login.status, put.status, events, socket, document.cookie];
}"""


def test_behind_nginx_a_page_has_a_session(behind: Behind) -> None:
    key = make_key(behind, "keyval:*", "database:*").text
    with open_browser("--ignore-certificate-errors") as browser:
        page = browser.new_page()
        page.goto(f"{behind.url}/health")
        found = page.evaluate(PAGE_OF_THE_HOST, [key, "/keyval/api/keys/page/1"])
        assert found == [200, 200, "open", "open", ""]
        (cookie,) = page.context.cookies()
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")

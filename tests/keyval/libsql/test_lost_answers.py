"""The answer of a commit is lost between a host and its libSQL server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from buntime_keyval import Kv, OutcomeUnknown
from buntime_keyval.wire import encode_key
from keyval.libsql.support import run_sql
from support.api import Api, api_of
from support.live import LiveServer, live_server
from support.losing import Losing, losing_proxy
from support.sqld import Sqld, running_sqld


class Lost(NamedTuple):
    """A write whose answer is lost."""

    name: str
    send: Callable[[Api], httpx2.Response]
    marker: str
    """A text that is in its request to the database, and in no other."""
    effect: str
    """SQL that counts how often it was applied."""


def _atomic(*mutations: dict[str, Any]) -> Callable[[Api], httpx2.Response]:
    return lambda api: api.send("POST", "/atomic", {"mutations": list(mutations)})


def _at(key: str, value: str) -> str:
    return f"SELECT {value} FROM kv_entries WHERE key_json = '{json.dumps([key])}'"


GONE = base64.b64encode(encode_key(["lost-gone"])).decode().rstrip("=")
WRITES = [
    Lost(
        "sum", _atomic({"type": "sum", "key": ["lost-sum"], "value": 1}), "lost-sum",
        _at("lost-sum", "value"),
    ),
    Lost(
        "append", _atomic({"type": "append", "key": ["lost-list"], "value": [1]}), "lost-list",
        _at("lost-list", "json_array_length(value)"),
    ),
    Lost(
        "uuidv7",
        _atomic({"type": "set", "key": ["new", {"$uuidv7": True}], "value": "lost-uuidv7"}),
        "lost-uuidv7", "SELECT count(*) FROM kv_entries WHERE value = '\"lost-uuidv7\"'",
    ),
    Lost(
        "create",
        lambda api: api.send("POST", "/atomic", {
            "checks": [{"key": ["lost-create"], "versionstamp": None}],
            "mutations": [{"type": "set", "key": ["lost-create"], "value": 1}],
        }),
        "lost-create", _at("lost-create", "count(*)"),
    ),
    Lost(
        "enqueue", lambda api: api.send("POST", "/queue/enqueue", {"value": "lost-message"}),
        "lost-message", "SELECT count(*) FROM kv_queue WHERE value = '\"lost-message\"'",
    ),
    Lost(
        "transaction",
        lambda api: api.send("POST", "/transaction", {
            "reads": [["lost-tx"]],
            "mutations": [{"type": "sum", "key": ["lost-tx"], "value": 1}],
        }),
        "lost-tx", _at("lost-tx", "value"),
    ),
    Lost(
        "delete", lambda api: api.send("DELETE", "/keys/lost-gone"), GONE,
        "SELECT count(*) FROM kv_changes WHERE operation = 'delete'",
    ),
    Lost(
        "put", lambda api: api.send("PUT", "/keys/lost-put", 1), "lost-put",
        "SELECT count(*) FROM kv_changes WHERE operation = 'set'"
        f" AND key = x'{encode_key(['lost-put']).hex()}'",
    ),
]  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sqld]:
    with running_sqld(tmp_path / "sqld") as (primary,):
        yield primary


@pytest.fixture
def losing(server: Sqld) -> Iterator[tuple[Losing, str]]:
    with losing_proxy(server.url) as (proxy, url):
        yield proxy, url


@pytest.fixture(params=[1, 2], ids=["one-process", "two-workers"])
def host(
    request: pytest.FixtureRequest, losing: tuple[Losing, str], tmp_path: Path
) -> Iterator[LiveServer]:
    """A host whose way to its server may lose what it is told to lose."""
    adapter = {"type": "libsql", "urls": [losing[1]], "operationTimeout": 1500}
    config = {
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [adapter]}],
            "@buntime/plugin-keyval",
        ]
    }
    with live_server(tmp_path, config, workers=request.param) as running:
        yield running


def _count(server: Sqld, sql: str) -> int:
    rows = run_sql(server, sql)
    return int(rows[0][0]) if rows else 0


def test_what_is_not_known_is_said_so_and_is_done_once_or_never(
    host: LiveServer, losing: tuple[Losing, str], server: Sqld
) -> None:
    """The server stays away after the answer was lost, so that nobody can ask it."""
    proxy, _ = losing
    with api_of(host.api) as api:
        api.put("lost-gone", 1)
        for lost in WRITES:
            for lose, applied in ((proxy.lose_request, 0), (proxy.lose_answer, 1)):
                lose(lost.marker, then_away=True)
                response = lost.send(api)
                assert response.status_code == 503, (lost.name, response.text)
                assert response.json()["code"] == "KEYVAL_OUTCOME_UNKNOWN", lost.name
                assert "may have been applied" in response.json()["error"]
                proxy.come_back()
                assert _count(server, lost.effect) == applied, lost.name


def test_the_client_does_not_repeat_what_may_have_been_done(
    host: LiveServer, losing: tuple[Losing, str], server: Sqld
) -> None:
    proxy, _ = losing
    with Kv(host.api) as kv:
        proxy.lose_answer("lost-sum", then_away=True)
        with pytest.raises(OutcomeUnknown, match="KEYVAL_OUTCOME_UNKNOWN") as caught:
            kv.atomic().sum(["lost-sum"], 1).commit()
        assert caught.value.request_id
        proxy.come_back()
        assert kv.get(["lost-sum"]).value == 1
        runs: list[int] = []

        def add(tx: Any) -> None:
            runs.append(tx.get(["lost-sum"]).value)
            tx.set(["lost-sum"], runs[-1] + 1)

        proxy.lose_answer("lost-sum", then_away=True)
        with pytest.raises(OutcomeUnknown):
            kv.transaction(add, max_retries=5)
        assert runs == [1]
        proxy.come_back()
        assert kv.get(["lost-sum"]).value == 2

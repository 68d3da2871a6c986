"""The answer of a commit is lost between a host and its libSQL server."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from buntime_keyval import Kv, OutcomeUnknown, Retries
from buntime_keyval.wire import encode_key
from keyval.libsql.support import config_of, run_sql
from support.api import Api, api_of
from support.live import LiveServer, live_server
from support.losing import Losing, losing_proxy
from support.sampling import share_of
from support.sqld import Sqld, running_sqld
from support.waiting import PATIENCE


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
        "send", _atomic({"type": "enqueue", "value": "lost-sent"}), "lost-sent",
        "SELECT count(*) FROM kv_queue WHERE value = '\"lost-sent\"'",
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqld]:
    with running_sqld(tmp_path_factory.mktemp("sqld")) as (primary,):
        yield primary


@pytest.fixture(scope="module")
def losing(server: Sqld) -> Iterator[tuple[Losing, str]]:
    with losing_proxy(server.url) as (proxy, url):
        yield proxy, url


@pytest.fixture(scope="module", params=[1, 2], ids=["one-process", "two-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    """How many workers the host has."""
    return int(request.param)


@pytest.fixture
def writes(workers: int) -> list[Lost]:
    """What is written: as a rule a worker says of the rest what one process says."""
    return WRITES if workers == 1 else WRITES[: share_of(len(WRITES))]


def _config_of(url: str) -> dict[str, Any]:
    adapter = {"type": "libsql", "urls": [url], "operationTimeout": 700}
    return {
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [adapter]}],
            "@buntime/plugin-keyval",
        ]
    }


@pytest.fixture(scope="module")
def shared_host(
    workers: int, losing: tuple[Losing, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A host whose way to its server may lose what it is told to lose."""
    folder = tmp_path_factory.mktemp("host")
    with live_server(folder, _config_of(losing[1]), workers=workers) as running:
        yield running


@pytest.fixture
def host(shared_host: LiveServer, server: Sqld) -> LiveServer:
    """The host, over a store without entries."""
    with api_of(shared_host.api) as api:
        api.empty()
    return shared_host


def _count(server: Sqld, sql: str) -> int:
    rows = run_sql(server, sql)
    return int(rows[0][0]) if rows else 0


def test_what_is_not_known_is_said_so_and_is_done_once_or_never(
    host: LiveServer, losing: tuple[Losing, str], server: Sqld, writes: list[Lost]
) -> None:
    """The server stays away after the answer was lost, so that nobody can ask it."""
    proxy, _ = losing
    with api_of(host.api) as api:
        api.put("lost-gone", 1)
        for lost in writes:
            for lose, applied in ((proxy.lose_request, 0), (proxy.lose_answer, 1)):
                before = _count(server, lost.effect)
                lose(lost.marker, then_away=True)
                response = lost.send(api)
                assert response.status_code == 503, (lost.name, response.text)
                assert response.json()["code"] == "KEYVAL_OUTCOME_UNKNOWN", lost.name
                assert "may have been applied" in response.json()["error"]
                proxy.come_back()
                assert _count(server, lost.effect) == before + applied, lost.name


def test_a_lost_answer_is_asked_again_and_told(
    host: LiveServer, losing: tuple[Losing, str], server: Sqld, writes: list[Lost]
) -> None:
    """Whether the request or the answer was lost, it is done once, and the answer is as always."""
    proxy, _ = losing
    with api_of(host.api) as api:
        for lose in (proxy.lose_request, proxy.lose_answer):
            api.json("POST", "/keys/delete-batch", {"keys": [["lost-create"]], "exact": True})
            api.put("lost-gone", 1)
            for lost in writes:
                before = _count(server, lost.effect) if lost.name != "create" else 0
                lose(lost.marker)
                response = lost.send(api)
                assert response.status_code == 200, (lost.name, response.text)
                answer = response.json()
                assert answer.get("ok", True) is True, lost.name
                assert answer.get("deletedCount", 1) == 1, lost.name
                # Who waited longer than it may has asked before the proxy was done.
                assert proxy.hit.wait(PATIENCE), lost.name
                assert _count(server, lost.effect) == before + 1, lost.name


def test_a_lost_answer_tells_the_versionstamp_that_the_database_gave(
    workers: int, tmp_path: Path
) -> None:
    """Another host is far ahead, so that the one that a process makes is out of date.

    The server is of this test alone: the first commit of each process that does not know it yet is
    made again, so that one that others lose would not be the one that counts.
    """
    newest = {
        "lost-sum": _at("lost-sum", "versionstamp"),
        "lost-sent": "SELECT newest FROM kv_stamps",
    }
    with (
        running_sqld(tmp_path) as (server,),
        losing_proxy(server.url) as (proxy, url),
        live_server(tmp_path, _config_of(url), workers=workers) as host,
        api_of(host.api) as api,
    ):
        ahead = "ffff0000-0000"
        run_sql(server, f"UPDATE kv_stamps SET newest = '{ahead}-7000-8000-000000000000'")
        api.put("known", 1)  # from now on the database gives them
        told = []
        for _ in range(2):
            for lost in WRITES:
                if lost.marker in newest:
                    proxy.lose_answer(lost.marker)
                    told.append(lost.send(api).json()["versionstamp"])
                    assert proxy.hit.wait(PATIENCE)
                    ((stored,),) = run_sql(server, newest[lost.marker])
                    assert told[-1] == stored
    assert told == sorted(set(told))
    assert told[0].startswith(ahead)


def test_the_client_is_told_what_is_not_known(
    host: LiveServer, losing: tuple[Losing, str], server: Sqld
) -> None:
    """Though its repetitions are answered that nothing was written."""
    proxy, _ = losing
    with Kv(host.api, retries=Retries(times=2, first_delay="10ms"), timeout="20s") as kv:
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


def test_a_key_resolves_what_was_not_known(
    host: LiveServer, losing: tuple[Losing, str], server: Sqld, writes: list[Lost], workers: int
) -> None:
    proxy, _ = losing
    with api_of(host.api) as api:
        for lose, name in ((proxy.lose_request, "a"), (proxy.lose_answer, "b")):
            api.put("lost-gone", 1)
            for lost in writes:
                api.json("POST", "/keys/delete-batch", {"keys": [["lost-create"]], "exact": True})
                before = _count(server, lost.effect)
                api.client.headers["idempotency-key"] = f"{lost.name}-{name}-{workers}"
                lose(lost.marker, then_away=True)
                assert lost.send(api).json()["code"] == "KEYVAL_OUTCOME_UNKNOWN", lost.name
                proxy.come_back()
                response = lost.send(api)
                del api.client.headers["idempotency-key"]
                assert response.status_code == 200, (lost.name, response.text)
                assert ("idempotent-replayed" in response.headers) == (name == "b"), lost.name
                assert response.json().get("ok", True) is True
                assert response.json().get("deletedCount", 1) == 1
                assert _count(server, lost.effect) == before + 1, lost.name


def test_counters_are_exact_while_the_server_is_stopped(server: Sqld, tmp_path: Path) -> None:
    """Two hosts; for longer than an operation may take. No answer is wrong, and none unknown."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    config = config_of([server], operationTimeout=1000)
    stop = threading.Event()
    answers: list[tuple[int, str]] = []

    def add(base: str) -> None:
        with api_of(base) as api:
            while not stop.is_set():
                mutation = {"type": "sum", "key": ["n"], "value": 1}
                response = api.send("POST", "/atomic", {"mutations": [mutation]})
                answers.append((response.status_code, response.json().get("code", "")))

    with live_server(folders[0], config) as one, live_server(folders[1], config) as two:
        threads = [
            threading.Thread(target=add, args=(host.api,)) for host in (one, two) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                _wait_for_more(answers, 50)
                server.pause()
                time.sleep(1.4)
                server.resume()
            _wait_for_more(answers, 50)
        finally:
            server.resume()
            stop.set()
            for thread in threads:
                thread.join()
        with api_of(one.api) as api:
            written = answers.count((200, ""))
            assert api.value("n") == written
    assert set(answers) <= {(200, ""), (503, "KEYVAL_DB_DOWN")}


def _wait_for_more(answers: list[tuple[int, str]], number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    wanted = answers.count((200, "")) + number
    while answers.count((200, "")) < wanted:
        assert time.monotonic() < deadline, "there were not enough answers in time"
        time.sleep(0.02)

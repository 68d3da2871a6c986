"""The database file is deleted, cut or overwritten under a server: it says so, and does not lie."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.api import Api, api_of
from support.beside import opened_beside
from support.database import Api as DatabaseApi
from support.database import websocket
from support.live import LiveServer, live_server
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

CONFIG = {
    "plugins": [
        [
            "@buntime/plugin-database",
            {"adapters": [{"type": "sqlite", "baseDir": "data"}], "api": {"write": True}},
        ],
        ["@buntime/plugin-keyval", {"metrics": {"persistent": False}}],
    ]
}
MARK = "damaged-here-"

Asked = tuple[str, str, Any]

READS: list[Asked] = [
    ("GET", "/keys/a/1", None),
    ("GET", "/keys?prefix=a", None),
    ("POST", "/keys/list", {"prefix": ["a"], "where": {"n": 1}}),
    ("POST", "/keys/batch", {"keys": [["a", 1], ["a", 2]]}),
    ("GET", "/keys/count?prefix=a", None),
    ("GET", "/watch/poll?keys=a/1", None),
    ("GET", "/queue/stats", None),
]
WRITES: list[Asked] = [
    ("PUT", "/keys/a/1", 2),
    ("DELETE", "/keys/a/1", None),
    ("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["s"], "value": 1}]}),
    ("POST", "/queue/enqueue", {"value": 1}),
]


@pytest.fixture(params=[1, 2], ids=["alone", "two workers"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(tmp_path, CONFIG, workers=request.param) as running:
        yield running


def path_of(server: LiveServer) -> Path:
    return server.folder / "data" / "_default.db"


def status_of_readiness(server: LiveServer) -> int:
    return httpx2.get(f"{server.url}/health/ready").status_code


def code_of(api: Api, asked: Asked) -> str | None:
    """The code of the error that a request gets; None for a success."""
    method, path, body = asked
    answer = api.send(method, path) if body is None else api.send(method, path, body)
    if answer.status_code == 200:
        return None
    assert answer.status_code == 503, answer.text
    code: str = answer.json()["code"]
    return code


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("loss", ["deleted", "cut", "replaced"])
def test_a_lost_file(server: LiveServer, loss: str) -> None:
    path = path_of(server)
    with api_of(server.api) as api, DatabaseApi(server) as database:
        for number in range(5):
            api.json("PUT", f"/keys/a/{number}", {"n": number})
        assert status_of_readiness(server) == 200
        if loss == "cut":
            os.truncate(path, 0)
        elif loss == "deleted":
            path.unlink()
        else:
            other = path.with_name("other")
            other.write_bytes(path.read_bytes())
            other.rename(path)
        for _ in range(2):
            assert [code_of(api, write) for write in WRITES] == ["KEYVAL_DB_LOST"] * len(WRITES)
        for read in READS:
            eventually(lambda read=read: code_of(api, read) == "KEYVAL_DB_LOST", str(read))  # type: ignore[misc]
        assert status_of_readiness(server) == 503
        assert httpx2.get(f"{server.url}/health").status_code == 200, "it lives"
        assert database.post("query", {"sql": "SELECT 1"}, 503)["code"] == "DATABASE_LOST"
        health = database.get("health")
        assert health["status"] == "degraded"
        assert "is lost" in health["adapters"]["sqlite"]
    server.stop()
    told = [line for line in server.lines if "is lost" in line and '"ERROR"' in line.upper()]
    workers = 1 if "worker" not in "".join(server.lines) else 2
    assert 1 <= len(told) <= workers, server.output


def test_a_start_after_the_loss_says_what_is_wrong(tmp_path: Path) -> None:
    with live_server(tmp_path, CONFIG) as server, api_of(server.api) as api:
        api.json("PUT", "/keys/a", 1)
        os.truncate(path_of(server), 0)
        assert code_of(api, ("PUT", "/keys/a", 2)) == "KEYVAL_DB_LOST"
    with (
        pytest.raises(AssertionError, match=r"is empty, but its log _default\.db-wal is there"),
        live_server(tmp_path),
    ):
        pass
    assert path_of(server).stat().st_size == 0


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[LiveServer]:
    """A server whose database has bytes in stored texts that are not UTF-8."""
    with live_server(tmp_path, CONFIG) as server, api_of(server.api) as api:
        api.json("POST", "/indexes", {"prefix": ["a"], "fields": ["text"]})
        for number in range(3):
            api.json("PUT", f"/keys/a/{number}", {"n": number, "text": f"{MARK}{number} word"})
        api.json("PUT", "/keys/well", 1)
        api.json("POST", "/queue/enqueue", {"value": f"{MARK}message"})
    path = path_of(server)
    content = path.read_bytes()
    assert content.count(MARK.encode()) >= 4
    path.write_bytes(content.replace(MARK.encode(), b"\xff" * len(MARK)))
    with live_server(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    "asked",
    [
        *READS[:4],
        READS[5],
        ("GET", "/search?prefix=a&query=word", None),
        ("GET", "/queue/poll", None),
        ("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["a", 1], "value": 1}]}),
    ],
    ids=lambda asked: asked[1].replace("/", "."),
)
def test_text_that_is_not_utf8(damaged: LiveServer, asked: Asked) -> None:
    with api_of(damaged.api) as api:
        assert status_of_readiness(damaged) == 200, "nobody has met it yet"
        assert code_of(api, asked) == "KEYVAL_DB_CORRUPT"
        assert status_of_readiness(damaged) == 503
        assert code_of(api, ("GET", "/keys/well", None)) is None, "what is well is served"
        answer = api.send("PUT", "/keys/new", 1)
        assert answer.status_code == 200, answer.text
    damaged.wait_for_output("is damaged")


def test_text_that_is_not_utf8_over_sql(damaged: LiveServer) -> None:
    sql = "SELECT value FROM kv_entries"
    with DatabaseApi(damaged) as database:
        assert database.post("query", {"sql": sql}, 503)["code"] == "DATABASE_CORRUPT"
        assert database.get("tables/kv_entries/rows", 503)["code"] == "DATABASE_CORRUPT"
        assert database.post("query", {"sql": "SELECT CAST(x'ff' AS TEXT)"}, 400)
        request = {"type": "execute", "stmt": {"sql": sql}}
        answer = database.post("v2/pipeline", {"requests": [request]})
        assert answer["results"][0]["error"]["code"] == "DATABASE_CORRUPT"
    with websocket(damaged, "/database/api", "hrana2") as socket:
        socket.ask({"type": "hello"})
        socket.ask(
            {"type": "request", "request_id": 1, "request": {"type": "open_stream", "stream_id": 1}}
        )
        answer = socket.ask(
            {"type": "request", "request_id": 2, "request": {"stream_id": 1, **request}}
        )
        assert answer["error"]["code"] == "DATABASE_CORRUPT"
    assert status_of_readiness(damaged) == 200, "SQL from outside can make such texts"


def test_pages_that_are_overwritten(tmp_path: Path) -> None:
    with live_server(tmp_path, CONFIG) as server, api_of(server.api) as api:
        for number in range(300):
            api.json("PUT", f"/keys/a/{number}", "x" * 500)
    path = path_of(server)
    content = bytearray(path.read_bytes())
    for start in range(0, len(content), 4096):
        if content[start : start + 4096].count(b"x" * 500) >= 5:
            content[start : start + 16] = b"\xa5" * 16
    path.write_bytes(content)
    with (
        live_server(tmp_path) as server,
        api_of(server.api) as api,
        DatabaseApi(server) as database,
    ):
        for asked in (READS[0], READS[1], WRITES[0], WRITES[1]):
            assert code_of(api, asked) == "KEYVAL_DB_CORRUPT"
        assert status_of_readiness(server) == 503
        sql = "SELECT sum(length(value)) FROM kv_entries"
        assert database.post("query", {"sql": sql}, 503)["code"] == "DATABASE_CORRUPT"
        answer = database.post(
            "v2/pipeline", {"requests": [{"type": "execute", "stmt": {"sql": sql}}]}
        )
        assert answer["results"][0]["error"]["code"] == "SQLITE_CORRUPT"


LONG = "x" * 5_000


@pytest.mark.parametrize("long", [LONG, LONG * 100], ids=["long", "very long"])
def test_long_values_that_are_gone(server: LiveServer, long: str) -> None:
    """As by another program: they are not left out, nor are others, and can be written again."""
    with api_of(server.api) as api:
        api.json("PUT", "/keys/a/1", {"n": 1, "text": long})
        api.json("PUT", "/keys/a/2", {"n": 1})
        with opened_beside(path_of(server)) as other:
            other.execute("DELETE FROM kv_long_values")
            assert other.changes() == 1
        for asked in [
            *READS[:4],
            READS[5],
            ("POST", "/keys/paginate", {"prefix": ["a"]}),
            ("GET", "/keys/paginate?prefix=a&limit=1", None),
            ("POST", "/keys/count", {"prefix": ["a"], "where": {"n": 1}}),
            ("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["a", 1], "value": 1}]}),
        ]:
            assert code_of(api, asked) == "KEYVAL_DB_CORRUPT", asked
        assert code_of(api, ("GET", "/keys/a/2", None)) is None, "what is well is served"
        api.json("PUT", "/keys/a/1", {"n": 1, "text": long})
        assert [code_of(api, asked) for asked in READS] == [None] * len(READS)

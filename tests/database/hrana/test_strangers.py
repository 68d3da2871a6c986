"""Whatever arrives at any route of the plugin, the answer is one that the plugin has in mind.

No 500, no traceback, no other form than JSON, and at the end it still works. `FUZZ_REQUESTS` asks
for more than the usual number of requests, `FUZZ_SEED` for others, as in
`tests/keyval/http/test_strangers.py`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import httpx2
import pytest
from buntime_plugin_database.faces.config import ApiConfig
from buntime_plugin_database.faces.routes import make_routes
from starlette.routing import Route, WebSocketRoute
from support.database import NO_TLS, database_server, websocket
from support.live import LiveServer
from support.mutations import Mutator
from support.waiting import PATIENCE
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.slow

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008

STATEMENTS = (
    "SELECT 1", "SELECT :a, @b, $c, ?1, ?", "SELECT ?2", "INSERT INTO t VALUES (:a) RETURNING *",
    "CREATE TABLE IF NOT EXISTS t (x TEXT)", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "", ";",
    "--", "SELECT 1; SELECT 2", "SELEC", "SELECT * FROM nothing", "EXPLAIN SELECT 1",
    "SELECT CAST(x'ff' AS TEXT)", "SELECT 1e999", "SELECT zeroblob(100)", "PRAGMA user_version",
    "VACUUM", "DROP TABLE IF EXISTS t", "ALTER TABLE t ADD COLUMN y", "SELECT '\x00'",
    "ATTACH 'x' AS x", "SELECT abs(-9223372036854775808)", "SELECT json('x')", "SELECT ?0",
    "SELECT ?99999", "DELETE FROM t", "SELECT x'", "VALUES (1), (2)",
)  # fmt: skip
VALUES: list[Any] = [
    {"type": "null"},
    {"type": "integer", "value": "1"},
    {"type": "float", "value": 1.5},
    {"type": "text", "value": "x"},
    {"type": "blob", "base64": "eA"},
]
CONDITIONS: list[Any] = [
    None,
    {"type": "ok", "step": 0},
    {"not": {"error": 0}},
    {"type": "and", "conds": [{"type": "is_autocommit"}, {"ok": 0}]},
    {"type": "unknown"},
    {"or": []},
]


class Templates:
    """Well-formed bodies for each kind of route."""

    def __init__(self, mutator: Mutator) -> None:
        self._mutator = mutator
        self._choice = mutator.random.choice

    def statement(self) -> dict[str, Any]:
        named = [{"name": ":a", "value": self._choice(VALUES)}]
        return self._choice(
            [
                {},
                {"sql": self._choice(STATEMENTS), "args": [self._choice(VALUES)]},
                {"sql": self._choice(STATEMENTS), "named_args": named, "want_rows": True},
                {"sql": self._choice(STATEMENTS), "args": []},
                {"sql": self._choice(STATEMENTS), "sql_id": 1},
                {"sql_id": 1},
            ]
        )

    def batch(self) -> dict[str, Any]:
        steps = [
            {"stmt": self.statement(), "condition": self._choice(CONDITIONS)} for _ in range(3)
        ]
        return {"steps": steps}

    def request(self, *, stream: int | None = None) -> dict[str, Any]:
        made: dict[str, Any] = self._choice(
            [
                {"type": "execute", "stmt": self.statement()},
                {"type": "batch", "batch": self.batch()},
                {"type": "sequence", "sql": self._choice(STATEMENTS)},
                {"type": "sequence", "sql_id": 1},
                {"type": "describe", "sql": self._choice(STATEMENTS)},
                {"type": "describe"},
                {"type": []},
                {"type": "store_sql", "sql_id": 1, "sql": self._choice(STATEMENTS)},
                {"type": "close_sql", "sql_id": 1},
                {"type": "get_autocommit"},
                {"type": "close"},
                {"type": "open_stream"},
                {"type": "close_stream"},
                {"type": "open_cursor", "cursor_id": 1, "batch": self.batch()},
                {"type": "fetch_cursor", "cursor_id": 1, "max_count": 2},
                {"type": "close_cursor", "cursor_id": 1},
            ]
        )
        return made if stream is None else {**made, "stream_id": stream}

    def socket_message(self) -> dict[str, Any]:
        stream = self._choice((1, 2))
        return self._choice(
            [
                {"type": "hello", "jwt": None},
                {"type": "request", "request_id": 1, "request": self.request(stream=stream)},
                {"type": "request", "request_id": 1, "request": self.request(stream=stream)},
                {
                    "type": "request",
                    "request_id": 2,
                    "request": {"type": "open_stream", "stream_id": stream},
                },
            ]
        )

    def body(self, path: str, baton: str | None) -> Any:
        plain_args = self._choice([[1, "x", None], {"a": {"$int": "1"}}, None])
        sql = {"sql": self._choice(STATEMENTS), "args": plain_args}
        match path.rsplit("/", 1)[-1]:
            case "pipeline":
                return {"baton": baton, "requests": [self.request() for _ in range(3)]}
            case "cursor":
                return {"baton": baton, "batch": self.batch()}
            case "execute" if "/v1/" in path:
                return {"stmt": self.statement()}
            case "batch" if "/v1/" in path:
                return {"batch": self.batch()}
            case "query" | "execute":
                return {**sql, "readonly": True, "maxRows": 5, "type": "sqlite"}
            case "batch":
                return {"statements": [sql, sql], "tenant": "fuzz"}
            case "tenants":
                return {"id": "fuzz", "type": "sqlite"}
            case "rows":
                return {"row": {"x": 1}, "where": {"x": {"gt": 1}}, "set": {"x": {"$blob": "eA=="}}}
        return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    api = {
        "write": True,
        "maxStreams": 20,
        "idleTimeout": "200ms",
        "transactionTimeout": "200ms",
        "statementTimeout": "300ms",
    }
    folder = tmp_path_factory.mktemp("strangers")
    with database_server(folder, api=api, tenancy={"autoCreate": True}) as running:
        yield running


def all_routes() -> list[tuple[str, str]]:
    """Method and path of every route, from the plugin's own table."""
    nothing = cast(Any, None)
    routes = make_routes(nothing, nothing, nothing, nothing, ApiConfig())
    found = [
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in sorted(route.methods or ())
    ]
    assert len(found) + sum(isinstance(route, WebSocketRoute) for route in routes) >= len(routes)
    return found


def no_failure_is_logged(server: LiveServer) -> None:
    told = [json.loads(line).get("message") for line in server.lines if '"error"' in line]
    assert told == []


def is_well(server: LiveServer) -> None:
    answer = httpx2.post(f"{server.url}/database/api/query", json={"sql": "SELECT 1 AS one"})
    assert answer.json()["rows"] == [{"one": 1}]
    no_failure_is_logged(server)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("v1/execute", b'{"stmt":{}}', 400, "MISSING_SQL"),
        ("v1/execute", b'{"stmt":{"sql":"SELECT 1","sql_id":1}}', 400, "SQL_INPUT_ERROR"),
        ("v1/execute", b'{"stmt":{"sql_id":1}}', 400, "SQL_NOT_FOUND"),
        ("v1/execute", b'{"stmt":{"sql":"SELECT \xff"}}', 400, "HRANA_PROTO_ERROR"),
        ("v1/execute", b"\xff", 400, "HRANA_PROTO_ERROR"),
        (
            "v1/execute",
            b'{"stmt":{"sql":"SELECT :a","named_args":[%s,%s]}}'
            % ((b'{"name":"a","value":{"type":"null"}}',) * 2),
            400,
            "ARGS_INVALID",
        ),
        (
            "v1/batch",
            b'{"batch":{"steps":[{"stmt":{"sql":"SELECT 1"},"condition":{"type":"x"}}]}}',
            400,
            "HRANA_INVALID_CONDITION",
        ),
        (
            "v2/pipeline",
            b'{"requests":[{"type":"execute","stmt":"\xff"}]}',
            400,
            "HRANA_PROTO_ERROR",
        ),
        ("v3/cursor", b'{"batch":{"steps":[{"stmt":{"sql":"\xff"}}]}}', 400, "HRANA_PROTO_ERROR"),
        ("pipeline", b'{"requests":[]\xff}', 400, "HRANA_PROTO_ERROR"),
        ("query", b'{"sql":"SELECT \xff"}', 400, "INVALID_BODY"),
    ],
)
def test_what_is_refused_as_a_whole(
    server: LiveServer, path: str, body: bytes, status: int, code: str
) -> None:
    answer = httpx2.post(f"{server.url}/database/api/{path}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    no_failure_is_logged(server)


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "execute", "stmt": {}},
        {"type": "execute", "stmt": {"sql": "SELECT 1", "sql_id": 1}},
        {"type": "describe"},
        {"type": []},
        {"type": "sequence"},
        {"type": "batch", "batch": {"steps": [{"stmt": {}, "condition": {"type": "x"}}]}},
    ],
)
def test_what_is_refused_inside_a_pipeline(server: LiveServer, request_: Any) -> None:
    for path in ("v2/pipeline", "v3/pipeline", "pipeline"):
        answer = httpx2.post(f"{server.url}/database/api/{path}", json={"requests": [request_]})
        if answer.status_code == 400:  # the standard parses a message as a whole
            assert answer.json()["code"] == "HRANA_PROTO_ERROR"
            assert path != "pipeline"
        else:
            assert answer.status_code == 200, answer.text
            result = answer.json()["results"][0]
            assert result["type"] == "error" or "step_errors" in str(result)
    no_failure_is_logged(server)


def test_every_route(server: LiveServer) -> None:
    mutator = Mutator(SEED)
    templates = Templates(mutator)
    choice = mutator.random.choice
    routes = all_routes()
    baton: str | None = None
    statuses: Counter[int] = Counter()
    with httpx2.Client(timeout=PATIENCE, verify=NO_TLS) as client:
        for number in range(REQUESTS):
            method, path = choice(routes)
            template = templates.body(path, choice((baton, None)))
            content = None if method in ("GET", "HEAD") else mutator.body(template)
            for name in ("{tenant}", "{name}", "{id}"):
                path = path.replace(name, choice(("t", "fuzz", mutator.text())))
            if choice((False, False, True)):
                path += f"?{choice(('type', 'tenant', 'limit', 'offset', 'where', 'blob'))}="
                path += mutator.text()
            headers = {}
            if choice((False, False, False, True)):
                headers[choice(("x-database-namespace", "x-database-adapter"))] = mutator.text()
            answer = client.request(
                method, f"{server.url}/database{path}", content=content, headers=headers
            )
            statuses[answer.status_code] += 1
            shown = f"request {number}: {method} {path} {content!r:.500} {headers}: {answer.text}"
            assert answer.status_code < 500 or answer.status_code in (501, 503), shown
            if answer.status_code >= 400 and method != "HEAD":
                assert answer.headers["content-type"].startswith("application/json"), shown
                assert answer.json()["code"], shown
            if answer.status_code == 200 and path.endswith("pipeline"):
                baton = answer.json()["baton"]
    print("Statuses:", sorted(statuses.items()))
    is_well(server)


@pytest.mark.parametrize(
    ("path", "protocols"),
    [
        ("/database/api", ("hrana3",)),
        ("/database/api/ws", ("hrana2",)),
        ("/database/api/dev/fuzz", ("hrana1",)),
        ("/database/api/ws", ()),
    ],
    ids=["hrana3", "hrana2", "hrana1", "legacy"],
)
def test_every_websocket(server: LiveServer, path: str, protocols: tuple[str, ...]) -> None:
    mutator = Mutator(SEED)
    templates = Templates(mutator)
    sent = 0
    codes: set[int | None] = set()
    while sent < REQUESTS // 10:
        with websocket(server, path, *protocols) as socket:
            try:
                if protocols:
                    socket.ask({"type": "hello"})
                    for stream in (1, 2):
                        opening = {"type": "open_stream", "stream_id": stream}
                        socket.ask({"type": "request", "request_id": 0, "request": opening})
                for _ in range(10):
                    template = (
                        templates.socket_message()
                        if protocols
                        else {"request_id": 1, "request": templates.request()}
                    )
                    frame = mutator.body(template)
                    sent += 1
                    # As text where it is any; the rest is refused by the protocol below.
                    try:
                        socket.send(frame.decode())
                    except UnicodeDecodeError:
                        socket.connection.send(frame)
                    answer = socket.receive()
                    assert "internal server error" not in json.dumps(answer), frame
            except ConnectionClosed as closed:
                codes.add(None if closed.rcvd is None else closed.rcvd.code)
    assert codes <= {PROTOCOL_ERROR, POLICY_VIOLATION}
    is_well(server)

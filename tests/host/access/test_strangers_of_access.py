"""Whatever arrives at any route of the host, from whoever, the answer is one that it has in mind.

On a host with keys, with credentials of every kind, good and bad. The requests come from the table
of routes, so a new route is tried without a word here. `FUZZ_REQUESTS` and `FUZZ_SEED` are as in
`tests/keyval/http/test_strangers.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from buntime_host.routes.core_routes import CoreRoutes
from support.asker import Asker
from support.live import LiveServer, live_server
from support.mutations import Mutator

pytestmark = pytest.mark.slow

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1500"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
MASTER = "the master key of these strangers"

CORE: Any = CoreRoutes(
    cast(Any, SimpleNamespace(keys=None, gate=None, signed=None)), api="/api", homepage=""
)
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")
ROUTES: list[tuple[str, str]] = [
    # More often, since they do more.
    *(
        (method, path)
        for path, methods in CORE._private.items()
        for method in methods
        for _ in "123"
    ),
    *((method, path) for path in CORE._own_check for method in METHODS[:3]),
    *(("GET", path) for path in CORE._public),
]
LIMITS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"keyval": {"entries": 1}},
    {"keyval": {"entires": 1}},
    {"x": 1},
)
BODIES: dict[str, tuple[Any, ...]] = {
    "keys": tuple(
        {"name": "k", "expiresIn": end, "limits": limits, **rights}
        for end in ("1d", "never", "99999y", "soon")
        for limits in LIMITS
        for rights in (
            {"role": "viewer"},
            {"permissions": ["keys:create", "keys:revoke", "plugins:read"]},
            {"permissions": ['keyval:read:["a"]', "keyval:what", "x:y:z"]},
        )
    ),
    "rotate": ({"grace": "0"}, {"grace": "24h"}, {"grace": 5}, {}),
    "session": ({"key": MASTER}, {"key": "no"}, {}),
    "tickets": ({"path": "/keyval/api/watch"}, {"path": "x"}, {"path": "/a?b"}),
}


class Stranger:
    """Makes requests, the same ones for the same seed, but for what the host has made."""

    def __init__(self, seed: int) -> None:
        self._mutator = Mutator(seed)
        self._random = self._mutator.random
        self._choice = self._random.choice
        self.ids = ["zzzzzzzz"]
        self.credentials: list[dict[str, str]] = [
            {"x-api-key": MASTER},
            {"authorization": f"Bearer {MASTER}"},
        ]

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """Method, path with query, body, headers."""
        method, path = self._choice(ROUTES)
        if self._random.random() < 0.05:
            method = self._choice(METHODS)
        body = None
        if method in ("POST", "PUT", "PATCH") or self._random.random() < 0.05:
            body = self._mutator.body(self._choice(BODIES.get(path.rpartition("/")[2], ({},))))
        path = path.replace("{id}", quote(self._choice((*self.ids, "short", "%00", "é/x"))))
        if self._random.random() < 0.1:
            path += self._choice(("/", "/x", "?ticket=a.b.c.d", "?a=%ff&a=1", "%2F", "?ticket="))
        return method, path, body, self._headers()

    def _headers(self) -> dict[str, str]:
        chance = self._random.random()
        if chance < 0.8:
            headers = dict(self._choice(self.credentials))
        elif chance < 0.9:
            headers = self._choice(
                [
                    {},
                    {"x-api-key": "btk_abcdefgh_" + "x" * 43},
                    {"authorization": "Basic eDp5"},
                    {"authorization": "Bearer e30.e30.x"},
                    {"x-api-key": "\xe9" * 50},
                    {"cookie": "buntime_session=master.9999999999.x.y"},
                    {"cookie": "buntime_session=\xff.1.1.1; a=b"},
                ]
            )
        else:
            headers = {**self._choice(self.credentials), "origin": "http://evil.example"}
        if self._random.random() < 0.05:
            headers["content-type"] = "text/plain"
        return headers

    def learn(self, path: str, answered: Any, content: bytes) -> None:
        """Use what the host has made in further requests."""
        cookie = answered.get("set-cookie", "")
        if cookie:
            self.credentials.append({"cookie": cookie.partition(";")[0]})
        if path.startswith("/api/keys"):
            made = json.loads(content)["data"]
            self.ids.append(made["id"])
            self.credentials.append({"x-api-key": made["key"]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder: Path = tmp_path_factory.mktemp("strangers")
    with live_server(folder, environ={"RUNTIME_MASTER_KEY": MASTER}) as running:
        yield running


def test_every_route_from_whoever(server: LiveServer) -> None:
    stranger = Stranger(SEED)
    asker = Asker(server.url)
    statuses: dict[int, int] = {}
    for number in range(REQUESTS):
        method, target, body, headers = stranger.request()
        status, answered, content = asker.ask(method, target, body, headers)
        statuses[status] = statuses.get(status, 0) + 1
        shown = f"request {number}: {method} {target} {body!r:.300} {headers}: {content!r:.300}"
        assert status < 500, shown
        if status >= 400 and method != "HEAD":
            assert answered.get("content-type") == "application/json", shown
            told = json.loads(content)
            assert told["error"], shown
            assert told["code"], shown
        if status in (HTTPStatus.OK, HTTPStatus.CREATED) and method == "POST":
            stranger.learn(target, answered, content)
    print("Statuses:", sorted(statuses.items()))
    assert {200, 201, 400, 401, 403, 404, 405} <= set(statuses), statuses
    assert statuses[200] > REQUESTS // 10, statuses
    status, _, content = asker.ask("GET", "/api/keys", None, {"x-api-key": MASTER})
    assert status == HTTPStatus.OK
    assert json.loads(content)["keys"]
    asker.close()
    told = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert [line for line in told if line.get("level") in ("error", "critical")] == []

"""Every refusal has the same shape: one member `error`, and a `code` where the server is down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from buntime_plugin_keyval.faces.http.app import KeyValApp
from buntime_plugin_keyval.service import FEATURES
from support.api import NOTHING, Api, api_of
from support.beside import opened_beside
from support.live import LiveServer

KEY_METHODS = {"GET", "PUT", "PATCH", "DELETE"}
# A fixed path below /keys/ is also the path of a key, for the methods that the route lacks.
ROUTES = {
    "/keys": {"GET", "DELETE"},
    "/keys/list": {"POST", *KEY_METHODS},
    "/keys/count": {"POST", *KEY_METHODS},
    "/keys/paginate": {"POST", *KEY_METHODS},
    "/keys/batch": {"POST", *KEY_METHODS},
    "/keys/delete-batch": {"POST", *KEY_METHODS},
    "/keys/set-batch": {"POST", *KEY_METHODS},
    "/atomic": {"POST"},
    "/vacuum": {"POST"},
    "/transaction": {"POST"},
}
LONG = "x" * 1025
DEEP = ["p"] * 21
SURROGATE = b'{"keys":[["\\ud800"]]}'
HUGE = b"1" + b"0" * 400


def atomic(**mutation: Any) -> dict[str, Any]:
    return {"mutations": [{"type": "set", "key": ["a"], "value": 1, **mutation}]}


BAD_REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/keys/", NOTHING),
    ("PUT", "/keys//", 1),
    ("GET", "/keys/%FF", NOTHING),
    ("GET", f"/keys/{LONG}", NOTHING),
    ("GET", f"/keys/{'/'.join(DEEP)}", NOTHING),
    ("GET", "/keys/" + "0" * 5000, NOTHING),
    ("PUT", "/keys/a", b""),
    ("PUT", "/keys/a", b"{"),
    ("PUT", "/keys/a", b"NaN"),
    ("PUT", "/keys/a", b"1e400"),
    ("PUT", "/keys/a", HUGE),
    ("PUT", "/keys/a", b'"\\ud800"'),
    ("PUT", "/keys/a", b"[" * 1000),
    ("PUT", "/keys/a", b"[" * 100_000 + b"]" * 100_000),
    ("PUT", "/keys/a", {"__type": "bigint", "value": "x"}),
    ("PUT", "/keys/a", {"__type": "uint8array", "value": "*"}),
    ("PUT", "/keys/a", {"$now": True, "$offset": "5s"}),
    ("PUT", "/keys/a?expiresIn=0", 1),
    ("PUT", "/keys/a?expiresIn=-1s", 1),
    ("PUT", "/keys/a?expiresIn=soon", 1),
    ("PUT", "/keys/a?expiresIn=", 1),
    ("PUT", "/keys/a?expiresIn=%FF", 1),
    ("DELETE", "/keys", NOTHING),
    ("DELETE", "/keys?prefix=", NOTHING),
    ("DELETE", "/keys?prefix=[]", NOTHING),
    ("DELETE", "/keys?prefix=/", NOTHING),
    ("DELETE", "/keys/a", []),
    ("DELETE", "/keys/a", {"exact": "yes"}),
    ("DELETE", "/keys/a", {"where": []}),
    ("DELETE", "/keys/a", {"where": {"a": {"$foo": 1}}}),
    ("GET", "/keys?limit=0", NOTHING),
    ("GET", "/keys?prefix=[null]", NOTHING),
    ("GET", "/keys?start=%FF", NOTHING),
    ("GET", "/keys/count?prefix=%25FF", NOTHING),
    ("GET", "/keys/paginate?cursor=nonsense!", NOTHING),
    ("GET", "/keys/paginate?limit=-1", NOTHING),
    ("POST", "/keys/list", b""),
    ("POST", "/keys/list", b"[]"),
    ("POST", "/keys/list", {"prefix": 5}),
    ("POST", "/keys/list", {"prefix": DEEP}),
    ("POST", "/keys/list", {"reverse": "true"}),
    ("POST", "/keys/list", {"limit": True}),
    ("POST", "/keys/list", b'{"limit":' + HUGE + b"}"),
    ("POST", "/keys/list", {"where": {"$or": []}}),
    ("POST", "/keys/count", {"where": {"a": {"$in": "x"}}}),
    ("POST", "/keys/count", {"prefix": [LONG]}),
    ("POST", "/keys/paginate", {"cursor": 5}),
    ("POST", "/keys/paginate", {"cursor": "AAAA"}),
    ("POST", "/keys/batch", {}),
    ("POST", "/keys/batch", SURROGATE),
    ("POST", "/keys/set-batch", {}),
    ("POST", "/keys/set-batch", {"sets": {}}),
    ("POST", "/keys/set-batch", {"sets": [{"key": ["a"], "value": 1}] * 1001}),
    ("POST", "/keys/delete-batch", {"keys": []}),
    ("POST", "/keys/delete-batch", {"keys": [["a"]], "exact": 1}),
    ("POST", "/keys/delete-batch", {"keys": [[]]}),
    ("POST", "/atomic", b"null"),
    ("POST", "/atomic", {"mutations": {}}),
    ("POST", "/atomic", {"mutations": [None]}),
    ("POST", "/atomic", {"checks": "x"}),
    ("POST", "/atomic", {"checks": [5]}),
    ("POST", "/atomic", {"checks": [{"versionstamp": None}]}),
    ("POST", "/atomic", {"checks": [{"key": ["a"], "versionstamp": 5}]}),
    ("POST", "/atomic", {"checks": [{"key": ["a", {"$uuidv7": True}]}]}),
    ("POST", "/atomic", {"mutations": [{"key": ["a"]}]}),
    ("POST", "/atomic", atomic(type="unknown")),
    ("POST", "/atomic", atomic(key=[])),
    ("POST", "/atomic", atomic(expiresIn="soon")),
    ("POST", "/atomic", b'{"mutations":[{"type":"set","key":["a"],"expiresIn":' + HUGE + b"}]}"),
    ("POST", "/atomic", atomic(type="append", value=1)),
    ("POST", "/atomic", atomic(type="sum", value=True)),
    ("POST", "/atomic", atomic(type="delete", expiresIn=5)),
    ("POST", "/transaction", b"{"),
    ("POST", "/transaction", {"reads": {}}),
    ("POST", "/transaction", {"reads": [[]]}),
    ("POST", "/transaction", {"mutations": [{"type": "?"}]}),
]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    BAD_REQUESTS,
    ids=[f"{method}-{path[:30]}-{number}" for number, (method, path, _) in enumerate(BAD_REQUESTS)],
)
def test_weakness_37_bad_input_is_400_in_one_shape(
    shared_api: Api, method: str, path: str, body: Any
) -> None:
    response = shared_api.send(method, path, body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    error = response.json()
    assert list(error) == ["error"]
    assert isinstance(error["error"], str)
    assert len(error["error"]) > 10


def test_every_route_refuses_a_broken_body(shared_api: Api) -> None:
    for path, methods in ROUTES.items():
        if "POST" not in methods:
            continue
        assert shared_api.error("POST", path, b"{") == "Invalid JSON body"


def test_bad_requests_change_nothing(api: Api) -> None:
    for method, path, body in BAD_REQUESTS:
        api.send(method, path, body)
    assert api.keys() == []


def test_a_missing_key_is_404(api: Api) -> None:
    response = api.send("GET", "/keys/nope")
    assert (response.status_code, response.json()) == (404, {"error": "Key not found"})


@pytest.mark.parametrize("path", ["", "/", "/nope", "/keysx", "/keysx/a", "/atomic/", "/atomic/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_route_is_404(shared_api: Api, method: str, path: str) -> None:
    response = shared_api.send(method, path)
    assert (response.status_code, response.json()) == (404, {"error": "Not found"})


def test_only_what_is_below_the_api_is_served(shared_api: Api, shared_server: LiveServer) -> None:
    for path in ("/keyval/foo/keys/a", "/keyval/foo/keys", "/keyval/apikeys/a"):
        response = shared_api.client.get(shared_server.url + path)
        assert (response.status_code, response.json()["error"]) == (404, "Not found")


WRONG_METHODS = [
    (method, path, allowed)
    for path, allowed in [*ROUTES.items(), ("/keys/a/b", KEY_METHODS)]
    for method in ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
    if method not in allowed
]


@pytest.mark.parametrize(("method", "path", "allowed"), WRONG_METHODS)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    shared_api: Api, method: str, path: str, allowed: set[str]
) -> None:
    response = shared_api.send(method, path)
    assert response.status_code == 405
    said = response.headers["allow"].split(", ")
    assert set(said) == (allowed | {"HEAD"} if "GET" in allowed else allowed)
    assert response.json()["error"].endswith(f"use {', '.join(said)}")
    assert list(response.json()) == ["error"]
    assert method in response.json()["error"]


def test_head_is_named_wherever_it_works(shared_api: Api) -> None:
    for feature in FEATURES:
        for path, methods in feature.routes.items():
            if "GET" not in methods or "{" in path:
                continue
            denied = shared_api.send("PATCH", path)
            assert denied.status_code == 405
            works = shared_api.send("HEAD", path).status_code != 405
            assert ("HEAD" in denied.headers["allow"].split(", ")) == works, path


def test_head_answers_like_get_without_a_body(api: Api) -> None:
    api.put("a", {"b": 1})
    for path, status in (("/keys/a", 200), ("/keys", 200), ("/keys/nope", 404), ("/atomic", 405)):
        response = api.send("HEAD", path)
        assert (response.status_code, response.content) == (status, b"")
        if status != 405:
            length = len(api.send("GET", path).content)
            assert response.headers["content-length"] == str(length)


def _chunks() -> Iterator[bytes]:
    for _ in range(11):
        yield b"1" * (1024 * 1024)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_413(api: Api, shared_server: LiveServer, chunked: bool) -> None:
    content: Any = _chunks() if chunked else b"".join(_chunks())
    response = api.send("PUT", "/keys/big", content=content)
    assert response.status_code == 413
    assert response.json()["error"] == "Payload too large"
    assert api.keys() == []
    assert "KeyVal route error" not in shared_server.output


@pytest.mark.slow
def test_an_unforeseen_error_is_500_and_tells_nothing(server: LiveServer) -> None:
    with api_of(server.api) as api:
        api.put("a", 1)
        with opened_beside(server.folder / "data" / "_default.db") as database:
            database.execute("DROP TABLE kv_entries")
        response = api.send("GET", "/keys/a")
    assert (response.status_code, response.json()) == (500, {"error": "Internal server error"})
    server.wait_for_output("KeyVal route error")


async def test_before_the_start_everything_is_503() -> None:
    transport = httpx2.ASGITransport(app=KeyValApp())
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/api/keys/a")
    assert response.status_code == 503
    assert response.json() == {
        "error": "KeyVal storage not initialized",
        "code": "KEYVAL_UNAVAILABLE",
    }


def test_there_are_no_websockets(api: Api) -> None:
    """The refusal has the host's form, since it is the host's."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    answer = api.send("GET", "/keys/a", headers=handshake)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")

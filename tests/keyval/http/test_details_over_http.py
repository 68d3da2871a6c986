"""Metadata, times, entries without values, and `POST /vacuum`, on the wire."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2
import pytest
from buntime_keyval.wire.limits import MAX_METADATA_BYTES
from buntime_plugin_keyval.faces.http.app import KeyValApp
from keyval.service.world import World
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

PAST = 1_600_000_000_000
FUTURE = 4_000_000_000_000
META = {"by": "ada", "n": {"__type": "bigint", "value": "5"}, "f": 1.0}
STORED = '{"by":"ada","n":{"__type":"bigint","value":"5"},"f":1}'


def put(api: Api, path: str, value: Any, **query: Any) -> str:
    if "metadata" in query:
        query["metadata"] = json.dumps(query["metadata"])
    return api.put(path, value, **query)


def is_now(milliseconds: Any) -> bool:
    return isinstance(milliseconds, int) and abs(milliseconds / 1000 - time.time()) < 600


def test_details_are_a_choice(api: Api) -> None:
    stamp = put(api, "a/1", [1.0], metadata=META, expiresAt=FUTURE)
    plain = f'{{"key":["a",1],"value":[1],"versionstamp":"{stamp}"}}'
    for query in ("", "?details=false", "?values=true", "?values=true&details=false"):
        assert api.send("GET", f"/keys/a/1{query}").text == plain
    text = api.send("GET", "/keys/a/1?details=true").text
    created = json.loads(text)["createdAt"]
    assert is_now(created)
    rest = (
        f'"versionstamp":"{stamp}","metadata":{STORED},"createdAt":{created},'
        f'"updatedAt":{created},"expiresAt":{FUTURE},"revision":1,"type":null}}'
    )
    detailed = f'{{"key":["a",1],"value":[1],{rest}'
    shortest = f'{{"key":["a",1],"versionstamp":"{stamp}"}}'
    assert text == detailed
    texts = {
        (True, False): plain,
        (True, True): detailed,
        (False, True): f'{{"key":["a",1],{rest}',
        (False, False): shortest,
    }
    for (values, details), expected in texts.items():
        flags = {"values": values, "details": details}
        query = f"values={json.dumps(values)}&details={json.dumps(details)}"
        page = f'{{"entries":[{expected}],"cursor":null,"hasMore":false}}'
        where = {"where": {"$[0]": 1}}
        folded = {"where": {"$not": {"$[0]": {"$containsi": "É"}}}}
        for method, path, body, answer in (
            ("GET", f"/keys/a/1?{query}", None, expected),
            ("GET", f"/keys?prefix=a&{query}", None, f"[{expected}]"),
            ("GET", f"/keys/paginate?prefix=a&{query}", None, page),
            ("POST", "/keys/list", flags, f"[{expected}]"),
            ("POST", "/keys/list", flags | where, f"[{expected}]"),
            ("POST", "/keys/list", flags | folded, f"[{expected}]"),
            ("POST", "/keys/paginate", flags, page),
            ("POST", "/keys/paginate", flags | folded, page),
            ("POST", "/keys/batch", flags | {"keys": [["a", 1]]}, f"[{expected}]"),
        ):
            sent = api.send(method, path, body) if body else api.send(method, path)
            assert (sent.status_code, sent.text) == (200, answer), (method, path, body)


def test_what_is_missing_has_no_details(api: Api) -> None:
    asked = {"keys": [["no"]], "details": True}
    nothing = (
        '"metadata":null,"createdAt":null,"updatedAt":null,"expiresAt":null,"revision":null,'
        '"type":null'
    )
    assert api.send("POST", "/keys/batch", asked).text == (
        f'[{{"key":["no"],"value":null,"versionstamp":null,{nothing}}}]'
    )
    asked["values"] = False
    assert api.send("POST", "/keys/batch", asked).text == (
        f'[{{"key":["no"],"versionstamp":null,{nothing}}}]'
    )
    for query in ("details=true", "values=false"):
        response = api.send("GET", f"/keys/no?{query}")
        assert (response.status_code, response.text) == (404, '{"error":"Key not found"}')


@pytest.mark.parametrize("path", ["/keys/list", "/keys/paginate", "/keys/batch"])
def test_flags_of_bodies_are_booleans(api: Api, path: str) -> None:
    for name in ("details", "values"):
        some: tuple[Any, ...] = ("true", 1, [])
        needed: dict[str, Any] = {"keys": [["a"]]} if path == "/keys/batch" else {}
        for wrong in some:
            message = api.error("POST", path, {**needed, name: wrong})
            assert message.startswith(f"{name} must be a boolean, received ")
        api.json("POST", path, {**needed, name: None})


def details(api: Api, *key: Any) -> dict[str, Any]:
    body = {"keys": [list(key)], "details": True, "values": False}
    (entry,) = api.json("POST", "/keys/batch", body)
    return {name: entry[name] for name in ("metadata", "expiresAt")}


def test_mutations_carry_metadata_and_moments(api: Api) -> None:
    mutation = {"type": "set", "key": ["m"], "value": 1, "metadata": META, "expiresAt": FUTURE}
    api.mutate(mutation)
    assert details(api, "m") == {"metadata": json.loads(STORED), "expiresAt": FUTURE}
    api.mutate({"type": "sum", "key": ["m"], "value": 1})
    assert details(api, "m") == {"metadata": json.loads(STORED), "expiresAt": FUTURE}
    api.mutate({"type": "sum", "key": ["m"], "value": 1, "metadata": [1], "expiresAt": FUTURE + 1})
    assert details(api, "m") == {"metadata": [1], "expiresAt": FUTURE + 1}
    api.json("POST", "/transaction", {"mutations": [{**mutation, "metadata": None}]})
    assert details(api, "m") == {"metadata": None, "expiresAt": FUTURE}
    api.json("POST", "/transaction", {"mutations": [{**mutation, "metadata": False}]})
    assert details(api, "m") == {"metadata": False, "expiresAt": FUTURE}
    api.mutate({"type": "set", "key": ["m"], "value": 1})
    assert details(api, "m") == {"metadata": None, "expiresAt": None}


def test_a_put_replaces_both(api: Api) -> None:
    put(api, "a", 1, metadata="m", expiresAt=FUTURE)
    assert details(api, "a") == {"metadata": "m", "expiresAt": FUTURE}
    put(api, "a", 1, metadata=None)
    assert details(api, "a") == {"metadata": None, "expiresAt": None}
    put(api, "a", 1, expiresIn="1h", expiresAt=PAST)
    found = details(api, "a")["expiresAt"]
    assert is_now(found - 3_600_000), "the duration wins"
    put(api, "a", 1, expiresAt=PAST)
    assert api.send("GET", "/keys/a").status_code == 404


def test_now_stands_for_the_time_in_metadata_too(api: Api) -> None:
    put(api, "a", 1, metadata={"at": {"$now": True}})
    api.mutate({"type": "set", "key": ["b"], "value": 1, "metadata": [{"$now": True}]})
    assert is_now(details(api, "a")["metadata"]["at"])
    assert is_now(details(api, "b")["metadata"][0])


def test_what_is_no_metadata_is_refused(api: Api) -> None:
    size = MAX_METADATA_BYTES
    api.put("a", 1)
    for text, message in (
        ("{", "metadata must be JSON, received {"),
        ("", "metadata must be JSON, received "),
        ("NaN", "metadata must be JSON, received NaN"),
        (json.dumps("x" * (size - 1)), f"metadata too large: {size + 1} bytes (max {size})"),
        ('{"__type":"bigint"}', "bigint value must be a decimal string"),
    ):
        sent = api.error("PUT", "/keys/a", 2, query={"metadata": text})
        assert sent.startswith(message), text
    large = {"type": "set", "key": ["a"], "value": 2, "metadata": ["é" * size]}
    for path in ("/atomic", "/transaction"):
        message = api.error("POST", path, {"mutations": [large]})
        assert message == f"metadata too large: {2 * size + 4} bytes (max {size})"
    for kind in ("delete", "enqueue"):
        for name, value in (("metadata", 1), ("expiresAt", FUTURE)):
            mutation: dict[str, Any] = {"type": kind, "value": 1, name: value}
            if kind == "delete":
                mutation["key"] = ["a"]
            message = api.error("POST", "/atomic", {"mutations": [mutation]})
            article = "a" if kind == "delete" else "an"
            assert message == f"{name} is not allowed on {article} {kind}"
    assert api.value("a") == 1


@pytest.mark.parametrize("moment", ["", "soon", "-1", "0", "1.5", "1e3", "123456789012345678"])
def test_a_moment_is_a_positive_number(api: Api, moment: str) -> None:
    message = api.error("PUT", "/keys/a", 1, query={"expiresAt": moment})
    assert message.startswith("expiresAt must be a time in epoch milliseconds, received string: ")
    some: tuple[Any, ...] = (moment, True, [1], 0, -1, {})
    for wrong in some:
        mutation = {"type": "set", "key": ["a"], "value": 1, "expiresAt": wrong}
        message = api.error("POST", "/atomic", {"mutations": [mutation]})
        assert message.startswith("expiresAt must be a time in epoch milliseconds, received ")
    assert api.keys() == []


def test_head_reads_no_value_and_tells_its_length(api: Api) -> None:
    for path, value in (("a", {"é": "\u2028" * 5000}), ("%C3%A9%22/1", None), ("b", 1.0)):
        api.put(path, value)
        for query in ("", "?consistency=strong", "?details=true", "?values=false"):
            response = api.send("HEAD", f"/keys/{path}{query}")
            assert (response.status_code, response.content) == (200, b"")
            wanted = api.send("GET", f"/keys/{path}{query}").headers
            for name in ("content-length", "content-type"):
                assert response.headers[name] == wanted[name], (path, query)
    api.put("gone", 1, expiresAt=PAST)
    for path in ("none", "gone"):
        assert api.send("HEAD", f"/keys/{path}").status_code == 404
    assert api.send("HEAD", "/keys/count?prefix=x").status_code == 200


def test_vacuum(api: Api) -> None:
    api.json("POST", "/vacuum")  # what other tests left, and nothing else
    assert api.json("POST", "/vacuum", {}) == {"count": 0, "hasMore": False}
    api.put("stays", 1, expiresAt=FUTURE)
    limits: tuple[Any, ...] = (0, -1, "x", [], True)
    for limit in limits:
        message = api.error("POST", "/vacuum", {"limit": limit})
        assert message.startswith("limit must be a positive number, received ")
    assert api.error("POST", "/vacuum", b"{") == "Invalid JSON body"
    assert api.error("POST", "/vacuum", [1]).startswith("Body must be a JSON object")
    response = api.send("GET", "/vacuum")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert api.keys() == [["stays"]]


async def test_vacuum_says_how_much_is_left(world: World) -> None:
    app = KeyValApp()
    app.service = world.service
    atomic = world.kv.atomic()
    for number in range(105):
        atomic.set((number,), 1, expires_in="5ms")
    await atomic.commit()
    world.clock.advance(5)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = [
            (await client.post("/api/vacuum", json=body)).text
            for body in ({"limit": 2}, None, {"limit": 4})
        ]
    assert answers == [
        '{"count":2,"hasMore":true}',
        '{"count":100,"hasMore":true}',
        '{"count":3,"hasMore":false}',
    ]

"""Conditions of requests of one key: `If-Match`, `If-None-Match`, `ifVersion`, `ifRevision`."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx2
import pytest
from buntime_keyval import PreconditionFailed
from keyval.service.world import World
from support.api import NOTHING, Api, api_of

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres", "odd")

OTHER = "01890000-0000-7000-8000-000000000000"


def call(api: Api, method: str, query: str = "", **headers: str) -> httpx2.Response:
    body: Any = {"n": 2} if method in ("PUT", "PATCH") else NOTHING
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.send(method, f"/keys/a{query}", body, headers=named)


def refused(response: httpx2.Response, stamp: str | None) -> None:
    assert response.status_code == 412, response.text
    body = response.json()
    assert (body["code"], body["versionstamp"]) == ("KEYVAL_PRECONDITION_FAILED", stamp)


def test_reading_under_conditions(api: Api) -> None:
    refused(call(api, "GET", if_match="*"), None)
    assert call(api, "GET", if_none_match="*").status_code == 404
    stamp = api.put("a", 1)
    for query in ("", "?details=true", "?values=false"):
        response = call(api, "GET", query)
        assert response.headers["etag"] == f'"{stamp}"'
        for tags in (f'"{stamp}"', f'W/"{stamp}"', f'"{OTHER}" , "{stamp}"', "*"):
            same = call(api, "GET", query, if_none_match=tags)
            assert (same.status_code, same.content) == (304, b"")
            assert same.headers["etag"] == f'"{stamp}"'
            assert call(api, "GET", query, if_match=tags).json() == response.json()
        other = call(api, "GET", query, if_none_match=f'"{OTHER}"')
        assert (other.status_code, other.json()) == (200, response.json())
        refused(call(api, "GET", query, if_match=f'"{OTHER}"'), stamp)
    head = call(api, "HEAD")
    assert head.headers["etag"] == f'"{stamp}"'
    assert call(api, "HEAD", if_none_match="*").status_code == 304
    assert call(api, "HEAD", if_match=f'"{OTHER}"').status_code == 412
    long = api.put("long", "x" * 600_000)
    response = api.send("GET", "/keys/long")
    assert (response.headers["etag"], response.json()["versionstamp"]) == (f'"{long}"', long)
    response = api.send("GET", "/keys/long", headers={"if-match": f'"{long}"'})
    assert (response.headers["etag"], response.json()["versionstamp"]) == (f'"{long}"', long)


@pytest.mark.parametrize("query", ["", "?details=true", "?values=false"])
def test_a_tag_is_that_of_what_comes_with_it(api: Api, query: str) -> None:
    """Whatever is written meanwhile."""
    stamp = api.put("a", 0)
    ended = threading.Event()

    def write() -> None:
        with api_of(api.base) as other:
            while not ended.is_set():
                other.put("a", 1)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        seen: set[str] = set()
        while len(seen) < 40:
            for headers in ({}, {"if_none_match": f'"{stamp}"'}):
                answer = call(api, "GET", query, **headers)
                stamp = answer.json()["versionstamp"] if answer.content else stamp
                assert answer.headers["etag"] == f'"{stamp}"'
                seen.add(stamp)
            assert call(api, "HEAD", query).status_code == 200
    finally:
        ended.set()
        writing.join()


@pytest.mark.parametrize("query", ["", "?details=true", "?values=false"])
def test_reading_is_one_operation(api: Api, query: str) -> None:
    stamp = api.put("a", 1)
    for method, tags in (("GET", None), ("GET", f'"{stamp}"'), ("GET", '"x"'), ("HEAD", None)):
        before = counted(api)
        headers = {} if tags is None else {"if_none_match": tags}
        assert call(api, method, query, **headers).status_code in (200, 304)
        assert counted(api) == before + 1


def counted(api: Api) -> int:
    """How often an entry was read."""
    operations = api.json("GET", "/metrics")["operations"]
    return int(operations["get"]["count"]) if "get" in operations else 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_writing_under_conditions(api: Api, method: str) -> None:
    refused(call(api, method, if_match="*"), None)
    refused(call(api, method, f"?ifVersion={OTHER}"), None)
    refused(call(api, method, "?ifRevision=1"), None)
    assert api.value("a") is None
    stamp = api.put("a", {"n": 1})
    refused(call(api, method, if_match=f'"{OTHER}", W/"x"'), stamp)
    refused(call(api, method, if_none_match="*"), stamp)
    refused(call(api, method, if_none_match=f'"{stamp}"'), stamp)
    refused(call(api, method, f"?ifVersion={OTHER}"), stamp)
    for revision in (0, 2):
        refused(call(api, method, f"?ifRevision={revision}"), stamp)
    refused(call(api, method, "?ifRevision=2", if_match="*"), stamp)
    assert api.value("a") == {"n": 1}
    revision = 1
    for query, headers in (
        ("", {"if_match": '"{0}"'}),
        ("", {"if_match": '"x",W/"{0}"'}),
        ("", {"if_match": "*"}),
        ("?ifVersion={0}", {}),
        ("?ifRevision={1}", {"if_none_match": f'"{OTHER}"'}),
    ):
        told = {name: text.format(stamp) for name, text in headers.items()}
        done = call(api, method, query.format(stamp, revision), **told)
        assert done.status_code == 200, done.text
        revision += 1
        if method == "DELETE":
            assert done.json() == {"deletedCount": 1}
            stamp, revision = api.put("a", {"n": 1}), 1
        else:
            stamp = done.json()["versionstamp"]
            assert api.value("a") == {"n": 2}


def test_creation_alone(api: Api) -> None:
    assert call(api, "PUT", if_none_match="*").status_code == 200
    assert call(api, "PUT", if_none_match="*").status_code == 412
    api.send("DELETE", "/keys/a")
    assert call(api, "PATCH", "?ifRevision=0").status_code == 200
    assert call(api, "PATCH", "?ifRevision=0").status_code == 412
    below = api.put("a/b", 1)
    assert call(api, "DELETE", if_match="*").json() == {"deletedCount": 2}, "and what is below"
    api.put("a", 1)
    api.put("a/b", 1)
    assert call(api, "DELETE", "?exact=true&ifRevision=1").json() == {"deletedCount": 1}
    refused(call(api, "DELETE", if_match=f'"{below}"'), None)
    long = {"long": "x" * 300_000}
    tag = {"if-none-match": "*"}
    assert api.send("PUT", "/keys/long", long, headers=tag).status_code == 200
    assert api.send("PUT", "/keys/long", long, headers=tag).status_code == 412


def test_what_is_no_condition(api: Api) -> None:
    for text in ("", "x", '"x', '"x" "y"', '"x",', '*, "x"'):
        for header in ("if-match", "if-none-match"):
            for method in ("GET", "PUT", "DELETE"):
                body: Any = 1 if method == "PUT" else NOTHING
                message = api.error(method, "/keys/a", body, headers={header: text})
                assert message.lower().startswith(header), message
    api.error("PUT", "/keys/a?ifVersion=", 1)
    api.error("PUT", "/keys/a?ifVersion=x", 1, headers={"if-match": "*"})
    api.error("PUT", "/keys/a?ifRevision=-1", 1)
    api.error("DELETE", "/keys/a", {"where": {"n": 1}}, headers={"if-match": "*"})
    for method, path, body in (("GET", "/keys", NOTHING), ("POST", "/atomic", {})):
        response = api.send(method, path, body, headers={"if-match": "*"})
        assert (response.status_code, response.json()["code"]) == (
            501,
            "KEYVAL_CONDITIONS_UNSUPPORTED",
        )


def test_a_repetition_is_told_what_the_first_was(api: Api) -> None:
    stamp = api.put("a", 1)
    told = [
        api.send("PUT", f"/keys/a?ifVersion={stamp}", 2, headers={"Idempotency-Key": "once"}).json()
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert told[0]["ok"] is True
    assert call(api, "PUT", f"?ifVersion={stamp}", Idempotency_Key="two").status_code == 412


async def test_one_of_many_wins(world: World) -> None:
    stamp = (await world.kv.set(["a"], 0)).versionstamp

    async def attempt(number: int) -> str | None:
        """The versionstamp that was in the way of a write; None where none was."""
        try:
            await world.kv.set(["a"], number, if_match=stamp)
        except PreconditionFailed as error:
            return error.versionstamp
        return None

    found = await asyncio.gather(*map(attempt, range(10)))
    newest = (await world.kv.get(["a"])).versionstamp
    assert sorted(found, key=str) == sorted([None, *[newest] * 9], key=str)

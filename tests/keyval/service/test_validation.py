"""What the in-process API refuses, HTTP refuses too: in the same words where Python has no own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.http.app import KeyValApp
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import World

LONG = "x" * 1025
DEEP = [0] * 21
Call = Callable[[LocalKv], Awaitable[Any]]
Request = tuple[str, str, Any]


async def listed(kv: LocalKv, **options: Any) -> list[Any]:
    return [entry async for entry in kv.list(**options)]


def atomic(type: str, key: Any, *value: Any, **options: Any) -> Call:
    async def call(kv: LocalKv) -> None:
        await getattr(kv.atomic(), type)(key, *value, **options).commit()

    return call


def mutation(type: str, key: Any, **rest: Any) -> Request:
    body = {"mutations": [{"type": type, "key": key, **rest}]}
    return "POST", "/atomic", body


# `Any` hides from the type checker what is wrong on purpose.
CASES: list[tuple[Any, Request]] = [
    (lambda kv: kv.get([[]]), ("POST", "/keys/batch", {"keys": [[]]})),
    (lambda kv: kv.get([["a"], DEEP]), ("POST", "/keys/batch", {"keys": [["a"], DEEP]})),
    (lambda kv: kv.get([[LONG]]), ("POST", "/keys/batch", {"keys": [[LONG]]})),
    (lambda kv: kv.get([["a"]] * 1001), ("POST", "/keys/batch", {"keys": [["a"]] * 1001})),
    (lambda kv: kv.delete([["a"]] * 1001),
        ("POST", "/keys/delete-batch", {"keys": [["a"]] * 1001})),
    (lambda kv: kv.count(DEEP), ("POST", "/keys/count", {"prefix": DEEP})),
    (lambda kv: listed(kv, start=[LONG]), ("POST", "/keys/list", {"start": [LONG]})),
    (lambda kv: kv.paginate(cursor="?"), ("POST", "/keys/paginate", {"cursor": "?"})),
    (lambda kv: kv.paginate(cursor="/w=="), ("POST", "/keys/paginate", {"cursor": "/w=="})),
    (lambda kv: kv.count(where={"a": {"$x": 1}}),
        ("POST", "/keys/count", {"where": {"a": {"$x": 1}}})),
    (lambda kv: kv.count(where={"$or": []}), ("POST", "/keys/count", {"where": {"$or": []}})),
    (lambda kv: listed(kv, where=[]), ("POST", "/keys/list", {"where": []})),
    (atomic("set", [], 1), mutation("set", [], value=1)),
    (atomic("max", ["a"], "1.5"), mutation("max", ["a"], value="1.5")),
    (atomic("sum", ["text"], 5), mutation("sum", ["text"], value=5)),
    (atomic("append", ["text"], [5]), mutation("append", ["text"], value=[5])),
    (atomic("delete", [LONG]), mutation("delete", [LONG])),
]  # fmt: skip


# What was received is shown as it was written: JSON there, Python here.
OTHER_WORDS: list[tuple[Any, Request, str, str]] = [
    (lambda kv: kv.delete([[None]]), ("POST", "/keys/delete-batch", {"keys": [[None]]}),
        "received None", "received null: null"),
    (lambda kv: listed(kv, prefix=[[]]), ("POST", "/keys/list", {"prefix": [[]]}),
        "received []", "received array: []"),
    (lambda kv: listed(kv, end=[None]), ("POST", "/keys/list", {"end": [None]}),
        "received None", "received null: null"),
    (lambda kv: listed(kv, limit=0), ("POST", "/keys/list", {"limit": 0}),
        "must be a positive number, received 0", "received number: 0"),
    (lambda kv: listed(kv, limit=True), ("POST", "/keys/list", {"limit": True}),
        "received True", "received boolean: true"),
    (lambda kv: kv.paginate(limit=-1), ("POST", "/keys/paginate", {"limit": -1}),
        "received -1", "received number: -1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "request_"), CASES, ids=range(len(CASES)))
async def test_the_same_words(world: World, call: Call, request_: Request) -> None:
    in_python, over_http = await _refusals(world, call, request_)
    assert over_http == {"error": in_python}


@pytest.mark.parametrize(
    ("call", "request_", "python", "http"), OTHER_WORDS, ids=range(len(OTHER_WORDS))
)
async def test_the_words_of_who_asks(
    world: World, call: Call, request_: Request, python: str, http: str
) -> None:
    in_python, over_http = await _refusals(world, call, request_)
    assert in_python.endswith(python)
    assert over_http["error"].endswith(http)


async def _refusals(world: World, call: Call, request: Request) -> tuple[str, dict[str, str]]:
    """What is said in Python, and the answer over HTTP; nothing is changed by either."""
    await world.kv.set(("text",), "seven")
    with pytest.raises(InvalidInput) as refusal:
        await call(world.kv)
    app = KeyValApp()
    app.service = world.service
    method, path, body = request
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/api") as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 400
    assert await world.stored() == 1
    return str(refusal.value), answer.json()


PYTHON: list[tuple[Any, str]] = [
    (lambda kv: kv.get([["a"], "b"]), r"Key must be a list or tuple of parts .*, received 'b'"),
    (lambda kv: kv.get([["a"], 5]), r"Key must be a list or tuple of parts .*, received 5"),
    (lambda kv: kv.set(["a"], 1, expires_in=0), "expires_in must be a positive duration"),
    (lambda kv: kv.set(["a"], 1, expires_in="-5"), "expires_in must .* received '-5'"),
    (lambda kv: kv.set(["a"], 1, expires_in="1 x"), "expires_in must .* received '1 x'"),
    (lambda kv: kv.set(["a"], 1, expires_in=30), r'=30 would be 30 milliseconds: write "30s" or'),
    (lambda kv: kv.set(["a"], 1, expires_in=timedelta()), "expires_in must be a positive"),
    (lambda kv: kv.set(["a"], 1, expires_at=datetime(2030, 1, 1)), "which has no time zone"),
    (atomic("set", ["a"], 1, expires_in=-1), "expires_in must be a positive duration"),
    (atomic("sum", ["a"], None), "sum takes an integer, as an int or its text, received None"),
    (atomic("sum", ["a"], True), "sum takes an integer, as an int or its text, received True"),
    (atomic("min", ["a"], 1.5), "min takes an integer, as an int or its text, received 1.5"),
    (atomic("append", ["a"], 5), "append takes a list or tuple of items, received 5"),
    (atomic("prepend", ["a"], {}), "prepend takes a list or tuple of items, received {}"),
]


@pytest.mark.parametrize(("call", "words"), PYTHON, ids=range(len(PYTHON)))
async def test_python_is_spoken_to_in_its_own_words(kv: LocalKv, call: Call, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        await call(kv)
    assert await kv.count() == 0


async def test_a_life_may_be_a_timedelta(kv: LocalKv) -> None:
    for life in (timedelta(hours=1), "1h", 3_600_000):
        await kv.set(["a"], 1, expires_in=life)
        details = (await kv.get_with_metadata(["a"])).details
        assert details is not None
        assert details.expires_at == details.updated_at + 3_600_000
    await kv.set(["short"], 1, expires_in=timedelta(milliseconds=500))
    message = await kv.enqueue(1, delay=timedelta(minutes=1), backoff_schedule=[timedelta(1)])
    assert message.id


@pytest.mark.parametrize("key", ["users", b"users", 5, None, {"a": 1}, {1}])
async def test_a_key_is_a_list_or_tuple(world: World, key: Any) -> None:
    kv = world.kv
    for call in (kv.get, kv.delete, lambda raw: kv.set(raw, 1)):
        with pytest.raises(InvalidInput, match=r"^Key"):
            await call(key)


@pytest.mark.parametrize("key", [("n", 2**53 + 1), ("n", -(2**64) - 1), ("n", 10**400)])
async def test_an_integer_that_a_number_cannot_hold_is_refused_and_not_rounded(
    kv: LocalKv, key: tuple[str, int]
) -> None:
    for ask in (kv.get(key), kv.set(key, 1), kv.delete(key), kv.count(key)):
        with pytest.raises(InvalidInput, match="use BigInt"):
            await ask
    with pytest.raises(InvalidInput, match="use BigInt"):
        kv.atomic().sum(key, 1)

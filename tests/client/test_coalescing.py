"""Calls that travel together: each brings what it would bring alone, and the others none of it."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    AccessDenied,
    AsyncKv,
    BigInt,
    ConnectionLost,
    Exchange,
    InvalidInput,
    InvalidResponse,
    Kv,
    KvEntry,
    KvError,
    OutcomeUnknown,
    RequestRejected,
    Retries,
    ServerUnreachable,
    ServiceUnavailable,
    TooLarge,
)
from client.hostile import Client, answer, hostile
from support.live import LiveServer
from support.waiting import until

QUICK = Retries(times=3, first_delay="1ms", max_delay="2ms")


async def outcomes(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_begins_in_one_turn_travels_together(server: LiveServer) -> None:
    seen: list[Exchange] = []
    async with AsyncKv(server.api, coalesce=True, on_exchange=seen.append) as kv:
        sets = await asyncio.gather(*[kv.set(["n", number], number) for number in range(50)])
        assert [it.ok for it in sets] == [True] * 50
        assert len({it.versionstamp for it in sets}) == 50
        entries = await asyncio.gather(*[kv.get(["n", number]) for number in range(60)])
        assert [it.value for it in entries] == [*range(50), *[None] * 10]
        stamps = [it.versionstamp for it in sets]
        assert [it.versionstamp for it in entries] == [*stamps, *[None] * 10]
        assert (await kv.get(["n", 1])).value == 1
        assert (await kv.set(["n", 1], 2)).ok
        assert [it.path for it in seen] == [
            "/keys/set-batch", "/keys/batch", "/keys/n/1", "/keys/n/1",
        ]  # fmt: skip
        seen.clear()
        mixed: list[Any] = await asyncio.gather(
            kv.get(["n", 1]),
            kv.get(["n", 2]),
            kv.get(["n", 1], consistency="strong"),
            kv.get(["n", 2], consistency="strong"),
            kv.get_with_metadata(["n", 1]),
            kv.has(["n", 1]),
            kv.get([["n", 1], ["n", 2]]),
            kv.set(["m"], 1),
            kv.set(["m"], 2, idempotency_key="mine"),
            kv.count(["n"]),
        )
        assert [it.value for it in mixed[:4]] == [2, 2, 2, 2]
        assert Counter((it.method, it.path) for it in seen) == {
            ("POST", "/keys/batch"): 3,
            ("GET", "/keys/n/1"): 2,
            ("PUT", "/keys/m"): 2,
            ("GET", "/keys/count"): 1,
        }


async def test_every_kind_of_key_value_and_option(server: LiveServer) -> None:
    keys: list[Any] = [["k", 1], ["k", "1"], ["k", BigInt(1)], ["k", True], ["k", b"1"], ["k/%2F"],
                       ["é" * 900, "x" * 900], ["batch"], ["set-batch"], ["."]]  # fmt: skip
    value = {"big": 2**70, "raw": b"\0", "null": None, "list": [1.5]}
    async with AsyncKv(server.api, coalesce=True) as kv, AsyncKv(server.api) as alone:
        options: dict[str, Any] = {"expires_in": "1h", "metadata": {"by": BigInt(5)}}
        await asyncio.gather(*[kv.set(key, value, **options) for key in keys])
        together = await asyncio.gather(*[kv.get(key) for key in keys])
        for key, entry in zip(keys, together, strict=True):
            assert entry == await alone.get(key)
            assert entry.value == value
            details = (await alone.get_with_metadata(key)).details
            assert details is not None
            assert details.metadata == {"by": BigInt(5)}
            assert details.expires_at is not None
            assert details.expires_at - details.updated_at == 3_600_000


async def test_the_same_errors_as_alone(server: LiveServer) -> None:
    """What one is refused with concerns no other."""
    calls: list[Callable[[AsyncKv], Awaitable[Any]]] = [
        lambda kv: kv.set(["a"], 1),
        lambda kv: kv.set([], 1),
        lambda kv: kv.set(["a"], float("nan")),
        lambda kv: kv.set(["a"], 1, expires_in="soon"),
        lambda kv: kv.set(["a"], {"$now": True, "x": 1}),
        lambda kv: kv.set(["a"], {"at": {"$now": 5}}),
        lambda kv: kv.get([]),
        lambda kv: kv.get(["x" * 2000]),
        lambda kv: kv.get(["never set"]),
    ]
    found = []
    for coalesce in (False, True):
        async with AsyncKv(server.api, coalesce=coalesce) as kv:
            made = await outcomes(*[call(kv) for call in calls])
            found.append([(type(it), str(it).partition(" (")[0] if isinstance(it, BaseException)
                           else "") for it in made])  # fmt: skip
    assert found[0] == found[1]
    assert (RequestRejected in [kind for kind, _ in found[0]]) or (
        InvalidInput in [kind for kind, _ in found[0]]
    )


async def test_no_more_than_a_request_holds(server: LiveServer) -> None:
    seen: list[Exchange] = []
    async with AsyncKv(server.api, coalesce=True, on_exchange=seen.append) as kv:
        text = "x" * 20_000
        await asyncio.gather(*[kv.set(["n", number], [number, text]) for number in range(39)])
        assert {it.path for it in seen} == {"/keys/set-batch"}
        assert len(seen) == 3
        seen.clear()
        await asyncio.gather(*[kv.set(["long", number], text * 2) for number in range(3)])
        assert sorted(it.path for it in seen) == [f"/keys/long/{number}" for number in range(3)]
        seen.clear()
        entries = await asyncio.gather(*[kv.get(["none", number]) for number in range(2500)])
        assert not any(it.exists for it in entries)
        assert len(seen) == 3
        entries = await asyncio.gather(*[kv.get(["n", number]) for number in range(39)])
        assert [it.value for it in entries] == [[number, text] for number in range(39)]


async def test_who_is_cancelled_does_not_cancel_others(server: LiveServer) -> None:
    seen: list[Exchange] = []
    async with AsyncKv(server.api, coalesce=True, on_exchange=seen.append) as kv:
        tasks = [asyncio.create_task(kv.set(["c", number], number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # before it begins: it is not sent
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[1].cancel()  # when it was sent
        assert [it.ok for it in await asyncio.gather(*tasks[2:])] == [True] * 4
        await asyncio.wait(tasks)
        assert [it.cancelled() for it in tasks] == [True, True, *[False] * 4]
        assert [it.path for it in seen] == ["/keys/set-batch"]
        entries = await asyncio.gather(*[kv.get(["c", number]) for number in range(6)])
        assert [it.value for it in entries[2:]] == [2, 3, 4, 5]
        assert not entries[0].exists


class Script:
    """Answers by path, each with what its list has next, the last for ever."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = {name.replace("_", "-"): it for name, it in answers.items()}
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        name = request.url.path.rpartition("/")[2]
        answers = self._answers[name if name in self._answers else "one"]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        if callable(found):
            found = found(request)
        status, body = found
        return httpx2.Response(status, content=json.dumps(body))

    @property
    def paths(self) -> list[str]:
        return [request.url.path.removeprefix("/api/keys/") for request in self.requests]

    def client(self, **options: Any) -> AsyncKv:
        options = {"retries": QUICK, "coalesce": True, **options}
        return AsyncKv("http://host/api", transport=httpx2.MockTransport(self), **options)


def entry_of(key: Any) -> Any:
    return {"key": key, "value": key[0], "versionstamp": "v"}


def batch(request: httpx2.Request) -> tuple[int, Any]:
    return 200, [entry_of(key) for key in json.loads(request.content)["keys"]]


def one(request: httpx2.Request) -> tuple[int, Any]:
    if request.method == "PUT":
        return 200, {"ok": True, "versionstamp": "alone"}
    return 200, entry_of([request.url.path.rpartition("/")[2]])


def done(request: httpx2.Request) -> tuple[int, Any]:
    return 200, [
        {"ok": True, "versionstamp": it["key"][0]} for it in json.loads(request.content)["sets"]
    ]


def gets(kv: AsyncKv) -> list[Awaitable[KvEntry[Any]]]:
    return [kv.get([name]) for name in "abc"]


def puts(kv: AsyncKv) -> list[Awaitable[Any]]:
    return [kv.set([name], 1) for name in "abc"]


@pytest.mark.parametrize(
    "refusal",
    [(413, {"error": "Answer too large", "code": "KEYVAL_LIMIT"}), (400, {"error": "what"}),
     (404, {"error": "Not found"}), (500, {}), (200, [1]), (200, [entry_of(["x"])] * 3)],
)  # fmt: skip
async def test_gets_go_alone_where_they_cannot_together(refusal: Any) -> None:
    script = Script(batch=[refusal], one=[one])
    async with script.client() as kv:
        assert [it.value for it in await asyncio.gather(*gets(kv))] == ["a", "b", "c"]
    assert script.paths == ["batch", "a", "b", "c"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413])
async def test_sets_go_alone_where_they_cannot_together(status: int) -> None:
    script = Script(set_batch=[(status, {"error": "Not found"})], one=[one])
    async with script.client() as kv:
        for _ in range(2):
            assert [it.versionstamp for it in await asyncio.gather(*puts(kv))] == ["alone"] * 3
    again = [] if status in (404, 405) else ["set-batch"]
    assert script.paths == ["set-batch", "a", "b", "c", *again, "a", "b", "c"]


async def test_sets_that_may_have_been_made_are_not_made_otherwise() -> None:
    for refusal, kind in (((500, {}), KvError), ((200, [1]), InvalidResponse)):
        script = Script(set_batch=[refusal], one=[one])
        async with script.client() as kv:
            for it in await outcomes(*puts(kv)):
                assert isinstance(it, kind)
        assert script.paths == ["set-batch"]


@pytest.mark.parametrize(
    ("failure", "read_error", "write_error"),
    [
        (httpx2.ConnectError("refused"), ServerUnreachable, ServerUnreachable),
        (httpx2.ReadError("reset"), ConnectionLost, OutcomeUnknown),
        ((503, {"error": "x", "code": "KEYVAL_DB_DOWN"}), ServiceUnavailable, ServiceUnavailable),
    ],
)  # fmt: skip
async def test_what_is_lost_is_sent_again(
    failure: Any, read_error: type[KvError], write_error: type[KvError]
) -> None:
    script = Script(batch=[failure, failure, batch], set_batch=[failure, failure, done], one=[one])
    async with script.client() as kv:
        assert [it.value for it in await asyncio.gather(*gets(kv))] == ["a", "b", "c"]
        assert [it.versionstamp for it in await asyncio.gather(*puts(kv))] == ["a", "b", "c"]
    assert {*script.paths} <= {"batch", "set-batch", "a", "b", "c"}
    keys: dict[str, set[str]] = {}
    for request in script.requests:
        if request.url.path.endswith("set-batch"):
            for it in json.loads(request.content)["sets"]:
                keys.setdefault(it["key"][0], set()).add(it["idempotencyKey"])
        else:
            assert request.method != "PUT", "it would be another write under its key"
    assert [len(keys[name]) for name in "abc"] == [1, 1, 1]
    for make, error in ((gets, read_error), (puts, write_error)):
        async with Script(batch=[failure], set_batch=[failure]).client(retries=0) as kv:
            found = await outcomes(*make(kv))
        assert [type(it) for it in found] == [error] * 3
        assert len({id(it) for it in found}) == 3
        if isinstance(failure, Exception):
            assert [f"/keys/{name}" in str(it) for name, it in zip("abc", found, strict=True)] == [
                True
            ] * 3


async def test_one_of_several_sets_is_refused_or_comes_later() -> None:
    def some(request: httpx2.Request) -> tuple[int, Any]:
        made: list[Any] = []
        for it in json.loads(request.content)["sets"]:
            name = it["key"][0]
            if name == "b":
                made.append({"error": "never", "status": 400})
            elif name == "c" and len(script.requests) == 1:
                made.append({"error": "not now", "code": "KEYVAL_DB_DOWN", "status": 503})
            else:
                made.append({"ok": True, "versionstamp": name})
        return 200, made

    script = Script(set_batch=[some])
    async with script.client() as kv:
        a, b, c = await outcomes(*puts(kv))
    assert (a.versionstamp, c.versionstamp) == ("a", "c")
    assert isinstance(b, RequestRejected)
    assert isinstance(b, InvalidInput)
    assert (str(b).partition(" (")[0], b.status) == ("never", 400)
    assert b.request_id == script.requests[0].headers["x-request-id"]
    assert script.paths == ["set-batch", "set-batch"]


async def test_a_set_that_went_alone_stays_alone() -> None:
    """A write is repeated as it was, or the server would take it for another one."""

    def lost(request: httpx2.Request) -> tuple[int, Any]:
        raise httpx2.ReadError("reset")

    script = Script(set_batch=[done], one=[lost, one])
    async with script.client(retries=Retries(times=3, first_delay="50ms")) as kv:
        first = asyncio.create_task(kv.set(["a"], 1))
        await until(lambda: script.requests)

        async def more() -> None:
            while not first.done():
                await asyncio.gather(kv.set(["b"], 1), kv.set(["c"], 1))
                await asyncio.sleep(0.001)

        await asyncio.gather(first, more())
    puts = [it for it in script.requests if it.method == "PUT"]
    assert [it.url.path for it in puts] == ["/api/keys/a"] * 2
    assert len({it.headers["idempotency-key"] for it in puts}) == 1


async def test_the_size_of_an_answer_is_not_what_one_of_many_asked_for(server: LiveServer) -> None:
    """Together they are more than the server answers with at once."""
    async with AsyncKv(server.api, coalesce=True) as kv:
        value = "x" * 5_000_000
        for number in range(5):
            await kv.set(["large", number], value)
        entries = await asyncio.gather(*[kv.get(["large", number]) for number in range(5)])
        assert [it.value for it in entries] == [value] * 5
        with pytest.raises(TooLarge):
            await kv.get([["large", number] for number in range(5)])


async def test_closing_while_calls_travel() -> None:
    finish = threading.Event()

    def serve(client: Client) -> None:
        if client.request() is not None:
            finish.wait(20)

    with hostile(serve) as server:
        kv = AsyncKv(server.url, coalesce=True, retries=0)
        calls = [asyncio.ensure_future(call) for call in (*gets(kv), *puts(kv))]
        await until(lambda: len(server.requests) == 2)
        await kv.aclose()
        found = await outcomes(*calls)
        assert all(isinstance(it, KvError) for it in found), found
        finish.set()


# A loop that ends leaves its connections to the garbage collector, which warns. As an error, the
# warning would keep the socket from being closed, and a second one would come later, in any test.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_several_loops(server: LiveServer) -> None:
    kv = AsyncKv(server.api, coalesce=True)

    async def use(number: int) -> list[Any]:
        await asyncio.gather(*[kv.set(["loop", number, one], one) for one in range(10)])
        entries = await asyncio.gather(*[kv.get(["loop", number, one]) for one in range(10)])
        if number == 3:
            await kv.aclose()
        return [it.value for it in entries]

    assert [asyncio.run(use(number)) for number in range(4)] == [[*range(10)]] * 4
    gc.collect()


def test_threads_travel_with_those_that_wait_too(server: LiveServer) -> None:
    seen: list[Exchange] = []
    with (
        Kv(server.api, coalesce=True, on_exchange=seen.append) as kv,
        ThreadPoolExecutor(16) as pool,
    ):

        def use(number: int) -> Any:
            stamp = kv.set(["t", number], number).versionstamp
            entry = kv.get(["t", number])
            assert entry.versionstamp == stamp
            return entry.value

        assert list(pool.map(use, range(400))) == [*range(400)]
    assert len(seen) < 800
    assert {it.error for it in seen} == {None}


def test_a_thread_that_is_refused_refuses_no_other() -> None:
    def serve(client: Client) -> None:
        while client.request() is not None:
            client.send(answer(b'{"error":"who are you"}', "403 Forbidden"))

    with (
        hostile(serve) as server,
        Kv(server.url, coalesce=True, retries=0) as kv,
        ThreadPoolExecutor(8) as pool,
    ):

        def use(number: int) -> type[BaseException]:
            with pytest.raises(AccessDenied) as caught:
                kv.get(["t", number]) if number % 2 else kv.set(["t", number], 1)
            return type(caught.value)

        assert {*pool.map(use, range(60))} == {AccessDenied}

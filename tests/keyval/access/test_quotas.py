"""How much a key may use: requests, streams, entries, bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from buntime_host import Answer, BadRequest, DirectRequest, Principal, settled
from buntime_host.access import UNLIMITED, Permissible, compile_grant
from buntime_plugin_keyval.faces.http.app import KeyValApp
from buntime_plugin_keyval.requests.permissions import PERMISSIONS
from buntime_plugin_keyval.requests.quotas import Quotas, check_limits
from keyval.service.world import World, until

PERMISSIBLE = Permissible({"keyval": PERMISSIONS})
pytestmark = pytest.mark.engines("sqlite", "odd")


def someone(limits: Any, *scopes: str, name: str = "k1") -> Principal:
    grant = compile_grant(scopes, PERMISSIBLE) if scopes else UNLIMITED
    return Principal(name, "somebody", grant, limits={"keyval": limits})


class Client:
    """Requests of one principal, with a clock that is moved by hand."""

    def __init__(self, world: World) -> None:
        self.app = KeyValApp()
        self.app.service = world.service
        self.now = 0.0
        world.service.quotas = Quotas(world.store, lambda: self.now)

    async def ask(self, who: Principal, method: str, path: str, body: Any = None) -> Answer:
        raw, _, query = path.partition("?")
        request = DirectRequest(method, f"/api{raw}".encode(), query.encode(), [])
        request.body = b"" if body is None else json.dumps(body).encode()
        request.principal = who
        answer = await settled(self.app.answer(request))
        assert isinstance(answer, Answer)
        return answer

    async def put(self, who: Principal, key: str, value: Any = 1) -> int:
        return (await self.ask(who, "PUT", f"/keys/{key}", value)).status


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


async def test_entries_where_a_key_may_write(client: Client) -> None:
    who = someone({"entries": 3}, 'keyval:write:["a"]', 'keyval:write:["b"]')
    for key in ("a/1", "a/2", "b/1"):
        assert await client.put(who, key) == 200
    refused = await client.ask(who, "PUT", "/keys/b/2", 1)
    assert refused.status == 413
    assert json.loads(refused.body) == {
        "error": "There would be more than 3 entries, which are the most of this key"
        " (limits.keyval.entries)",
        "code": "KEYVAL_QUOTA_EXCEEDED",
    }
    assert await client.put(who, "a/1", 2) == 200  # it is there already
    assert (await client.ask(who, "DELETE", "/keys/a/2")).status == 200
    assert await client.put(who, "b/2") == 200
    assert await client.put(who, "b/3") == 413
    assert await client.put(someone({"entries": 4}, "keyval:write", name="k1"), "b/3") == 200


async def test_as_many_as_there_may_be_and_not_one_more(client: Client, world: World) -> None:
    who = someone({"entries": 50}, 'keyval:write:["a"]')
    statuses = await asyncio.gather(*(client.put(who, f"a/{number}") for number in range(80)))
    assert statuses.count(200) == 50
    assert await world.stored() == 50
    sets = [{"key": ["a", "more", number], "value": 1} for number in range(3)]
    for path, body in (
        ("/keys/set-batch", {"sets": sets}),
        ("/atomic", {"mutations": [{"type": "set", **one} for one in sets]}),
        ("/atomic", {"mutations": [{"type": "sum", "key": ["a", {"$uuidv7": True}], "value": 1}]}),
        ("/transaction", {"mutations": [{"type": "set", **sets[0]}]}),
    ):
        assert (await client.ask(who, "POST", path, body)).status == 413, path
    assert await world.stored() == 50


async def test_bytes_below_a_prefix(client: Client) -> None:
    limits = {"prefixes": [{"prefix": ["a"], "bytes": "10kb"}, {"prefix": ["b"], "entries": 1}]}
    who = someone(limits)
    assert await client.put(who, "a/1", "x" * 4000) == 200
    assert await client.put(who, "a/2", "x" * 4000) == 200
    refused = await client.ask(who, "PUT", "/keys/a/3", "x" * 4000)
    assert refused.status == 413
    assert 'more than 10240 bytes below ["a"]' in json.loads(refused.body)["error"]
    assert await client.put(who, "a/2", "x" * 5000) == 200
    assert await client.put(who, "c", "x" * 20_000) == 200
    assert (await client.put(who, "b/1"), await client.put(who, "b/2")) == (200, 413)


async def test_whatever_makes_entries_is_counted(client: Client) -> None:
    """Of all routes: one that was not known to write let more be written than there may be."""
    who = someone({"entries": 1}, 'keyval:write:["a"]', "keyval:read", "keyval:queue:send")
    assert await client.put(who, "a/1") == 200
    key = ["a", "new"]
    for method, path, body in (
        ("PUT", "/keys/a/new", 1),
        ("PUT", "/keys/a/new?ifRevision=0", 1),
        ("PATCH", "/keys/a/new", {"b": 1}),
        ("PATCH", "/keys/a/new?ifRevision=0", {"b": 1}),
        ("POST", "/keys/set-batch", {"sets": [{"key": key, "value": 1}]}),
        *[
            ("POST", path, {"mutations": [{"type": kind, "key": key, "value": value}]})
            for path in ("/atomic", "/transaction")
            for kind, value in (("set", 1), ("sum", 1), ("append", [1]), ("patch", {"b": 1}))
        ],
        ("POST", "/queue/enqueue", {"value": 1, "options": {"keysIfUndelivered": [key]}}),
    ):
        assert (await client.ask(who, method, path, body)).status == 413, (method, path, body)
    # One entry is one, however often a commit writes it.
    again = [{"type": "sum", "key": ["a", 1], "value": 1}] * 5
    assert (await client.ask(who, "POST", "/atomic", {"mutations": again})).status == 200
    assert (await client.ask(who, "DELETE", "/keys/a/1", {"exact": True})).status == 200


@pytest.mark.parametrize("kind", ["append", "patch"])
async def test_what_is_added_to_a_value_counts_beside_it(client: Client, kind: str) -> None:
    who = someone({"bytes": 5000}, 'keyval:write:["a"]')
    assert (
        await client.put(who, "a", ["x" * 3000] if kind == "append" else {"x": "x" * 3000}) == 200
    )
    for number in range(3):
        more: Any = {f"y{number}": "y" * 1000}
        mutation = {"type": kind, "key": ["a"], "value": more if kind == "patch" else [more]}
        answer = await client.ask(who, "POST", "/atomic", {"mutations": [mutation]})
        assert answer.status == (200 if number == 0 else 413)
    if kind == "patch":
        assert (await client.ask(who, "PATCH", "/keys/a", {"z": "z" * 1000})).status == 413


async def test_what_others_write_counts_once_it_is_measured(client: Client) -> None:
    who, other = someone({"entries": 2}, 'keyval:write:["a"]'), someone({}, name="k2")
    assert await client.put(who, "a/1") == 200
    for number in (2, 3):
        assert await client.put(other, f"a/{number}") == 200
    client.now += 61
    assert await client.put(who, "a/4") == 413


async def test_requests_in_a_second(client: Client) -> None:
    who, other = someone({"requestsPerSecond": 2}), someone({"requestsPerSecond": 2}, name="k2")
    assert [(await client.ask(who, "GET", "/keys/a")).status for _ in range(3)] == [404, 404, 429]
    refused = await client.ask(who, "GET", "/health")
    assert json.loads(refused.body)["code"] == "KEYVAL_RATE_EXCEEDED"
    assert refused.headers == ((b"retry-after", b"1"),)
    assert (await client.ask(other, "GET", "/health")).status == 200
    client.now += 0.5
    assert (await client.ask(who, "GET", "/health")).status == 200
    assert (await client.ask(who, "GET", "/health")).status == 429
    slow = someone({"requestsPerSecond": 0.1}, name="k3")
    assert (await client.ask(slow, "GET", "/health")).status == 200
    assert (await client.ask(slow, "GET", "/health")).headers == ((b"retry-after", b"10"),)


async def test_streams_that_are_open(client: Client) -> None:
    who = someone({"watchers": 1})
    sent: list[Any] = []

    async def watch() -> None:
        scope = {
            "type": "http", "method": "GET", "raw_path": b"/api/watch", "path": "/api/watch",
            "headers": [], "query_string": b"keys=a", "state": {"principal": who},
        }  # fmt: skip

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await client.app(scope, receive, send)

    first = asyncio.create_task(watch())
    await until(lambda: len(sent) >= 2)
    await watch()
    assert sent[-2]["status"] == 429
    assert b"limits.keyval.watchers is 1" in sent[-1]["body"]
    who.life.end()
    await first
    sent.clear()
    who = someone({"watchers": 1})
    again = asyncio.create_task(watch())
    await until(lambda: bool(sent))
    assert sent[0]["status"] == 200
    who.life.end()
    await again


@pytest.mark.parametrize(
    "limits",
    [{"entires": 1}, {"entries": "many"}, {"bytes": "x"}, {"prefixes": [{"prefix": [[]]}]}],
)
async def test_limits_that_mean_nothing_let_nothing_in(client: Client, limits: Any) -> None:
    refused = await client.ask(someone(limits), "GET", "/health")
    assert refused.status == 503
    assert json.loads(refused.body)["code"] == "KEYVAL_INVALID_LIMITS"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"entires": 1}, "unknown field `entires`; there are requestsPerSecond, watchers, entries"),
        ({"entries": -1}, "entries"),
        ({"entries": "10"}, "entries"),
        ({"requestsPerSecond": 0}, "requestsPerSecond"),
        ({"bytes": "ten"}, 'such as "10mb"'),
        ({"prefixes": [{"entries": 1}]}, "`prefix`"),
        ({"prefixes": [{"prefix": [{}]}]}, "Invalid key"),
        ({"prefixes": [{"prefix": [], "bytes": -5}]}, "bytes"),
        ([], "object"),
    ],
)
def test_limits_that_mean_nothing(limits: Any, reason: str) -> None:
    """They are refused before the key is made."""
    permissible = Permissible({"keyval": PERMISSIONS}, {"keyval": check_limits})
    with pytest.raises(BadRequest) as told:
        permissible.check_limits({"keyval": limits})
    assert told.value.error_code == "INVALID_LIMITS"
    assert told.value.message.startswith("Invalid limits: limits.keyval: ")
    assert reason in told.value.message


def test_limits_that_mean_something() -> None:
    check_limits({})
    check_limits({"requestsPerSecond": 0.5, "watchers": 0, "entries": 3, "bytes": "10mb"})
    check_limits({"prefixes": [{"prefix": [], "entries": 0}, {"prefix": ["a"], "bytes": 5}]})

"""A store in the server's process and one behind HTTP: the same methods, and the same outcomes.

Each test is the code of a user, and runs with the `LocalKv` of a plugin and with `AsyncKv`.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from buntime_keyval import (
    AsyncDelivery,
    AsyncKv,
    BigInt,
    ConsumerLocked,
    Field,
    IdempotencyKeyReused,
    InvalidInput,
    InvalidValue,
    KvEntry,
    KvMissing,
    LockHeld,
    LockLost,
    NotFound,
    PositionAhead,
    PreconditionFailed,
    QueueMessage,
    RecordDeletePrefix,
    RecordPut,
    StaleConsumer,
    StaleLease,
    StreamRecord,
    StreamTrimmed,
    TransactionConflict,
    VersionMismatch,
)
from buntime_keyval._async import consumers as async_consumers
from buntime_keyval.shared import AsyncConsumer
from buntime_plugin_keyval.faces.local.kv import LocalKv
from client._async.beside import until
from support.store import open_kv

pytestmark = pytest.mark.slow

AnyKv = AsyncKv | LocalKv

CLIENT_ALONE = {
    "aclose": "a plugin does not close the store of another plugin",
    "from_env": "a plugin gets its store from the host",
}
PLUGIN_ALONE = {
    "as_principal": "who a client is, its token says",
    "add_trigger": "functions of the process do not travel",
    "changes": "what a client needs of the change log is in its watch",
    "close": "for the plugin that owns the store",
    "get_adapter": "the database is in the process",
    "get_logger": "so is the logger",
}
OTHERWISE = {
    "metrics": "an object that is called, since it has more to offer in process",
}


@pytest.fixture(params=["in-process", "http"])
async def kv(request: pytest.FixtureRequest) -> AsyncIterator[AnyKv]:
    if request.param == "in-process":
        async with open_kv() as local:
            yield local
    else:
        async with AsyncKv(request.getfixturevalue("api")) as client:
            yield client


def test_every_difference_of_the_methods_has_a_reason() -> None:
    client, plugin = methods(AsyncKv), methods(LocalKv)
    assert client.keys() - plugin.keys() - OTHERWISE.keys() == CLIENT_ALONE.keys()
    assert plugin.keys() - client.keys() == PLUGIN_ALONE.keys()
    for name in client.keys() & plugin.keys():
        assert client[name] == plugin[name], name


async def test_objects_have_the_same_methods_too(api: str) -> None:
    async with AsyncKv(api) as client, open_kv() as plugin:
        for part in ("consumers", "dlq", "locks", "queues", "stream"):
            of_client, of_plugin = (type(getattr(kv, part)) for kv in (client, plugin))
            assert methods(of_client).keys() == methods(of_plugin).keys()
            for name, (parameters, _) in methods(of_client).items():
                assert parameters == methods(of_plugin)[name][0], name
        made = await inspect.unwrap(client.metrics)(), await plugin.metrics()
        assert made[0].keys() == made[1].keys()
        for pair in (
            (client.atomic(), plugin.atomic()),
            (client.begin(), plugin.begin()),
            (client.store(["a"]), plugin.store(["a"])),
            (client.store(["a"]).atomic(), plugin.store(["a"]).atomic()),
            (client.graph, plugin.graph),
            (client.queue("a"), plugin.queue("a")),
            (client.records(), plugin.records()),
            (client.lock("a"), plugin.lock("a")),
            (client.consumer("a"), plugin.consumer("a")),
            (client.now(), plugin.now()),
            (client.uuidv7(), plugin.uuidv7()),
        ):
            assert type(pair[0]) is type(pair[1])
        for kind in ("watch", "listen_queue"):
            arguments = [["a"]] if kind == "watch" else []
            handles = [getattr(kv, kind)(*arguments) for kv in (client, plugin)]
            assert type(handles[0]) is type(handles[1])
            for handle in handles:
                await handle.stop()


def methods(kind: type) -> dict[str, Any]:
    """Parameters and results of the public methods, as they are written."""
    found = {}
    for name, member in inspect.getmembers(kind, callable):
        if not name.startswith("_"):
            signature = inspect.signature(member)
            found[name] = [*signature.parameters.values()], signature.return_annotation
    return found


async def test_the_stream(kv: AnyKv) -> None:
    begin = await kv.stream.seq()
    await kv.set(["a", 1], 1)
    stamp = (await kv.set(["b"], 1, type="thing")).versionstamp
    await kv.delete(["a", 1])
    page = await kv.stream.read(begin)
    assert [(it.action, it.key) for it in page.records] == [
        ("create", ("a", 1)),
        ("create", ("b",)),
        ("delete", ("a", 1)),
    ]
    assert page.records[1].versionstamp == stamp
    assert page.next == page.last == await kv.stream.seq()
    found = [it async for it in _first(kv.stream.follow(begin, prefix=["a"]), 2)]
    assert found == [page.records[0], page.records[2]]
    assert [it async for it in kv.stream(begin)] == page.records
    assert (await kv.stream.read(begin, action="delete")).records == [page.records[2]]
    assert (await kv.stream.read(begin, type="thing")).records == [page.records[1]]
    told = page.records[2]
    assert (told.version, told.type, told.value, told.has_value) == (1, None, None, False)
    assert (await kv.stream.read(since=page.records[0].at)).records[-3:] == page.records
    assert not (await kv.stream.read(page.next, wait=1)).records
    assert await kv.stream.trim(page.records[0].seq) > 0
    with pytest.raises(StreamTrimmed, match="the stream begins with") as trimmed:
        await kv.stream.read(begin)
    assert trimmed.value.first == page.records[0].seq + 1
    assert (await kv.stream.read(page.records[0].seq)).records == page.records[1:]
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(InvalidInput, match="after must be a position"):
            await kv.stream.read(wrong)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidInput, match="after and since exclude each other"):
        await kv.stream.read(1, since=1)
    with pytest.raises(InvalidInput, match="since must be milliseconds"):
        await kv.stream.read(since=-1)
    with pytest.raises(InvalidInput, match="type must be a text"):
        await kv.stream.read(type=1)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidInput, match="action must be"):
        await kv.stream.read(action="put")  # type: ignore[arg-type] # as above


async def test_consumers(kv: AnyKv) -> None:
    begin = await kv.stream.seq()
    assert (await kv.consumers.set_position("c", begin)).position == begin
    for number in range(3):
        await kv.set(["c", number], number)
    consumer = kv.consumer("c", prefix=["c"], batch=2)
    async for record in consumer.records(commit="each"):
        if record.key == ("c", 1):
            consumer.stop()
    info = await kv.consumers.get("c")
    assert info is not None
    assert (info.lag, info.owner) == (1, None)
    assert [info] == await kv.consumers.list("c")
    (last,) = await kv.consumers.peek("c", prefix=["c"])
    batch = await kv.consumers.fetch("c", "w", wait=1)
    assert (batch.records, batch.position, batch.lag) == ([last], info.position, 1)
    with pytest.raises(ConsumerLocked, match="The consumer c is at work as w") as locked:
        await kv.consumers.fetch("c", "other")
    assert locked.value.owner == "w"
    assert isinstance(locked.value.until, int)
    with pytest.raises(PositionAhead, match="the stream ends with"):
        await kv.consumers.commit("c", batch.token, last.seq + 1)
    failure = await kv.consumers.nack("c", batch.token, last.seq, error="x", max_attempts=1)
    assert (failure.dead, failure.position) == (True, last.seq)
    (letter,) = await kv.consumers.dead_letters("c")
    assert (letter.record, letter.error, letter.requeued) == (last, "x", False)
    assert await kv.consumers.requeue("c", last.seq) == 1
    assert await kv.consumers.delete_dead_letters("c", last.seq) == 1
    assert await kv.consumers.release("c", "w", token=batch.token)
    done = kv.atomic().set(["done"], 1).commit_consumer("c", batch.token, last.seq)
    assert not (await done.commit()).ok
    with pytest.raises(StaleConsumer):
        await kv.consumers.commit("c", batch.token, last.seq)
    assert await kv.consumers.delete("c")
    for wrong in (-1, True, "1"):
        with pytest.raises(InvalidInput):
            await kv.consumers.set_position("c", wrong)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidInput, match="token must be the token of a fetch"):
        kv.atomic().commit_consumer("c", "", 1)


async def test_a_consumer_that_waits_stops_at_once(
    kv: AnyKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_consumers, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(async_consumers, "_LONGEST_PAUSE", 3600.0)
    await kv.consumers.set_position("s", await kv.stream.seq())
    at_work, standing_by, fails = (kv.consumer("s", prefix=["s"], retry="1h") for _ in range(3))

    async def refuse(_: StreamRecord) -> None:
        raise ValueError("not today")

    def state(consumer: AsyncConsumer, what: str) -> Callable[[], Awaitable[bool]]:
        async def holds() -> bool:
            info = await kv.consumers.get("s")
            assert info is not None
            return bool(info.failing if what == "fails" else info.owner == consumer.owner)

        return holds

    async with asyncio.timeout(30), asyncio.TaskGroup() as running:
        running.create_task(at_work.run(refuse))
        await until(state(at_work, "has it"))
        waits = running.create_task(standing_by.run(refuse))
        await asyncio.sleep(0.05)
        standing_by.stop()
        await waits
        at_work.stop()
    async with asyncio.timeout(30), asyncio.TaskGroup() as running:
        await kv.set(["s", 1], 1)
        running.create_task(fails.run(refuse))
        await until(state(fails, "fails"))
        fails.stop()
        fails.stop()
    # Nobody has to wait for a lock that one of them left behind.
    assert (await kv.consumers.fetch("s", "next")).records


async def _first(records: AsyncIterator[StreamRecord], number: int) -> AsyncIterator[StreamRecord]:
    async for record in records:
        yield record
        number -= 1
        if not number:
            return


async def test_locks(kv: AnyKv) -> None:
    async with kv.lock("a", ttl="20s", metadata={"at": kv.now(), "big": 2**60}) as lock:
        with pytest.raises(LockHeld, match="The lock a is held by"):
            await kv.locks.acquire("a", "w", wait=1)
        assert (await kv.atomic().check_lock("a", lock.token).set(["a"], 1).commit()).ok
        found = await kv.locks.get("a")
        assert found is not None
        assert isinstance(found.metadata["at"], int)
        assert [found] == await kv.locks.list("a")
        stolen = await kv.locks.steal("a", "thief")
        assert not (await kv.atomic().check_lock("a", lock.token).set(["a"], 2).commit()).ok
        with pytest.raises(LockLost, match="not held under this token"):
            await kv.locks.renew("a", lock.owner, lock.token)
    assert await kv.locks.release("a", "thief", token=stolen.token)
    with pytest.raises(InvalidInput, match="wait must be at most 600000"):
        await kv.locks.acquire("a", "w", wait="11m")


async def test_entries(kv: AnyKv) -> None:
    result = await kv.set(["users", 1], {"name": "Ada", "age": 36}, expires_in="1h")
    assert await kv.get(["users", 1]) == KvEntry(
        ("users", 1), {"name": "Ada", "age": 36}, result.versionstamp
    )
    await kv.set(["users", b"\0"], [BigInt(7), b"\1", 2**70])
    batch = await kv.get([["users", b"\0"], ["users", 2]])
    assert [entry.value for entry in batch] == [[BigInt(7), b"\1", BigInt(2**70)], None]
    assert not await kv.get([])
    adults = {"age": {"$gte": 18}}
    assert [entry.key async for entry in kv.list(["users"], where=adults)] == [("users", 1)]
    assert [e.key async for e in kv.list(limit=1, page_size=1, reverse=True)] == [("users", 1)]
    assert await kv.count(["users"], where=Field("name").starts_with("A")) == 1
    page = await kv.paginate(["users"], limit=1)
    assert (len(page.entries), page.has_more) == (1, True)
    rest = await kv.paginate(["users"], limit=1, cursor=page.cursor)
    assert (rest.entries[0].key, rest.cursor) == (("users", 1), None)
    assert (await kv.delete(["users", 1], where={"age": {"$lt": kv.now()}})).deleted_count == 1
    assert (await kv.delete([["users"], ["none", 1]])).deleted_count == 1
    with pytest.raises(InvalidInput, match="everything=True"):
        await kv.delete([])
    assert (await kv.delete([], everything=True)).deleted_count == 0


async def test_what_has_the_same_key_is_done_once(kv: AnyKv) -> None:
    users = kv.store(["users"])
    (await kv.set(["gone"], 1), await kv.set(["gone", 1], 1))
    for use in (
        lambda key: kv.set(["a"], 1, metadata={"by": "me"}, idempotency_key=key),
        lambda key: kv.atomic().sum(["n"], 1).commit(idempotency_key=key),
        lambda key: (
            kv.atomic()
            .check(KvMissing(("b",), None, None))
            .set(["b"], 1)
            .commit(idempotency_key=key)
        ),
        lambda key: kv.atomic().check(KvMissing(("b",), None, None)).commit(idempotency_key=key),
        lambda key: kv.delete(["gone"], idempotency_key=key),
        lambda key: kv.delete([["b"], ["none"]], exact=True, idempotency_key=key),
        lambda key: kv.enqueue({"x": kv.now()}, idempotency_key=key),
        lambda key: users.set(1, "Ada", idempotency_key=key),
        lambda key: users.delete(1, idempotency_key=key),
        lambda key: kv.create_index(["a"], fields=["x"], idempotency_key=key),
        lambda key: kv.remove_index(["a"], idempotency_key=key),
        lambda key: kv.dlq.delete("unknown", idempotency_key=key),
        lambda key: kv.dlq.purge(idempotency_key=key),
    ):
        key = f"key-{uuid.uuid4()}"
        first = await use(key)
        assert await use(key) == first
    assert (await kv.get(["n"])).value == 1
    assert (await kv.queue_stats()).total == 1
    with pytest.raises(IdempotencyKeyReused):
        await kv.set(["a"], "something else", idempotency_key=key)
    with pytest.raises(InvalidInput, match="visible ASCII"):
        await kv.enqueue(1, idempotency_key="two words")
    with pytest.raises(InvalidInput, match="not for everything"):
        await kv.delete([], everything=True, idempotency_key="k")


async def test_settling_with_the_same_key_is_done_once(kv: AnyKv) -> None:
    async def receive() -> QueueMessage[Any]:
        message = await kv.dequeue()
        assert message is not None
        return message

    await kv.enqueue("x", backoff_schedule=[0, 0, 0])
    message = await receive()
    for _ in range(2):
        await kv.extend_message(message, "10s", idempotency_key=f"e{message.lease}")
    for _ in range(2):
        await kv.release_message(message, idempotency_key=f"r{message.lease}")
    first = await receive()
    await kv.nack_message(first.id, delay=0, idempotency_key=f"n{first.lease}")
    second = await receive()
    # By its id alone it would give back what somebody else has by now.
    await kv.nack_message(first.id, delay=0, idempotency_key=f"n{first.lease}")
    assert await kv.dequeue() is None
    for _ in range(2):
        await kv.ack_message(second, idempotency_key=f"a{second.lease}")
    with pytest.raises(StaleLease):
        await kv.ack_message(second)


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"weights": 3}, "3"),
        ({"weights": {"title": None}}, "None"),
        ({"highlight": b"b"}, "b'b'"),
        ({"highlight": {"marks": (1, 2)}}, "(1, 2)"),
        ({"highlight": {"escape": True}}, "True"),
        ({"snippet": 65}, "65"),
    ],
)
async def test_what_is_wrong_is_shown_as_python_writes_it(
    kv: AnyKv, options: dict[str, Any], received: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await anext(kv.search(["a"], "x", **options))
    assert str(caught.value).endswith(f"received {received}")


async def test_unknown_messages_are_fine_unless_strict(kv: AnyKv) -> None:
    for use in (kv.ack_message, kv.nack_message):
        await use("unknown")
    for use in (kv.ack_message, kv.nack_message, kv.extend_message):
        with pytest.raises(NotFound, match="No message in the queue has the id unknown"):
            await use("unknown", strict=True)
        with pytest.raises(StaleLease):
            await use("unknown", lease="x", strict=True)
    await kv.enqueue(1)
    message = await kv.dequeue()
    assert message is not None
    await kv.extend_message(message.id, strict=True)
    await kv.ack_message(message.id, strict=True)


@pytest.mark.parametrize(
    "use",
    [
        lambda kv: kv.set([], 1),
        lambda kv: kv.set(["a"], object()),
        lambda kv: kv.set(["a"], 1, expires_in="soon"),
        lambda kv: kv.set(["a" * 1025], 1),
        lambda kv: kv.set([2**60 + 1], 1),
        lambda kv: kv.delete(["a"], where={"x": {"$what": 1}}),
        lambda kv: kv.count(["a"], where={"x": {"$in": 1}}),
        lambda kv: kv.paginate(["a"], limit=0),
        lambda kv: kv.paginate(["a"], cursor="?"),
        lambda kv: anext(kv.list(limit=-1)),
        lambda kv: anext(kv.list(page_size=0)),
        lambda kv: anext(kv.search(["a"], None)),
        lambda kv: anext(kv.search(["a"], "x", highlight="b")),
        lambda kv: anext(kv.search(["a"], "x", snippet=65)),
        lambda kv: anext(kv.search(["a"], "x", weights={"title": -1})),
        lambda kv: kv.paginate_search(["a"], "x", cursor="?"),
        lambda kv: kv.create_index(["a"], fields=[]),
        lambda kv: kv.create_index(["a"], fields=["x"], tokenize="words"),
        lambda kv: kv.enqueue(1, delay=-1),
        lambda kv: kv.ack_message(""),
        lambda kv: kv.release_message("an id without its lease"),
        lambda kv: kv.dlq.list(limit=0),
        lambda kv: kv.dlq.list(offset=-1),
        lambda kv: kv.dlq.get(""),
        lambda kv: kv.metrics("xml"),
        lambda kv: kv.transaction(None, max_retries=-1),
    ],
)
async def test_mistakes_are_the_same_exception(kv: AnyKv, use: Any) -> None:
    with pytest.raises(InvalidInput):
        await use(kv)


async def test_records_with_versions(kv: AnyKv) -> None:
    records = kv.records(strict=True)
    await records.put("a", {"n": 1}, 0)
    await records.patch("a", {"m": 2}, 1)
    with pytest.raises(VersionMismatch):
        await records.put("b", 1, 1)
    assert await records.mutate_all(RecordPut("b", 1), RecordDeletePrefix("a")) == [1, 1]
    assert [(it.key, it.version) for it in await records.get_prefix("")] == [("b", 1)]
    with pytest.raises(InvalidInput):
        await records.get("")


async def test_edges_of_a_graph(kv: AnyKv) -> None:
    graph = kv.graph.at(["places"])
    for source, target, km in (("a", "b", 1), ("b", "c", 1), ("a", "c", 5)):
        await graph.add(("town", source), "road", ("town", target), {"km": km})
    path = await graph.shortest_path(("town", "a"), ("town", "c"), weight="km")
    assert path is not None
    assert ([node.id for node in path.nodes], path.weight) == (["a", "b", "c"], 2)
    assert await graph.degree(("town", "c"), "road") == (2, 0)
    assert [edge.source.id async for edge in graph.incoming(("town", "c"))] == ["a", "b"]
    assert await graph.remove(("town", "a"), "road", ("town", "c"))
    assert len((await graph.paginate()).edges) == 2
    with pytest.raises(InvalidInput, match="the id of a node"):
        await graph.degree(("town", ""))


async def test_commits(kv: AnyKv) -> None:
    entry = await kv.get(["n"])
    result = await (
        kv.atomic()
        .check(entry, (["x"], None))
        .set(["log", kv.uuidv7()], "first", expires_in="1h")
        .sum(["n"], 2**60)
        .max(["top"], 5)
        .min(["low"], "-3")
        .append(["list"], [2])
        .prepend(["list"], [1])
        .delete(["none"])
        .enqueue({"job": 1}, backoff_schedule=[])
        .commit()
    )
    assert result.ok
    assert (await kv.get(["log", str(result.versionstamp)])).value == "first"
    values = [it.value for it in await kv.get([["n"], ["top"], ["low"], ["list"]])]
    assert values == [BigInt(2**60), 5, -3, [1, 2]]
    message = await kv.dequeue()
    assert message is not None
    assert message.value == {"job": 1}
    await kv.ack_message(message)
    again = await kv.atomic().check(entry).enqueue("never").commit()
    assert (again.ok, again.versionstamp) == (False, None)
    await kv.set(["text"], "text")
    with pytest.raises(InvalidInput, match="numeric"):
        await kv.atomic().sum(["text"], 1).commit()
    fraction: Any = 1.5
    with pytest.raises(InvalidInput, match="integer"):
        kv.atomic().sum(["n"], fraction)


async def test_transactions(kv: AnyKv) -> None:
    await kv.set(["a"], 1)
    runs = 0

    async def move(tx: Any) -> str:
        nonlocal runs
        runs += 1
        value = (await tx.get(["a"])).value
        if runs == 1:
            await kv.set(["a"], 10)
        tx.set(["b"], value)
        tx.sum(["moves"], 1, expires_in="1h")
        tx.enqueue({"moved": value})
        return "done"

    result = await kv.transaction(move, max_retries=2, retry_delay="1ms")
    assert (result.ok, result.value, runs) == (True, "done", 2)
    message = await kv.dequeue()
    assert message is not None
    assert message.value == {"moved": 10}
    await kv.ack_message(message)
    assert (await kv.get(["b"])).versionstamp == result.versionstamp

    async def conflict() -> None:
        async with kv.begin() as tx:
            await tx.get(["a"])
            await kv.set(["a"], 11)
            tx.enqueue("never")

    with pytest.raises(TransactionConflict):
        await conflict()
    assert (await kv.queue_stats()).pending == 0
    tries = 0
    async for attempt in kv.attempts(retry_delay=0):
        tries += 1
        async with attempt as tx:
            await tx.get([["a"], ["b"]])
            if tries == 1:
                await kv.set(["b"], 0)
            tx.append(["tries"], [tries])
    assert (await kv.get(["tries"])).value == [2]


@dataclass
class User:
    name: str
    age: int = 0


async def test_typed_stores(kv: AnyKv) -> None:
    users = kv.store(["users"], User, expires_in="1h")
    await users.set(1, User("Ada", 2**60))
    await users.set(("old", 1), User("Bob"))
    assert (await users.get(1)).value == User("Ada", 2**60)
    assert [it.value for it in await users.get_many([1, 2])] == [User("Ada", 2**60), None]
    assert await users.has(1)
    assert not await users.has(2)
    wrong: Any = User(1)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=r"\$\.name"):
        await users.set(2, wrong)
    assert [entry.key async for entry in users.list()] == [("old", 1), (1,)]
    assert [it.key for it in await users.with_prefix("old").get_all()] == [(1,)]
    assert await users.count() == 2
    page = await users.paginate(limit=1)
    assert page.has_more
    assert page.entries[0].value == User("Bob")
    async with kv.begin() as tx:
        tx.set(("users", 2), {"name": 5})
    with pytest.raises(InvalidValue, match=r"\$\.name"):
        await users.get(2)
    assert (await users.delete(2)).deleted_count == 1
    told: list[int] = []
    deleted = await users.delete_all(batch_size=1, on_progress=told.append)
    assert (deleted.deleted_count, told) == (2, [1, 2])


async def test_search(kv: AnyKv) -> None:
    for number in range(5):
        text = {"title": "needle" if number == 3 else "hay", "body": f"a needle, no. {number}"}
        await kv.set(["d", number], text)
    with pytest.raises(NotFound, match="No index found"):
        await anext(aiter(kv.search(["d"], "needle")))
    await kv.create_index(["d"], fields=["title", "body"], tokenize="porter")
    (index,) = await kv.list_indexes()
    assert (index.prefix, index.fields, index.tokenize) == (("d",), ["title", "body"], "porter")
    assert (index.documents, index.entries, index.ready) == (5, 5, True)
    hits = [hit async for hit in kv.search(["d"], "needles", weights={"title": 9}, limit=2)]
    assert hits[0].key == ("d", 3)
    assert (len(hits), hits[0].highlight, hits[0].snippet) == (2, None, None)
    options: dict[str, Any] = {"highlight": ("[", "]"), "snippet": 2, "start": ["d", 3]}
    (hit,) = [it async for it in kv.search(["d"], "needle", end=["d", 4], **options)]
    assert hit.highlight == {"title": "[needle]", "body": "a [needle], no. 3"}
    assert hit.snippet is not None
    assert "[needle]" in hit.snippet["body"]
    (marked,) = [it async for it in kv.search(["d"], "3", highlight=True)]
    assert marked.highlight == {"title": "needle", "body": "a needle, no. <mark>3</mark>"}
    keys: list[Any] = []
    cursor = None
    while True:
        page = await kv.paginate_search(["d"], "needle", limit=2, cursor=cursor, reverse=True)
        keys += [it.key for it in page.entries]
        cursor = page.cursor
        if not page.has_more:
            break
    assert keys == [it.key async for it in kv.search(["d"], "needle", reverse=True)]
    assert len(keys) == 5
    with pytest.raises(InvalidInput, match="no such field"):
        await kv.paginate_search(["d"], "needle", weights={"other": 1})
    await kv.remove_index(["d"])
    assert await kv.list_indexes() == []


async def test_the_queue_by_hand(kv: AnyKv) -> None:
    sent = await kv.enqueue("x", backoff_schedule=[0], keys_if_undelivered=[["lost"]])
    message = await kv.dequeue()
    assert message is not None
    assert (message.id, message.value, message.attempts) == (sent.id, "x", 1)
    assert await kv.dequeue() is None
    await kv.release_message(message)
    again = await kv.dequeue()
    assert again is not None
    assert again.attempts == 1
    for settle in (kv.ack_message, kv.nack_message, kv.release_message):
        with pytest.raises(StaleLease):
            await settle(message)
    await kv.nack_message(again, "no luck", delay=0)
    last = await kv.dequeue()
    assert last is not None
    assert last.attempts == 2
    await kv.nack_message(last.id, "gave up", lease=last.lease)
    (letter,) = await kv.dlq.list()
    assert (letter.original_id, letter.value, letter.error_message) == (sent.id, "x", "gave up")
    assert await kv.dlq.get(letter.id) == letter
    assert (await kv.get(["lost"])).value == "x"
    new = await kv.dlq.requeue(letter.id)
    assert (new.ok, (await kv.queue_stats()).pending) == (True, 1)
    await kv.ack_message(new.id)
    with pytest.raises(NotFound, match="DLQ"):
        await kv.dlq.requeue(letter.id)
    await kv.dlq.delete(letter.id)
    assert await kv.dlq.get(letter.id) is None
    assert (await kv.dlq.purge()).deleted_count == 0


@pytest.mark.parametrize("mode", ["sse", "polling"])
async def test_listeners(kv: AnyKv, mode: Any) -> None:
    done: list[Any] = []
    errors: list[str] = []

    async def handle(message: AsyncDelivery) -> None:
        if message.value == "broken":
            raise ValueError("no image")
        done.append(message.value)

    await kv.enqueue("broken", backoff_schedule=[])
    await kv.enqueue("a.png")
    listener = kv.listen_queue(
        handle,
        mode=mode,
        poll_interval=20,
        concurrency=2,
        on_error=lambda error: errors.append(str(error)),
    )
    await kv.enqueue("b.png")
    await until(lambda: len(done) == 2 and errors)
    await listener.stop()
    assert (sorted(done), errors, listener.closed) == (["a.png", "b.png"], ["no image"], True)
    (letter,) = await kv.dlq.list()
    assert letter.error_message == "ValueError: no image"
    await kv.enqueue("welcome", queue="emails")
    async with kv.listen_queue(mode=mode, poll_interval=20, queue="emails") as messages:
        async for message in messages:
            assert (message.value, message.queue) == ("welcome", "emails")
            await message.ack()
            break
    await kv.enqueue("first")
    await kv.enqueue("second")
    async with kv.listen_queue(mode=mode, poll_interval=20) as messages:
        async for message in messages:  # which acknowledges the one before
            if message.value == "second":
                assert message.queue == ""
                await message.release()
                break

    async def comes_again() -> bool:
        message = await kv.dequeue()
        if message is not None:
            assert message.value == "second"
            await kv.ack_message(message)
        return message is not None

    await until(comes_again)
    assert (await kv.queue_stats()).total == 1  # the dead letter


@pytest.mark.parametrize("mode", ["sse", "polling"])
@pytest.mark.parametrize("exact", [True, False])
async def test_watches(kv: AnyKv, mode: Any, exact: bool) -> None:
    await kv.set(["w"], 0)
    await kv.set(["w", 1], "below")
    seen: list[Any] = []

    async def hear(entries: list[KvEntry[Any]]) -> None:
        seen.extend((entry.key, entry.value) for entry in entries)

    options: dict[str, Any] = {"exact": exact, "mode": mode, "poll_interval": 10}
    watch = kv.watch(["w"], hear, buffer_size=10, **options)
    first = [(("w",), 0)] if exact else [(("w",), 0), (("w", 1), "below")]
    await until(lambda: seen == first)
    await kv.delete(["w"], exact=True)
    await until(lambda: seen == [*first, (("w",), None)])
    await watch.stop()
    assert (watch.closed, watch.dropped, watch.error) == (True, 0, None)
    with pytest.raises(RuntimeError, match="callback"):
        aiter(watch)
    async with kv.watch([["w", 1], ["w", 2]], **options) as batches:
        batch = await anext(batches)
        known = {entry.key: entry.value for entry in batch if entry.exists}
        assert known == {("w", 1): "below"}
        await kv.set(["w", 2], "new")
        while ("w", 2) not in known:
            known.update({entry.key: entry.value for entry in await anext(batches)})
    assert known[("w", 2)] == "new"


async def test_patches(kv: AnyKv) -> None:
    await kv.set(["p", 1], {"a": 1, "in": {"b": BigInt(2**70), "c": 2}}, type="P")
    result = await kv.patch(["p", 1], {"a": None, "in": {"c": None, "d": b"x"}}, metadata="m")
    assert result.ok
    entry = await kv.get_with_metadata(["p", 1])
    assert entry.value == {"in": {"b": 2**70, "d": b"x"}}
    assert entry.versionstamp == result.versionstamp
    assert entry.details is not None
    told = (entry.details.type, entry.details.metadata, entry.details.revision)
    assert told == ("P", "m", 2)
    await kv.atomic().patch(["p", 2], {"a": {"b": None}}, type="Q").commit()
    async with kv.begin() as tx:
        tx.patch(["p", 2], {"a": {"n": 1}})
    people = kv.store(["p"])
    first = await people.patch(2, {"c": 3}, idempotency_key="p")
    assert await people.patch(2, {"c": 3}, idempotency_key="p") == first
    assert (await people.get(2)).value == {"a": {"n": 1}, "c": 3}
    long = ["x" * 900, "y" * 900, "z" * 900]
    await kv.patch(long, {"a": 1})
    assert (await kv.get(long)).value == {"a": 1}


async def test_conditions(kv: AnyKv) -> None:
    first = await kv.set(["c", 1], {"n": 1}, create_only=True)
    with pytest.raises(PreconditionFailed) as failed:
        await kv.set(["c", 1], 2, create_only=True)
    assert failed.value.versionstamp == first.versionstamp
    second = await kv.patch(["c", 1], {"n": 2}, if_match=first.versionstamp)
    with pytest.raises(PreconditionFailed):
        await kv.patch(["c", 1], {"n": 3}, if_match=first.versionstamp)
    store = kv.store(["c"])
    third = await store.set(1, {"n": 3}, if_revision=2, metadata="m", type="T")
    with pytest.raises(PreconditionFailed):
        await store.patch(1, {}, if_revision=2)
    with pytest.raises(PreconditionFailed):
        await store.delete(1, if_match=second.versionstamp)
    assert (await kv.delete(["c", 1], if_match=third.versionstamp, exact=True)).deleted_count == 1
    with pytest.raises(PreconditionFailed) as gone:
        await kv.delete(["c", 1], if_revision=3)
    assert gone.value.versionstamp is None
    await kv.patch(["list"], {"a": 1}, create_only=True, expires_in="1h")
    assert (await kv.get(["list"])).value == {"a": 1}
    wrong: list[dict[str, Any]] = [
        {"if_match": "x", "if_revision": 1},
        {"if_match": ""},
        {"if_revision": -1},
        {"if_revision": True},
        {"create_only": True, "if_revision": 0},
        {"create_only": 1},
    ]
    for options in wrong:
        with pytest.raises(InvalidInput):
            await kv.set(["c", 1], 1, **options)
    with pytest.raises(InvalidInput, match="for one key"):
        await kv.delete([["a"], ["b"]], if_revision=1)
    with pytest.raises(InvalidInput, match="for one key"):
        await kv.delete([], everything=True, if_revision=1)


async def test_counters(kv: AnyKv) -> None:
    await kv.set(["a"], 1)
    assert (await kv.metrics())["storage"]["entries"] == 1
    assert "keyval_entries_total 1" in await kv.metrics("prometheus")


async def test_details(kv: AnyKv) -> None:
    await kv.set(["d", 1], "value", metadata={"by": b"ada", "at": kv.now()}, expires_in="1h")
    entry = await kv.get_with_metadata(["d", 1])
    assert entry.details is not None
    assert entry.details.metadata["by"] == b"ada"
    assert 0 < entry.details.metadata["at"] <= entry.details.created_at == entry.details.updated_at
    assert entry.details.expires_at == entry.details.created_at + 3_600_000
    await kv.atomic().sum(["d", 2], 1, metadata=["m"], expires_at=2**42).commit()
    async with kv.begin() as tx:
        tx.set(["d", 3], 1, metadata="of a transaction")
    several = await kv.get_with_metadata([["d", 2], ["d", 3], ["none"]])
    assert [it.details and it.details.metadata for it in several] == [
        ["m"],
        "of a transaction",
        None,
    ]
    keys = [it async for it in kv.list(["d"], values=False, details=True, page_size=1)]
    assert [(it.key[1], it.value, it.details is not None) for it in keys] == [
        (number, None, True) for number in (1, 2, 3)
    ]
    page = await kv.paginate(["d"], limit=1, values=False)
    assert (page.entries[0].value, page.has_more) == (None, True)
    assert await kv.has(["d", 1])
    assert not await kv.has(["d"])
    store = kv.store(["s"], int, metadata="of the store")
    await store.set("a", 1)
    assert (await store.get_with_metadata("a")).details is not None
    assert [it.value for it in await store.get_all(values=False)] == [None]
    await kv.set(["gone"], 1, expires_at=1_000_000_000_000)
    assert not await kv.has(["gone"])
    assert not (await kv.vacuum()).has_more


async def test_a_lease_can_be_prolonged(kv: AnyKv) -> None:
    await kv.enqueue("slow")
    message = await kv.dequeue()
    assert message is not None
    await kv.extend_message(message, "1h")
    await kv.ack_message(message)
    with pytest.raises(StaleLease):
        await kv.extend_message(message)
    prolonged: list[str] = []

    async def handle(delivery: AsyncDelivery) -> None:
        await delivery.extend("1m")
        prolonged.append(delivery.id)

    sent = await kv.enqueue("slow")
    listener = kv.listen_queue(handle)
    await until(lambda: prolonged == [sent.id])
    await listener.stop()


class Account(msgspec.Struct):
    name: str


async def test_schedules(kv: AnyKv) -> None:
    name = uuid.uuid4().hex
    task = {"name": name, "payload": {"big": BigInt(2**70), "raw": b"x"}, "maxRetries": 5}
    made = await kv.schedules.put(name, task, cron="@daily", timezone="Europe/Lisbon")
    assert (made.cron, made.every, made.timezone) == ("@daily", None, "Europe/Lisbon")
    assert (made.task, len(made.next), made.fires) == (task, 5, 0)
    assert await kv.schedules.get(name) == made
    assert made in await kv.schedules.list()
    found = await kv.tasks.get(await kv.schedules.run(name))
    assert found is not None
    assert (found.name, found.payload, found.max_retries) == (name, task["payload"], 5)
    changed = await kv.schedules.put(name, {"name": name}, every="10m", missed="all", paused=True)
    assert (changed.every, changed.missed, changed.paused, changed.next) == (
        600_000,
        "all",
        True,
        [],
    )
    for wrong in ({}, {"cron": "@daily", "every": "1m"}, {"cron": "* * *"}, {"every": 1}):
        with pytest.raises(InvalidInput):
            await kv.schedules.put(name, task, **wrong)
    assert [await kv.schedules.delete(name) for _ in range(2)] == [True, False]
    assert await kv.schedules.get(name) is None
    with pytest.raises(NotFound):
        await kv.schedules.run(name)


async def test_commits_and_transactions_keep_the_rules_of_a_store(kv: AnyKv) -> None:
    accounts = kv.store(("acc",), Account, expires_in="1h", metadata={"app": "web"})
    with pytest.raises(InvalidValue, match="is no Account"):
        kv.atomic().set(accounts.key(1), {"name": 1})
    with pytest.raises(InvalidValue, match="is no Account"):
        async with kv.begin() as tx:
            tx.set(accounts.key(1), Account(1))  # type: ignore[arg-type]
    await kv.atomic().set(accounts.key(1), Account("Ada")).commit()
    async with kv.begin() as tx:
        tx.set(accounts.with_prefix("in").key(2), Account("Grace"))
        tx.sum(kv.store(("n",), int, expires_in="1h", metadata=5).key("hits"), 1)
    written: dict[Any, Any] = {
        ("acc", 1): {"app": "web"},
        ("acc", "in", 2): {"app": "web"},
        ("n", "hits"): 5,
    }
    for key, metadata in written.items():
        details = (await kv.get_with_metadata(key)).details
        assert details is not None, key
        assert details.metadata == metadata
        assert details.expires_at == details.updated_at + 3_600_000
    own = kv.atomic().set(accounts.key(3), Account("Own"), expires_in="2h", metadata="mine")
    await own.commit()
    details = (await accounts.get_with_metadata(3)).details
    assert details is not None
    assert (details.metadata, details.expires_at) == ("mine", details.updated_at + 7_200_000)


async def test_stores_take_part_in_everything(kv: AnyKv) -> None:
    accounts = kv.store(("acc",), Account, on_invalid="skip")
    await accounts.create_index(fields=["name"])
    counts = kv.store(("counts",), int)
    result = await accounts.atomic().set(1, Account("Ada")).set(2, Account("Grace")).commit()
    assert result.ok
    assert (await kv.atomic().set(counts, "all", 2).set(accounts, 3, Account("Bob")).commit()).ok
    async with kv.begin() as tx:
        entry = await tx.of(counts).get("all")
        assert entry.value is not None
        tx.of(counts).set("all", entry.value + 1)
        tx.set(counts, "more", 1)
    assert [(it.key, it.value) async for it in counts.list(start="all", end="b")] == [(("all",), 3)]
    assert [(hit.key, hit.value) async for hit in accounts.search("grace")] == [
        ((2,), Account("Grace"))
    ]
    await kv.set(["acc", 9], "of an older program")
    assert len(await accounts.get_all()) == 3
    async with accounts.watch(2) as batches:
        assert [(it.key, it.value) for it in await anext(batches)] == [((2,), Account("Grace"))]
        await accounts.delete(2)
        assert [(it.key, it.exists) for it in await anext(batches)] == [((2,), False)]
    with pytest.raises(TypeError, match="write expires_in="):
        await kv.set(["a"], 1, ttl=5000)  # type: ignore[arg-type]


async def test_a_transaction_takes_the_options_of_a_commit(kv: AnyKv) -> None:
    at = 2_000_000_000_000
    async with kv.begin() as tx:
        tx.sum(["sum"], 1, expires_at=at, metadata="s")
        tx.max(["max"], 1, expires_at=at, metadata="s")
        tx.min(["min"], 1, expires_at=at, metadata="s")
        tx.append(["append"], [1], expires_at=at, metadata="s")
        tx.prepend(["prepend"], [1], expires_at=at, metadata="s")
    for name in ("sum", "max", "min", "append", "prepend"):
        details = (await kv.get_with_metadata([name])).details
        assert details is not None, name
        assert (details.metadata, details.expires_at) == ("s", at)

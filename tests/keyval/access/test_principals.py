"""Somebody with a grant, over HTTP and in process: refused before anything is read."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from buntime_host import Answer, DirectRequest, Principal, settled
from buntime_host.access import NOTHING, Permissible, compile_grant
from buntime_host.errors import PermissionDenied
from buntime_keyval import NotFound, TaskConflict, TaskDone, TaskLost
from buntime_keyval.engine import EngineCheck, EngineRange, EngineWrite
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.faces.http.app import KeyValApp
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.requests.permissions import PERMISSIONS
from keyval.service.world import World, until
from support.waiting import PATIENCE

PERMISSIBLE = Permissible({"keyval": PERMISSIONS})
A = encode_key(("a",))
OF_NOBODY = {"now", "uuidv7", "atomic", "begin", "attempts", "transaction", "store",
             "records", "queue", "runner", "as_principal", "get_logger"}  # fmt: skip
"""What touches nothing by itself: its calls do."""
ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "get": ((["a"],), {}),
    "get_with_metadata": ((["a"],), {}),
    "has": ((["a"],), {}),
    "set": ((["a"], 1), {}),
    "patch": ((["a"], {"b": 1}), {}),
    "delete": ((["a"],), {}),
    "incr": ((["a"],), {}),
    "touch": ((["a"],), {"expires_in": "1h"}),
    "persist": ((["a"],), {}),
    "set_many": (([(["a"], 1)],), {}),
    "get_and_delete": ((["a"],), {}),
    "get_or_set": ((["a"], print), {}),
    "search": ((["a"], "x"), {}),
    "paginate_search": ((["a"], "x"), {}),
    "create_index": ((["a"],), {"fields": ["t"]}),
    "remove_index": ((["a"],), {}),
    "enqueue": ((1,), {}),
    "ack_message": (("x",), {}),
    "nack_message": (("x",), {}),
    "release_message": (("x",), {"lease": "y"}),
    "extend_message": (("x",), {}),
    "lock": (("a",), {}),
    "consumer": (("a",), {}),
    "watch": ((["a"],), {}),
    "add_trigger": ((), {"handler": print}),
}
LOCKS: dict[str, tuple[Any, ...]] = {"list": (), "get": ("a",), "renew": ("a", "w", "t")}
CONSUMERS: dict[str, tuple[Any, ...]] = {
    "list": (),
    "fetch": ("a", "w"),
    "release": ("a", "w"),
    "set_position": ("a", 1),
    "commit": ("a", "t", 1),
    "nack": ("a", "t", 1),
}
TASKS: dict[str, tuple[Any, ...]] = {
    "list": (),
    "stats": (),
    **dict.fromkeys(("complete", "heartbeat", "release"), ("a", "t")),
    "complete_many": ([TaskDone("a", "t")],),
    "fail": ("a", "t", "no"),
}
LETTERS: dict[str, tuple[Any, ...]] = {"list": (), "purge": ()}


def someone(*scopes: str) -> Principal:
    return Principal("k1", "somebody", compile_grant(scopes, PERMISSIBLE))


async def outcome(result: Any) -> Any:
    """What comes of a call, whatever kind it is."""
    if isinstance(result, AsyncIterator):
        return [item async for item in result]
    return await result if isinstance(result, Awaitable) else result


def public(kind: object) -> list[str]:
    return [
        name for name, _ in inspect.getmembers(kind, inspect.ismethod) if not name.startswith("_")
    ]


async def test_every_method_asks_before_it_does_anything(kv: LocalKv) -> None:
    nobody = kv.as_principal(NOTHING)
    for name in sorted({*public(nobody)} - OF_NOBODY):
        args, options = ARGUMENTS.get(name, ((), {}))
        with pytest.raises(PermissionDenied, match="keyval:"):
            await outcome(getattr(nobody, name)(*args, **options))
    for name in {*public(nobody.dlq)} - {"of"}:  # which names a queue, and asks nothing
        with pytest.raises(PermissionDenied, match="keyval:queue:admin"):
            await getattr(nobody.dlq, name)(*LETTERS.get(name, ("x",)))
    for name in public(nobody.queues):
        with pytest.raises(PermissionDenied, match="keyval:queue:admin"):
            await getattr(nobody.queues, name)()
    for name in public(nobody.locks):
        with pytest.raises(PermissionDenied, match=r"keyval:(lock|admin)"):
            await getattr(nobody.locks, name)(*LOCKS.get(name, ("a", "w")))
    for name in public(nobody.consumers):
        with pytest.raises(PermissionDenied, match="keyval:consume"):
            await getattr(nobody.consumers, name)(*CONSUMERS.get(name, ("a",)))
    for name in public(nobody.tasks):
        with pytest.raises(PermissionDenied, match="keyval:task:"):
            await getattr(nobody.tasks, name)(*TASKS.get(name, ("a",)))
    for name in public(nobody.stream):
        with pytest.raises(PermissionDenied, match="keyval:"):
            await outcome(getattr(nobody.stream, name)(*((1,) if name == "trim" else ())))
    for report in (nobody.metrics, nobody.metrics.to_prometheus, nobody.metrics.reset,
                   nobody.metrics.flush):  # fmt: skip
        with pytest.raises(PermissionDenied, match="keyval:"):
            await report()


async def test_who_may_some_names_knows_no_other_tasks(kv: LocalKv) -> None:
    mail, report = await kv.tasks.send("mail"), await kv.tasks.send("report")
    (run,) = await kv.tasks.lease("w", ["mail"])
    tasks = kv.as_principal(someone("keyval:task:admin:rep")).tasks
    own = await tasks.get(report)
    assert own is not None
    assert own.id == report.id
    for task_id in (mail.id, "unknown"):
        assert await tasks.get(task_id) is None
        assert not await tasks.delete(task_id)
        for call in (tasks.wait, tasks.cancel, tasks.retry):
            with pytest.raises(NotFound, match=f"There is no task with the id {task_id}"):
                await call(task_id)
        for say in (tasks.heartbeat, tasks.complete, tasks.release):
            with pytest.raises(TaskLost):
                await say(task_id, run.token)
        with pytest.raises(TaskLost):
            await tasks.fail(task_id, run.token, "no")
    with pytest.raises(TaskConflict, match="is in use by a task with another name"):
        await tasks.send("report", id=mail.id)
    (own_run,) = await tasks.lease("w", ["report"])
    await tasks.heartbeat(own_run.id, own_run.token)
    await tasks.complete(own_run.id, own_run.token)
    assert (await tasks.wait(report)).status == "completed"
    assert await tasks.delete(report)
    await kv.tasks.complete(run.id, run.token)


async def test_the_same_over_http(world: World) -> None:
    app = KeyValApp()
    app.service = world.service
    mail, report = await world.kv.tasks.send("mail"), await world.kv.tasks.send("report")
    sender, runner = someone("keyval:task:send:rep"), someone("keyval:task:run:rep")

    async def status(
        principal: Principal, task_id: str, verb: str = "", body: bytes = b""
    ) -> tuple[int, str]:
        path = f"/api/tasks/{task_id}{verb}".encode()
        method = "POST" if body else "GET"
        request = DirectRequest(method, path, b"", [])
        request.body, request.principal = body, principal
        answer = await settled(app.answer(request))
        assert isinstance(answer, Answer)
        body_text = answer.body if isinstance(answer.body, str) else answer.body.decode()
        return answer.status, body_text.replace(task_id, "ID")

    assert (await status(sender, report.id))[0] == 200
    assert await status(sender, mail.id) == await status(sender, "unknown")
    assert (await status(sender, "unknown"))[0] == 404
    told = b'{"token":"t"}'
    foreign = await status(runner, mail.id, "/complete", told)
    assert foreign == await status(runner, "unknown", "/complete", told)
    assert foreign[0] == 409
    with pytest.raises(PermissionDenied, match="keyval:task:send"):
        await status(runner, report.id)


async def test_the_engine_asks_too(kv: LocalKv) -> None:
    engine = kv.as_principal(someone('keyval:read:["b"]', 'keyval:write:["b"]')).engine
    b = encode_key(("b",))
    assert await engine.get([b]) == [None]
    assert await engine.commit([EngineCheck(b, None)], [EngineWrite(b, b"1")]) is not None
    for refused in (
        engine.get([b, A]),
        engine.read(EngineRange(A, b"\xff")),
        engine.commit([EngineCheck(A, None)], [EngineWrite(b, b"2")]),
        engine.commit([], [EngineWrite(b, b"2"), EngineWrite(A, b"2")]),
        anext(engine.follow(await engine.position())),
    ):
        with pytest.raises(PermissionDenied):
            await refused
    assert (await kv.get(["b"])).value == b"1"


async def test_transactions_and_commits_ask_for_all_that_they_touch(kv: LocalKv) -> None:
    own = kv.as_principal(someone('keyval:read:["a"]', 'keyval:write:["a"]'))
    assert (await own.atomic().check(await own.get(["a"])).set(["a"], 1).commit()).ok
    for builder in (
        own.atomic().set(["a"], 2).set(["b"], 1),
        own.atomic().set(["a"], 2).sum([own.uuidv7()], 1),
        own.atomic().set(["a"], 2).enqueue(1),
    ):
        with pytest.raises(PermissionDenied):
            await builder.commit()
    async with own.begin() as tx:
        with pytest.raises(PermissionDenied):
            await tx.get(["b"])
    assert (await kv.get(["a"])).value == 1
    with pytest.raises(PermissionDenied):
        await own.enqueue(1)


async def test_a_grant_is_refused_before_anything_is_read(kv: LocalKv) -> None:
    await kv.set(["b"], "secret")
    own = kv.as_principal(compile_grant(['keyval:read:["a"]'], PERMISSIBLE))
    told = []
    for key in (["b"], ["nothing"]):
        with pytest.raises(PermissionDenied) as error:
            await own.get([["a"], key])
        told.append(str(error.value))
    assert told == [
        'Missing permission: keyval:read:["b"]',
        'Missing permission: keyval:read:["nothing"]',
    ]


async def test_whoever_may_not_read_deletes_without_filters(kv: LocalKv) -> None:
    await kv.set(["a"], 5)
    own = kv.as_principal(someone("keyval:write"))
    matching: Any = {"x": {"$gt": 7}}
    for deletion in (
        own.delete(["a"], exact=True, where=matching),
        own.delete(["a"], where=matching),
        own.delete([], everything=True, where=matching),
    ):
        with pytest.raises(PermissionDenied, match="keyval:read"):
            await deletion
    both = kv.as_principal(someone("keyval:write", "keyval:read"))
    assert (await both.delete(["a"], exact=True, where=matching)).deleted_count == 0
    assert (await own.delete(["a"], exact=True)).deleted_count == 1


async def test_what_follows_ends_with_the_life_of_its_principal(kv: LocalKv) -> None:
    who = someone("keyval:read", "keyval:queue:receive")
    own = kv.as_principal(who)
    watch, listener, other = own.watch(["a"]), own.listen_queue(print), kv.watch(["a"])
    who.life.end()
    await until(lambda: watch.closed and listener.closed)
    assert not other.closed
    await other.stop()


@pytest.mark.parametrize("size", [1, 200_000])
async def test_over_http_nothing_runs_that_is_refused(world: World, size: int) -> None:
    app = KeyValApp()
    app.service = world.service
    request = DirectRequest("PUT", b"/api/keys/b", b"", [])
    request.body = json.dumps("x" * size).encode()
    request.principal = someone('keyval:write:["a"]')
    with pytest.raises(PermissionDenied, match=r'keyval:write:\["b"\]'):
        await settled(app.answer(request))
    assert await world.stored() == 0
    request.principal = someone('keyval:write:["b"]')
    answer = await settled(app.answer(request))
    assert isinstance(answer, Answer)
    assert answer.status == 200
    assert await world.stored() == 1


@pytest.mark.parametrize(
    ("path", "query"),
    [("/watch", b"keys=a"), ("/watch/prefix", b"prefix=a"), ("/queue/listen", b"")],
)
async def test_streams_end_when_their_key_is_revoked(world: World, path: str, query: bytes) -> None:
    app = KeyValApp()
    app.service = world.service
    who = someone('keyval:read:["a"]', "keyval:queue:receive")
    sent: list[Any] = []
    raw = f"/api{path}".encode()
    scope = {
        "type": "http", "method": "GET", "raw_path": raw, "path": raw.decode(), "headers": [],
        "query_string": query, "state": {"principal": who},
    }  # fmt: skip

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    stream = asyncio.create_task(app(scope, receive, send))
    await until(lambda: bool(sent))
    assert not stream.done()
    who.life.end()
    async with asyncio.timeout(PATIENCE):
        await stream
    assert sent[-1] == {"type": "http.response.body", "body": b""}

"""Tasks and their runner, on a server and in this process."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import pytest
from buntime_keyval import (
    AsyncRunner,
    InvalidInput,
    NotFound,
    TaskConflict,
    TaskContext,
    TaskDone,
    TaskLost,
    TransactionConflict,
)
from client._async.beside import until
from support.waiting import PATIENCE


class Mail(msgspec.Struct):
    to: str
    size: int = 0


async def test_a_task_from_its_beginning_to_its_end(kv: Any) -> None:
    tasks = kv.tasks
    sent = await tasks.send("first", {"to": b"x"}, unique="u", priority=3, max_retries=1)
    assert (sent.status, sent.payload, sent.priority) == ("pending", {"to": b"x"}, 3)
    assert (await tasks.send("first", unique="u")).id == sent.id
    (leased,) = await tasks.lease("w1", ["first"], wait="1s")
    assert (leased.id, leased.payload, leased.attempts) == (sent.id, {"to": b"x"}, 1)
    heard = await tasks.heartbeat(leased.id, leased.token, progress={"value": 0.5})
    assert not heard.cancelled
    found = await tasks.get(sent)
    assert (found.status, found.locked_by, found.progress) == ("running", "w1", {"value": 0.5})
    await tasks.complete(leased.id, leased.token, {"sent": 1})
    found = await tasks.wait(sent, "10s")
    assert (found.status, found.result) == ("completed", {"sent": 1})
    assert [it.id for it in (await tasks.list(name="first", status="completed")).tasks] == [sent.id]
    assert await tasks.stats("first") == {"first": {"completed": 1}}
    with pytest.raises(TaskLost):
        await tasks.fail(leased.id, leased.token, "late")
    with pytest.raises(TaskConflict):
        await tasks.retry(sent)
    assert await tasks.delete(sent)
    assert await tasks.get(sent.id) is None
    with pytest.raises(NotFound):
        await tasks.wait(sent.id)


async def test_several_are_done_at_once(kv: Any) -> None:
    sent = [await kv.tasks.send("several", number) for number in range(3)]
    leased = await kv.tasks.lease("w", ["several"], limit=2)
    done = [TaskDone(it.id, it.token, {"of": it.payload, "raw": b"x"}) for it in leased]
    heard = await kv.tasks.complete_many([*done, TaskDone(sent[2].id, "another")])
    assert [(it.cancelled, it.lost) for it in heard] == [
        *((False, False), (False, False), (False, True))
    ]
    results = [(await kv.tasks.get(task)).result for task in sent]
    assert results == [{"of": 0, "raw": b"x"}, {"of": 1, "raw": b"x"}, None]
    with pytest.raises(InvalidInput):
        await kv.tasks.complete_many([])
    for wrong in ("id", [("id", "token", None)], TaskDone("id", "token"), None, 1):
        with pytest.raises(InvalidInput, match="takes a list of TaskDone, received"):
            await kv.tasks.complete_many(wrong)


async def test_what_is_wrong_is_refused_before_it_is_sent(kv: Any) -> None:
    for wrong in (
        {"delay": 1, "scheduled_for": 4e12},
        {"timeout": 0},
        {"max_retries": -1},
        {"after": "one"},
        {"id": "a/b"},
        {"priority": 11},
    ):
        with pytest.raises(InvalidInput):
            await kv.tasks.send("wrong", **wrong)
    with pytest.raises(InvalidInput):
        await kv.tasks.send("")
    with pytest.raises(InvalidInput):
        await kv.tasks.lease("w", limit=0)
    with pytest.raises(InvalidInput):
        await kv.tasks.lease("w", duration="1ms")


async def test_a_task_in_a_commit(kv: Any) -> None:
    refused = await kv.atomic().check((("none",), "x")).task("commit", 1).commit()
    assert not refused.ok
    assert (await kv.atomic().set(("a",), 1).task("commit", 2, id="in-commit").commit()).ok
    (leased,) = await kv.tasks.lease("w1", ["commit"], limit=5)
    assert (leased.id, leased.payload) == ("in-commit", 2)
    await kv.tasks.release(leased.id, leased.token)
    assert (await kv.tasks.cancel(leased.id)).status == "cancelled"
    assert (await kv.tasks.retry(leased.id)).status == "pending"


async def test_a_task_in_a_transaction(kv: Any) -> None:
    async with kv.begin() as tx:
        seen = (await tx.get(("counted",))).value or 0
        tx.set(("counted",), seen + 1).task("transaction", seen, id="in-transaction")
    (leased,) = await kv.tasks.lease("w1", ["transaction"], limit=5)
    assert (leased.id, leased.payload) == ("in-transaction", 0)
    with pytest.raises(TransactionConflict):
        async with kv.begin() as tx:
            tx.check((("counted",), None)).task("transaction", 1, id="never")
    assert [task.id for task in (await kv.tasks.list(name="transaction")).tasks] == [
        "in-transaction"
    ]


async def test_limits_are_told_as_they_were_given(kv: Any) -> None:
    await kv.tasks.set_limits("limited", max_running=2, rate=(5, "1m"))
    limits = await kv.tasks.limits("limited")
    assert (limits.max_running, limits.rate.count, limits.rate.per) == (2, 5, 60_000)
    await kv.tasks.set_limits("limited")


async def test_a_runner_runs_tasks_with_typed_payloads(kv: Any) -> None:
    runner: AsyncRunner = kv.runner(concurrency=2, name="r1")
    errors: list[Exception] = []
    runner._on_error = errors.append

    @runner.task("mail")
    def send(mail: Mail, context: TaskContext) -> dict[str, Any]:
        context.progress(0.5, "half")
        return {"to": mail.to, "attempts": context.attempts}

    @runner.task("broken")
    def broken(payload: Any) -> None:
        raise ValueError(f"no {payload}")

    sent = await kv.tasks.send("mail", Mail("ada"))
    wrong = await kv.tasks.send("mail", {"to": 7})
    failing = await kv.tasks.send("broken", "way", max_retries=1)
    async with runner:
        done = await kv.tasks.wait(sent, "20s")
        assert (done.status, done.result) == ("completed", {"to": "ada", "attempts": 1})
        refused = await kv.tasks.wait(wrong, "20s")
        assert (refused.status, refused.attempts) == ("failed", 1)
        assert "The payload is not of type Mail" in refused.last_error
        failed = await kv.tasks.wait(failing, "20s")
        assert (failed.status, failed.last_error) == ("failed", "ValueError: no way")
        later = await kv.tasks.send("mail", Mail("bob"))  # wakes the runner
        assert (await kv.tasks.wait(later, "20s")).status == "completed"
    assert runner.closed
    assert [str(error) for error in errors] == ["no way"]


async def test_a_runner_without_functions_is_refused(kv: Any) -> None:
    runner: AsyncRunner = kv.runner()
    with pytest.raises(InvalidInput, match="no functions"):
        await runner.start()
    with pytest.raises(InvalidInput, match="must take the payload"):
        runner.add("nothing", lambda: None)
    runner.add("one", lambda payload: None)
    with pytest.raises(InvalidInput, match="already"):
        runner.add("one", lambda payload: None)


async def test_a_stop_lets_what_runs_come_to_its_end(kv: Any) -> None:
    began, may_end = threading.Event(), threading.Event()
    runner: AsyncRunner = kv.runner(concurrency=1)

    @runner.task("long")
    def run(payload: Any) -> str:
        began.set()
        may_end.wait(20)
        return "done"

    first, second = await kv.tasks.send("long"), await kv.tasks.send("long")
    await runner.start()

    async def has_begun() -> bool:
        return began.is_set()

    await until(has_begun)
    threading.Timer(0.1, may_end.set).start()
    await runner.stop()
    assert (await kv.tasks.get(first)).status == "completed"
    assert (await kv.tasks.get(second)).status == "pending"
    await kv.tasks.delete(second)


async def test_a_function_hears_that_its_task_was_cancelled(kv: Any) -> None:
    runner: AsyncRunner = kv.runner(lease="1s")
    seen: list[bool] = []

    @runner.task("cancelled")
    def run(payload: Any, context: TaskContext) -> None:
        deadline = time.monotonic() + PATIENCE
        while not context.cancelled and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(context.cancelled)

    sent = await kv.tasks.send("cancelled")
    async with runner:

        async def is_running() -> bool:
            return str((await kv.tasks.get(sent)).status) == "running"

        await until(is_running)
        await kv.tasks.cancel(sent)

        async def has_heard() -> bool:
            return seen == [True]

        await until(has_heard)
    assert (await kv.tasks.get(sent)).status == "cancelled"

# Made by scripts/unasync from _async/test_tasks.py: change that one.
"""Tasks and their runner, on a server and in this process."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import pytest
from buntime_keyval import (
    InvalidInput,
    NotFound,
    Runner,
    TaskConflict,
    TaskContext,
    TaskDone,
    TaskLost,
    TransactionConflict,
)
from client._sync.beside import until
from support.waiting import PATIENCE


class Mail(msgspec.Struct):
    to: str
    size: int = 0


def test_a_task_from_its_beginning_to_its_end(kv: Any) -> None:
    tasks = kv.tasks
    sent = tasks.send("first", {"to": b"x"}, unique="u", priority=3, max_retries=1)
    assert (sent.status, sent.payload, sent.priority) == ("pending", {"to": b"x"}, 3)
    assert (tasks.send("first", unique="u")).id == sent.id
    (leased,) = tasks.lease("w1", ["first"], wait="1s")
    assert (leased.id, leased.payload, leased.attempts) == (sent.id, {"to": b"x"}, 1)
    heard = tasks.heartbeat(leased.id, leased.token, progress={"value": 0.5})
    assert not heard.cancelled
    found = tasks.get(sent)
    assert (found.status, found.locked_by, found.progress) == ("running", "w1", {"value": 0.5})
    tasks.complete(leased.id, leased.token, {"sent": 1})
    found = tasks.wait(sent, "10s")
    assert (found.status, found.result) == ("completed", {"sent": 1})
    assert [it.id for it in (tasks.list(name="first", status="completed")).tasks] == [sent.id]
    assert tasks.stats("first") == {"first": {"completed": 1}}
    with pytest.raises(TaskLost):
        tasks.fail(leased.id, leased.token, "late")
    with pytest.raises(TaskConflict):
        tasks.retry(sent)
    assert tasks.delete(sent)
    assert tasks.get(sent.id) is None
    with pytest.raises(NotFound):
        tasks.wait(sent.id)


def test_several_are_done_at_once(kv: Any) -> None:
    sent = [kv.tasks.send("several", number) for number in range(3)]
    leased = kv.tasks.lease("w", ["several"], limit=2)
    done = [TaskDone(it.id, it.token, {"of": it.payload, "raw": b"x"}) for it in leased]
    heard = kv.tasks.complete_many([*done, TaskDone(sent[2].id, "another")])
    assert [(it.cancelled, it.lost) for it in heard] == [
        *((False, False), (False, False), (False, True))
    ]
    results = [(kv.tasks.get(task)).result for task in sent]
    assert results == [{"of": 0, "raw": b"x"}, {"of": 1, "raw": b"x"}, None]
    with pytest.raises(InvalidInput):
        kv.tasks.complete_many([])
    for wrong in ("id", [("id", "token", None)], TaskDone("id", "token"), None, 1):
        with pytest.raises(InvalidInput, match="takes a list of TaskDone, received"):
            kv.tasks.complete_many(wrong)


def test_what_is_wrong_is_refused_before_it_is_sent(kv: Any) -> None:
    for wrong in (
        {"delay": 1, "scheduled_for": 4e12},
        {"timeout": 0},
        {"max_retries": -1},
        {"after": "one"},
        {"id": "a/b"},
        {"priority": 11},
    ):
        with pytest.raises(InvalidInput):
            kv.tasks.send("wrong", **wrong)
    with pytest.raises(InvalidInput):
        kv.tasks.send("")
    with pytest.raises(InvalidInput):
        kv.tasks.lease("w", limit=0)
    with pytest.raises(InvalidInput):
        kv.tasks.lease("w", duration="1ms")


def test_a_task_in_a_commit(kv: Any) -> None:
    refused = kv.atomic().check((("none",), "x")).task("commit", 1).commit()
    assert not refused.ok
    assert (kv.atomic().set(("a",), 1).task("commit", 2, id="in-commit").commit()).ok
    (leased,) = kv.tasks.lease("w1", ["commit"], limit=5)
    assert (leased.id, leased.payload) == ("in-commit", 2)
    kv.tasks.release(leased.id, leased.token)
    assert (kv.tasks.cancel(leased.id)).status == "cancelled"
    assert (kv.tasks.retry(leased.id)).status == "pending"


def test_a_task_in_a_transaction(kv: Any) -> None:
    with kv.begin() as tx:
        seen = (tx.get(("counted",))).value or 0
        tx.set(("counted",), seen + 1).task("transaction", seen, id="in-transaction")
    (leased,) = kv.tasks.lease("w1", ["transaction"], limit=5)
    assert (leased.id, leased.payload) == ("in-transaction", 0)
    with pytest.raises(TransactionConflict):
        with kv.begin() as tx:
            tx.check((("counted",), None)).task("transaction", 1, id="never")
    assert [task.id for task in (kv.tasks.list(name="transaction")).tasks] == ["in-transaction"]


def test_limits_are_told_as_they_were_given(kv: Any) -> None:
    kv.tasks.set_limits("limited", max_running=2, rate=(5, "1m"))
    limits = kv.tasks.limits("limited")
    assert (limits.max_running, limits.rate.count, limits.rate.per) == (2, 5, 60_000)
    kv.tasks.set_limits("limited")


def test_a_runner_runs_tasks_with_typed_payloads(kv: Any) -> None:
    runner: Runner = kv.runner(concurrency=2, name="r1")
    errors: list[Exception] = []
    runner._on_error = errors.append

    @runner.task("mail")
    def send(mail: Mail, context: TaskContext) -> dict[str, Any]:
        context.progress(0.5, "half")
        return {"to": mail.to, "attempts": context.attempts}

    @runner.task("broken")
    def broken(payload: Any) -> None:
        raise ValueError(f"no {payload}")

    sent = kv.tasks.send("mail", Mail("ada"))
    wrong = kv.tasks.send("mail", {"to": 7})
    failing = kv.tasks.send("broken", "way", max_retries=1)
    with runner:
        done = kv.tasks.wait(sent, "20s")
        assert (done.status, done.result) == ("completed", {"to": "ada", "attempts": 1})
        refused = kv.tasks.wait(wrong, "20s")
        assert (refused.status, refused.attempts) == ("failed", 1)
        assert "The payload is not of type Mail" in refused.last_error
        failed = kv.tasks.wait(failing, "20s")
        assert (failed.status, failed.last_error) == ("failed", "ValueError: no way")
        later = kv.tasks.send("mail", Mail("bob"))  # wakes the runner
        assert (kv.tasks.wait(later, "20s")).status == "completed"
    assert runner.closed
    assert [str(error) for error in errors] == ["no way"]


def test_a_runner_without_functions_is_refused(kv: Any) -> None:
    runner: Runner = kv.runner()
    with pytest.raises(InvalidInput, match="no functions"):
        runner.start()
    with pytest.raises(InvalidInput, match="must take the payload"):
        runner.add("nothing", lambda: None)
    runner.add("one", lambda payload: None)
    with pytest.raises(InvalidInput, match="already"):
        runner.add("one", lambda payload: None)


def test_a_stop_lets_what_runs_come_to_its_end(kv: Any) -> None:
    began, may_end = threading.Event(), threading.Event()
    runner: Runner = kv.runner(concurrency=1)

    @runner.task("long")
    def run(payload: Any) -> str:
        began.set()
        may_end.wait(20)
        return "done"

    first, second = kv.tasks.send("long"), kv.tasks.send("long")
    runner.start()

    def has_begun() -> bool:
        return began.is_set()

    until(has_begun)
    threading.Timer(0.1, may_end.set).start()
    runner.stop()
    assert (kv.tasks.get(first)).status == "completed"
    assert (kv.tasks.get(second)).status == "pending"
    kv.tasks.delete(second)


def test_a_function_hears_that_its_task_was_cancelled(kv: Any) -> None:
    runner: Runner = kv.runner(lease="1s")
    seen: list[bool] = []

    @runner.task("cancelled")
    def run(payload: Any, context: TaskContext) -> None:
        deadline = time.monotonic() + PATIENCE
        while not context.cancelled and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(context.cancelled)

    sent = kv.tasks.send("cancelled")
    with runner:

        def is_running() -> bool:
            return str((kv.tasks.get(sent)).status) == "running"

        until(is_running)
        kv.tasks.cancel(sent)

        def has_heard() -> bool:
            return seen == [True]

        until(has_heard)
    assert (kv.tasks.get(sent)).status == "cancelled"

"""Tasks over HTTP: statuses and bodies, streams, and tasks among the mutations of a commit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from support.api import Api
from support.waiting import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.ways("direct", "asgi")]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of tasks of this test alone."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def send(api: Api, name: str, **members: Any) -> dict[str, Any]:
    answer = api.send("POST", "/tasks", {"name": name, **members})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lease(api: Api, name: str, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.json(
        "POST", "/tasks/lease", {"runner": "w1", "names": [name], **members}
    )["tasks"]
    return found


def test_a_task_from_its_beginning_to_its_end(shared_api: Api, name: str) -> None:
    sent = send(shared_api, name, payload={"to": ["a"]}, unique="x", timeout="1m")
    assert (
        sent.items()
        >= {
            "name": name,
            "status": "pending",
            "payload": {"to": ["a"]},
            "attempts": 0,
            "maxRetries": 3,
            "timeout": 60_000,
            "after": [],
            "result": None,
        }.items()
    )
    again = shared_api.send("POST", "/tasks", {"name": name, "unique": "x"})
    assert (again.status_code, again.json()["id"]) == (200, sent["id"])
    (run,) = lease(shared_api, name)
    assert run.items() >= {"id": sent["id"], "payload": {"to": ["a"]}, "attempts": 1}.items()
    place = f"/tasks/{sent['id']}"
    token = {"token": run["token"]}
    heard = shared_api.json("POST", f"{place}/heartbeat", {**token, "progress": {"value": 0.5}})
    assert heard["cancelled"] is False
    found = shared_api.json("GET", place)
    assert (found["status"], found["lockedBy"], found["progress"]) == (
        "running",
        "w1",
        {"value": 0.5},
    )
    shared_api.json("POST", f"{place}/complete", {**token, "result": [1]})
    found = shared_api.json("GET", f"{place}/wait", query={"timeout": "1m"})
    assert (found["status"], found["result"], found["lockedBy"]) == ("completed", [1], None)
    listed = shared_api.json("GET", "/tasks", query={"name": name, "status": "completed"})
    assert listed == {"tasks": [found], "cursor": None}
    assert shared_api.json("GET", "/tasks/stats", query={"name": name})["tasks"] == {
        name: {"completed": 1}
    }
    assert shared_api.json("DELETE", place) == {"deleted": True}
    assert shared_api.send("GET", place).status_code == 404


def test_several_are_done_at_once(shared_api: Api, name: str) -> None:
    sent = [send(shared_api, name, payload=number)["id"] for number in range(3)]
    runs = lease(shared_api, name, limit=2)
    done = [{"id": it["id"], "token": it["token"], "result": [it["payload"]]} for it in runs]
    done.append({"id": sent[2], "token": "another"})
    told = shared_api.json("POST", "/tasks/complete", {"tasks": done})
    assert told == {
        "tasks": [{"cancelled": False}, {"cancelled": False}, {"cancelled": False, "lost": True}]
    }
    found = [shared_api.json("GET", f"/tasks/{it}") for it in sent]
    assert [(it["status"], it["result"]) for it in found] == [
        *(("completed", [0]), ("completed", [1]), ("pending", None))
    ]
    for wrong, told in (
        ([], "1 to 1000"),
        ([1], "tasks[0] must be an object"),
        ([done[0], {"id": "a"}], "tasks[1].token"),
        ([{**done[0], "results": 1}], "tasks[0]"),
    ):
        assert told in shared_api.error("POST", "/tasks/complete", {"tasks": wrong})
    long = [{**done[0], "result": "x" * 300_000}, {**done[1], "result": ["y" * 300_000]}]
    told = shared_api.json("POST", "/tasks/complete", {"tasks": long})
    assert [it["cancelled"] for it in told["tasks"]] == [False, False]  # they were done before


def test_what_cannot_be_is_said(shared_api: Api, name: str) -> None:
    sent = send(shared_api, name)
    lost = shared_api.send("POST", f"/tasks/{sent['id']}/complete", {"token": "another"})
    assert (lost.status_code, lost.json()["code"]) == (409, "TASK_LOST")
    again = shared_api.send("POST", f"/tasks/{sent['id']}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "TASK_CONFLICT")
    unknown = shared_api.send("POST", "/tasks", {"name": name, "after": ["none"]}).json()
    assert (unknown["status"], "is not there" in unknown["lastError"]) == ("failed", True)
    both = shared_api.error("POST", "/tasks", {"name": name, "delay": 1, "scheduledFor": 1})
    assert both == "delay and scheduledFor exclude each other"
    assert "maxRetries" in shared_api.error("POST", "/tasks", {"name": name, "maxRetry": 1})
    assert "at most 60000" in shared_api.error(
        "POST", "/tasks/lease", {"runner": "w", "wait": "2m"}
    )


def test_a_task_in_a_commit(shared_api: Api, name: str) -> None:
    task = {"type": "task", "name": name, "payload": 7, "id": f"{name}-1"}
    check = {"key": ["none"], "versionstamp": "x"}
    refused = shared_api.json("POST", "/atomic", {"checks": [check], "mutations": [task]})
    assert refused == {"ok": False}
    assert lease(shared_api, name) == []
    entry = {"type": "set", "key": [name], "value": 1}
    assert shared_api.json("POST", "/atomic", {"mutations": [entry, task]})["ok"]
    (run,) = lease(shared_api, name)
    assert (run["id"], run["payload"]) == (f"{name}-1", 7)
    wrong = {"mutations": [{"type": "task", "name": name, "delay": "soon"}]}
    assert "mutations[0].delay must be" in shared_api.error("POST", "/atomic", wrong)
    unknown: dict[str, Any] = {"mutations": [{"type": "task", "name": name, "retries": 1}]}
    assert "'retries' in mutations[0]" in shared_api.error("POST", "/atomic", unknown)
    wrong = {"mutations": [{"type": "task"}]}
    assert shared_api.error("POST", "/atomic", wrong).startswith("mutations[0].name ")


def test_pages_of_tasks(shared_api: Api, name: str) -> None:
    sent = [send(shared_api, name)["id"] for _ in range(3)]
    query = {"name": name, "limit": "2"}
    first = shared_api.json("GET", "/tasks", query=query)
    second = shared_api.json("GET", "/tasks", query={**query, "cursor": first["cursor"]})
    found = [task["id"] for page in (first, second) for task in page["tasks"]]
    assert (found, second["cursor"]) == (sent[::-1], None)
    beyond = shared_api.error("GET", "/tasks", query={"limit": "1001"})
    assert beyond == 'limit must be a number from 1 to 1000, received string: "1001"'


def test_limits_are_told_as_they_were_given(shared_api: Api, name: str) -> None:
    place = f"/tasks/limits/{name}"
    shared_api.json("PUT", place, {"maxRunning": 1, "rate": {"count": 5, "per": "1m"}})
    assert shared_api.json("GET", place) == {
        "maxRunning": 1,
        "rate": {"count": 5, "per": 60_000},
    }
    for _ in range(2):
        send(shared_api, name)
    assert len(lease(shared_api, name, limit=5)) == 1
    shared_api.json("PUT", place, {})
    assert len(lease(shared_api, name, limit=5)) == 1


def test_a_runner_waits_for_work(shared_api: Api, name: str) -> None:
    sender = threading.Timer(0.1, send, (shared_api, name))
    sender.start()
    (run,) = lease(shared_api, name, wait="1m")
    assert run["name"] == name
    sender.join()


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The tasks of a stream."""
    is_task = False
    for line in lines:
        if line.startswith("event:"):
            is_task = line == "event: task"
        elif line.startswith("data:") and is_task:
            yield json.loads(line[5:])


def test_a_stream_gives_as_many_as_may_be_open(shared_api: Api, name: str) -> None:
    sent = [send(shared_api, name)["id"] for _ in range(2)]
    place, asked = f"{shared_api.base}/tasks/listen", {"runner": "w", "names": name}
    with httpx2.stream("GET", place, params=asked, timeout=PATIENCE) as stream:
        runs = events(stream.iter_lines())
        first = next(runs)
        assert first["id"] == sent[0]
        assert lease(shared_api, name, limit=1)[0]["id"] == sent[1]
        third = send(shared_api, name)["id"]
        place, token = f"/tasks/{first['id']}", {"token": first["token"]}
        shared_api.json("POST", f"{place}/complete", token)
        assert next(runs)["id"] == third

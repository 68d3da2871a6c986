"""`Idempotency-Key` on every route that changes something."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from buntime_plugin_keyval.faces.http.routes import KEY, StoreRoutes
from buntime_plugin_keyval.service import FEATURES
from support.api import Api, api_of
from support.live import LiveServer, live_server
from support.workers import api_of_worker

pytestmark = [pytest.mark.slow, pytest.mark.ways("direct", "asgi")]

_NUMBERS = itertools.count()


class Case(NamedTuple):
    """A request that changes something; the second time it would answer or do something else."""

    method: str
    path: str
    body: Any
    status: int = 200


CASES = [
    Case("PUT", "/keys/a", 1),
    Case("DELETE", "/keys/gone", {"exact": True}),
    Case("DELETE", "/keys?prefix=below", {}),
    Case("POST", "/keys/delete-batch", {"keys": [["gone"], ["none"]]}),
    Case("POST", "/vacuum", {"limit": 5}),
    Case("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["n"], "value": 1}]}),
    Case("POST", "/atomic", {"mutations": [
        {"type": "set", "key": ["u", {"$uuidv7": True}], "value": 1},
        {"type": "delete", "key": ["gone"]},
        {"type": "enqueue", "value": 1},
    ]}),
    Case("POST", "/atomic", {"checks": [{"key": ["gone"], "versionstamp": None}]}),
    Case("POST", "/transaction", {
        "reads": [["gone"], ["n"]], "mutations": [{"type": "sum", "key": ["n"], "value": 1}],
    }),
    Case("POST", "/transaction", {
        "checks": [{"key": ["gone"], "versionstamp": None}],
        "mutations": [{"type": "set", "key": ["t"], "value": 1}],
    }),
    Case("POST", "/queue/enqueue", {"value": "m"}),
    Case("POST", "/queue/ack", {"id": "ID", "lease": "LEASE"}),
    Case("POST", "/queue/ack/ID", {"lease": "LEASE"}),
    Case("POST", "/queue/nack", {"id": "ID", "lease": "LEASE"}),
    Case("POST", "/queue/nack/ID", {"lease": "LEASE", "attempted": False}),
    Case("POST", "/queue/extend", {"id": "ID", "lease": "LEASE"}),
    Case("POST", "/queue/extend/ID", {"lease": "LEASE"}),
    Case("POST", "/queue/ack", {"id": "ID", "lease": "another"}, 409),
    Case("POST", "/queue/dlq/DEAD/requeue", None),
    Case("POST", "/queue/dlq/unknown/requeue", None, 404),
    Case("DELETE", "/queue/dlq/DEAD", None),
    Case("DELETE", "/queue/dlq", None),
    Case("POST", "/queue/nack/ID", {"lease": "LEASE", "queue": "", "attempted": False}),
    Case("POST", "/queue/extend", {"id": "ID", "lease": "LEASE", "queue": ""}),
    Case("POST", "/queue/dlq/DEAD/requeue?queue=", None),
    Case("DELETE", "/queue/dlq/DEAD?queue=", None),
    Case("DELETE", "/queue/dlq?queue=work", None),
    Case("POST", "/queue/pause", {"queue": "work"}),
    Case("POST", "/queue/resume", {"queue": "work"}),
    Case("PUT", "/queue/options", {"queue": "work", "maxRunning": 1}),
    Case("PUT", "/queue/options", {"queue": "work"}),
    Case("POST", "/queue/enqueue", {"value": "m", "options": {"queue": "work", "id": "one"}}),
    Case("DELETE", "/queue/messages?queue=work", None),
    Case("POST", "/indexes", {"prefix": ["i"], "options": {"fields": ["x"]}}),
    Case("DELETE", "/indexes?prefix=i", None),
    Case("POST", "/keys/set-batch", {"sets": [
        {"key": ["s"], "value": 1},
        {"key": ["s"], "value": {"at": {"$now": True}}},
        {"key": [], "value": 1},
    ]}),
    Case("PATCH", "/keys/a", {"b": 2}),
    Case("POST", "/keys/touch", {"keys": [["gone"], ["none"]], "expiresIn": "1h"}),
    Case("POST", "/keys/persist", {"keys": [["gone"], ["none"]]}),
    Case("POST", "/transaction", {
        "reads": [["n"]],
        "mutations": [{"type": "sum", "key": ["n"], "value": 1}],
        "results": True,
    }),
    Case("POST", "/stream/trim", {"upTo": 1}),
    Case("PUT", "/consumers/ID/position", {"seq": "NEXT"}),
    Case("DELETE", "/consumers/ID", None),
    Case("POST", "/consumers/ID/dead", {"seq": 1}),
    Case("DELETE", "/consumers/ID/dead", None),
    Case("POST", "/consumers/ID/release", {"owner": "w"}),
    Case("POST", "/consumers/ID/commit", {"token": "TOKEN", "upTo": "NEXT"}),
    Case("POST", "/consumers/ID/nack", {"token": "TOKEN", "seq": "NEXT"}),
    Case("POST", "/tasks", {"name": "work"}, 201),
    Case("POST", "/tasks/TASK/cancel", None),
    Case("POST", "/tasks/OVER/retry", None),
    Case("POST", "/tasks/RUN/release", {"token": "HELD"}),
    Case("POST", "/tasks/RUN/complete", {"token": "HELD", "result": 7}),
    Case("POST", "/tasks/complete", {"tasks": [{"id": "RUN", "token": "HELD", "result": 7}]}),
    Case("POST", "/tasks/RUN/fail", {"token": "HELD", "error": "no"}),
    Case("DELETE", "/tasks/TASK", None),
    Case("PUT", "/tasks/limits/work", {"maxRunning": 1}),
    Case("PUT", "/schedules/ID", {"task": {"name": "work"}, "every": "1h"}),
    Case("POST", "/schedules/SCHEDULE/run", None),
    Case("DELETE", "/schedules/SCHEDULE", None),
    Case("POST", "/locks/ID/acquire", {"owner": "w", "duration": "1m"}),
    Case("POST", "/locks/ID/steal", {"owner": "w", "duration": "1m"}),
    Case("POST", "/locks/ID/release", {"owner": "w"}),
]  # fmt: skip


def _key() -> str:
    return f"key-{next(_NUMBERS)}"


def _send(api: Api, case: Case, key: str) -> httpx2.Response:
    headers = {"Idempotency-Key": key}
    if case.body is None:
        return api.send(case.method, case.path, headers=headers)
    return api.send(case.method, case.path, case.body, headers=headers)


def _prepared(api: Api, case: Case) -> Case:
    """With the ids of a message that is leased, and of one that is dead, in it; or with what a
    consumer was given."""
    api.empty_queue()
    for key in ("gone", "gone/1", "below/1"):
        api.put(key, 1)
    text = json.dumps(case.body) if case.body is not None else ""
    if "LEASE" in text or "ID" in text:
        api.json("POST", "/queue/enqueue", {"value": "x"})
        message = api.json("GET", "/queue/poll", query={"lease": "true"})["message"]
        text = text.replace("LEASE", message["lease"]).replace('"ID"', f'"{message["id"]}"')
        case = case._replace(path=case.path.replace("/ID", f"/{message['id']}"))
    if case.path.startswith("/consumers"):
        batch = api.json("POST", "/consumers/ID/fetch", {"owner": "w"})
        text = text.replace("TOKEN", batch["token"])
        text = text.replace('"NEXT"', str(batch["records"][0]["seq"]))
    if "DEAD" in case.path:
        options: dict[str, Any] = {"backoffSchedule": []}
        sent = api.json("POST", "/queue/enqueue", {"value": "x", "options": options})
        while api.json("GET", "/queue/poll")["message"]["id"] != sent["id"]:
            pass
        api.json("POST", "/queue/nack", {"id": sent["id"]})
        letters = api.json("GET", "/queue/dlq")
        (letter,) = [it["id"] for it in letters if it["originalId"] == sent["id"]]
        case = case._replace(path=case.path.replace("DEAD", letter))
    if "SCHEDULE" in case.path:
        wanted = {"task": {"name": "work"}, "every": "1h"}
        name = api.json("PUT", "/schedules/to-repeat", wanted)["name"]
        case = case._replace(path=case.path.replace("SCHEDULE", name))
    if case.path.startswith(("/tasks/TASK", "/tasks/OVER", "/tasks/RUN")):
        _, _, kind, *_ = case.path.split("/")
        task_id = api.send("POST", "/tasks", {"name": f"to-{kind}"}).json()["id"]
        if kind == "OVER":
            api.json("POST", f"/tasks/{task_id}/cancel")
        if kind == "RUN":
            leasing = {"runner": "w", "names": [f"to-{kind}"], "duration": "1h"}
            (run,) = api.json("POST", "/tasks/lease", leasing)["tasks"]
            task_id, text = run["id"], text.replace("HELD", run["token"])
        case = case._replace(path=case.path.replace(kind, task_id))
    if case.path == "/tasks/complete":
        api.send("POST", "/tasks", {"name": "to-complete"})
        leasing = {"runner": "w", "names": ["to-complete"], "duration": "1h"}
        (run,) = api.json("POST", "/tasks/lease", leasing)["tasks"]
        text = text.replace("HELD", run["token"]).replace("RUN", run["id"])
    return case._replace(body=json.loads(text) if text else None)


def _state(api: Api) -> Any:
    entries = api.json("POST", "/keys/list", {"limit": 1000})
    messages = api.json("GET", "/queue/stats"), api.json("GET", "/queue/dlq")
    return entries, messages, api.json("GET", "/tasks/stats")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path}")
def test_the_first_answer_is_told_again(api: Api, case: Case) -> None:
    case = _prepared(api, case)
    key = _key()
    first = _send(api, case, key)
    assert first.status_code == case.status, first.text
    assert "idempotent-replayed" not in first.headers
    state = _state(api)
    again = _send(api, case, key)
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert again.headers["idempotent-replayed"] == "true"
    assert _state(api) == state


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path}")
def test_another_request_under_the_same_key_is_refused(api: Api, case: Case) -> None:
    case = _prepared(api, case)
    key = _key()
    api.send("PUT", "/keys/first", 1, headers={"Idempotency-Key": key})
    state = _state(api)
    refused = _send(api, case, key)
    assert refused.status_code == 422, refused.text
    assert refused.json()["code"] == "KEYVAL_IDEMPOTENCY_KEY_REUSED"
    assert _state(api) == state


def test_conditions_are_a_part_of_the_request(api: Api) -> None:
    api.put("a", 1)
    stamp = api.json("GET", "/keys/a")["versionstamp"]
    headers = {"Idempotency-Key": _key(), "If-Match": f'"{stamp}"'}
    first = api.send("PUT", "/keys/a", 2, headers=headers)
    assert first.status_code == 200
    again = api.send("PUT", "/keys/a", 2, headers=headers)
    assert (again.text, again.headers["idempotent-replayed"]) == (first.text, "true")
    for other in ({"If-Match": '"other"'}, {"If-None-Match": f'"{stamp}"'}, {}):
        key = {"Idempotency-Key": headers["Idempotency-Key"]}
        assert api.send("PUT", "/keys/a", 2, headers={**key, **other}).status_code == 422
    # What was refused kept nothing: it may be done once the condition holds.
    create = {"Idempotency-Key": _key(), "If-None-Match": "*"}
    assert api.send("PUT", "/keys/a", 3, headers=create).status_code == 412
    api.json("DELETE", "/keys/a")
    assert api.send("PUT", "/keys/a", 3, headers=create).status_code == 200


def test_every_route_that_changes_something_is_tested() -> None:
    """POSTs that read are known. What changes something and comes again by itself is a poll,
    a fetch, a lease and a sign of life."""
    reading = {
        "/keys/list", "/keys/count", "/keys/paginate", "/keys/batch", "/search",
        "/search/paginate", "/watch/poll", "/watch/prefix/poll", "/tasks/lease",
        "/tasks/{id}/heartbeat", "/consumers/{id}/fetch",
    }  # fmt: skip
    writing = {
        (method, path.replace("{id}", "ID"))
        for path, methods in StoreRoutes(FEATURES).paths.items()
        for method in methods
        if method != "GET" and path not in reading
    }
    writing |= {(method, "/keys/KEY") for method in KEY if method != "GET"}
    tested = set()
    for case in CASES:
        path = case.path.partition("?")[0]
        for word in ("DEAD", "unknown", "TASK", "OVER", "RUN", "work", "SCHEDULE"):
            path = path.replace(word, "ID")
        if path.startswith("/keys/") and path not in StoreRoutes(FEATURES).paths:
            path = "/keys/KEY"
        tested.add((case.method, path))
    assert tested == writing


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "tab\there", "ä"])
def test_what_is_no_key(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    message = api.error("PUT", "/keys/a", 1, headers=headers)
    assert "1 to 255 visible ASCII characters" in message
    assert api.keys() == []


def test_the_longest_key_and_odd_ones(api: Api) -> None:
    for key in ("x" * 255, "!~", '"quoted"', "a,b", "');DROP/**/TABLE/**/kv_replays;--"):
        for replayed in (None, "true"):
            response = api.send("PUT", "/keys/a", 1, headers={"Idempotency-Key": key})
            assert response.status_code == 200
            assert response.headers.get("idempotent-replayed") == replayed


def test_two_keys_are_none(api: Api) -> None:
    response = api.client.request(
        "PUT", f"{api.base}/keys/a", content="1",
        headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
    )  # fmt: skip
    assert response.status_code == 400
    assert "given once" in response.json()["error"]


def test_reads_ignore_it(api: Api) -> None:
    api.put("a", 1)
    for method, path, body in (
        ("GET", "/keys/a", None),
        ("POST", "/keys/batch", {"keys": [["a"]]}),
        ("GET", "/queue/poll", None),
    ):
        for _ in range(2):
            response = _send(api, Case(method, path, body), "of-reads")
            assert response.status_code == 200
            assert "idempotent-replayed" not in response.headers


def test_what_was_refused_may_be_sent_again_mended(api: Api) -> None:
    headers = {"Idempotency-Key": _key()}
    api.error("POST", "/atomic", {"mutations": [{"type": "what"}]}, headers=headers)
    mutation = {"type": "sum", "key": ["n"], "value": 1}
    assert api.json("POST", "/atomic", {"mutations": [mutation]}, headers=headers)["ok"]


@pytest.fixture(params=[1, 2], ids=["one-process", "two-workers"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveServer]:
    options = {"cleanupInterval": 50, "idempotency": {"maxCount": 2}}
    config = {
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [{"type": "sqlite", "baseDir": "data"}]}],
            ["@buntime/plugin-keyval", options],
        ]
    }
    with live_server(tmp_path, config, workers=request.param) as running:
        yield running


def test_many_at_a_time_with_one_key(own_server: LiveServer) -> None:
    """Each gets the same answer, or is told that the first is under way, and when to come back."""
    answers: list[httpx2.Response] = []

    def add() -> None:
        with api_of(own_server.api) as api:
            body = {"mutations": [{"type": "sum", "key": ["n"], "value": 1}]}
            for number in range(10):
                key = {"Idempotency-Key": f"k{number}"}
                answers.append(api.send("POST", "/atomic", body, headers=key))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for response in answers:
        assert response.status_code in (200, 409), own_server.output
        if response.status_code == 409:
            assert response.json()["code"] == "KEYVAL_REQUEST_UNDER_WAY"
            assert response.headers["retry-after"] == "1"
    with api_of(own_server.api) as api:
        assert api.value("n") >= 10  # more only if one of them was forgotten in between
        stamps = {r.json()["versionstamp"] for r in answers if r.status_code == 200}
        assert len(stamps) == api.value("n")


def test_a_kill_in_between_changes_nothing(tmp_path: Path) -> None:
    with live_server(tmp_path) as running, api_of(running.api) as api:
        first = _send(api, CASES[5], "k")
        running.kill()
    with live_server(tmp_path) as running, api_of(running.api) as api:
        again = _send(api, CASES[5], "k")
        assert again.text == first.text
        assert again.headers["idempotent-replayed"] == "true"


def test_workers_know_each_others_results(tmp_path: Path) -> None:
    with (
        live_server(tmp_path, workers=2) as running,
        api_of_worker(running, 0) as one,
        api_of_worker(running, 1) as two,
    ):
        first = _send(one, CASES[5], "k")
        again = _send(two, CASES[5], "k")
        assert again.text == first.text
        assert again.headers["idempotent-replayed"] == "true"
        assert two.value("n") == 1

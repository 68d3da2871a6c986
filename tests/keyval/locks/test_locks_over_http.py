"""Locks over HTTP: statuses and bodies, and what a repeated request does."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from support.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.ways("direct", "asgi")]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A lock of this test alone."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def post(api: Api, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = api.send("POST", f"/locks/{path}", content=json.dumps(body).encode(), headers=headers)
    return answer.status_code, answer.json()


def test_a_lock_from_its_beginning_to_its_end(shared_api: Api, name: str) -> None:
    status, first = post(shared_api, f"{name}/acquire", {"owner": "w1", "metadata": {"a": 1}})
    assert status == 200
    assert first.keys() == {"acquired", "token", "expiresAt"}
    status, refused = post(shared_api, f"{name}/acquire", {"owner": "w2", "wait": "5ms"})
    assert status == 409
    assert refused == {
        "acquired": False,
        "owner": "w1",
        "expiresAt": first["expiresAt"],
        "error": f"The lock {name} is held by w1",
        "code": "LOCK_HELD",
    }
    found = shared_api.json("GET", f"/locks/{name}")
    assert found == {
        "name": name,
        "owner": "w1",
        "token": first["token"],
        "acquiredAt": found["acquiredAt"],
        "expiresAt": first["expiresAt"],
        "metadata": {"a": 1},
        "waiting": 0,
    }
    assert shared_api.json("GET", f"/locks?prefix={name}") == {"locks": [found]}
    status, stolen = post(shared_api, f"{name}/steal", {"owner": "w2", "duration": "1h"})
    assert status == 200
    assert stolen["token"] > first["token"]
    status, lost = post(shared_api, f"{name}/acquire", {"owner": "w1", "token": first["token"]})
    assert (status, lost["code"]) == (409, "LOCK_LOST")
    assert post(shared_api, f"{name}/release", {"owner": "w1"}) == (200, {"released": False})
    assert post(shared_api, f"{name}/release", {"owner": "w2"}) == (200, {"released": True})
    gone = shared_api.send("GET", f"/locks/{name}")
    assert gone.status_code == 404
    assert gone.json() == {"error": f"Nobody has the lock {name}", "code": "LOCK_NOT_FOUND"}


def test_a_release_wakes_who_waits(shared_api: Api, name: str) -> None:
    post(shared_api, f"{name}/acquire", {"owner": "w1", "duration": "1h"})
    answers: list[Any] = []
    body = {"owner": "w2", "wait": "1m", "keepPlace": True}
    waiting = threading.Thread(
        target=lambda: answers.append(post(shared_api, f"{name}/acquire", body))
    )
    waiting.start()
    while shared_api.json("GET", f"/locks/{name}")["waiting"] == 0:
        assert waiting.is_alive()
    post(shared_api, f"{name}/release", {"owner": "w1"})
    waiting.join(30)
    ((status, acquired),) = answers
    assert (status, acquired["acquired"]) == (200, True)


def test_a_check_of_a_lock_in_a_commit(shared_api: Api, name: str) -> None:
    _, held = post(shared_api, f"{name}/acquire", {"owner": "w1"})
    mutations = [{"type": "set", "key": ["locked", name], "value": 1}]
    body = {"checks": [{"lock": name, "token": held["token"]}], "mutations": mutations}
    assert shared_api.json("POST", "/atomic", body)["ok"]
    assert shared_api.json("POST", "/transaction", {**body, "reads": [["x"]]})["ok"]
    post(shared_api, f"{name}/release", {"owner": "w1"})
    assert not shared_api.json("POST", "/atomic", body)["ok"]
    for check, wrong in (
        ({"lock": name}, "checks[0].token must be"),
        ({"lock": "", "token": "t"}, "checks[0].lock must be"),
        ({"lock": name, "token": "t", "key": ["a"]}, "key"),
    ):
        content = json.dumps({"checks": [check]}).encode()
        answer = shared_api.send("POST", "/atomic", content=content)
        assert answer.status_code == 400
        assert wrong in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"owner": "w", "wait": "11m"}, "wait must be at most 600000 milliseconds"),
        ({"owner": "w", "token": "t", "wait": 5}, "wait and metadata are for who takes a lock"),
        ({"owner": "w", "duration": 0}, "duration must be more than nothing"),
        ({}, "owner"),
    ],
)
def test_what_means_nothing_is_refused(
    shared_api: Api, name: str, body: dict[str, Any], wrong: str
) -> None:
    status, answer = post(shared_api, f"{name[:20]}/acquire", body)
    assert status == 400
    assert wrong in answer["error"]


def test_names_may_have_slashes(shared_api: Api) -> None:
    assert post(shared_api, "a%2Fb%20%C3%A9/acquire", {"owner": "w"})[0] == 200
    assert shared_api.json("GET", "/locks/a%2Fb%20%C3%A9")["name"] == "a/b é"
    assert shared_api.send("GET", "/locks/%FF").status_code == 400
    assert post(shared_api, "a%0A/acquire", {"owner": "w"})[0] == 400


def test_what_comes_twice_is_done_once(shared_api: Api, name: str) -> None:
    once = {"idempotency-key": f"a-{name}"}
    first = post(shared_api, f"{name}/acquire", {"owner": "w1"}, **once)
    again = post(shared_api, f"{name}/acquire", {"owner": "w1"}, **once)
    assert first[1]["token"] == again[1]["token"]
    ended = {"idempotency-key": f"r-{name}"}
    for _ in range(2):
        answer = post(shared_api, f"{name}/release", {"owner": "w1"}, **ended)
        assert answer == (200, {"released": True})

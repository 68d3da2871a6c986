"""Locks over HTTP: statuses and bodies, and what a repeated request does."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.api import Api
from support.live import LiveServer
from support.waiting import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.ways("direct", "asgi")]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A lock of this test alone."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def post(api: Api, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = api.send("POST", f"/locks/{path}", content=json.dumps(body).encode(), headers=headers)
    return answer.status_code, answer.json()


@contextmanager
def waiter(api: Api, name: str, **body: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection whose request waits in the line of a lock."""
    place = urlsplit(api.base)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE)
    try:
        connection.request(
            "POST", f"{place.path}/locks/{name}/acquire", json.dumps({"wait": "1m", **body})
        )
        yield connection
    finally:
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"


def waiting(api: Api, name: str) -> int:
    """How many are in line."""
    return int(api.json("GET", f"/locks/{name}")["waiting"])


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


@pytest.mark.parametrize("keeps_place", [False, True])
def test_who_hangs_up_leaves_the_line(
    shared_api: Api, shared_server: LiveServer, name: str, keeps_place: bool
) -> None:
    post(shared_api, f"{name}/acquire", {"owner": "w1", "duration": "1h"})
    with (
        waiter(shared_api, name, owner="gone", duration="1h", keepPlace=keeps_place) as gone,
        waiter(shared_api, name, owner="again", keepPlace=True) as first,
    ):
        until(lambda: waiting(shared_api, name) == 2)
        with waiter(shared_api, name, owner="again") as second:
            gone.close()
            first.close()  # whose place another call of the owner needs still
            until(lambda: waiting(shared_api, name) == 1)
            post(shared_api, f"{name}/release", {"owner": "w1"})
            assert json.loads(second.getresponse().read())["acquired"]
    assert post(shared_api, f"{name}/release", {"owner": "again"}) == (200, {"released": True})
    assert shared_api.send("GET", f"/locks/{name}").status_code == 404
    assert "Unhandled" not in shared_server.output


def test_what_is_given_to_who_has_just_hung_up_goes_on(shared_api: Api, name: str) -> None:
    for number in range(4):
        assert post(shared_api, f"{name}/acquire", {"owner": "w1", "duration": "1h"})[0] == 200
        with waiter(shared_api, name, owner=f"gone {number}", duration="1h") as gone:
            until(lambda: waiting(shared_api, name) == 1)
            gone.close()
            post(shared_api, f"{name}/release", {"owner": "w1"})
        until(lambda: shared_api.send("GET", f"/locks/{name}").status_code == 404)


def test_who_says_no_more_is_told_that_he_waits_no_more(shared_api: Api, name: str) -> None:
    """He may have gone, which nobody can tell; or he has only ended his half, as `nc -N` does."""
    post(shared_api, f"{name}/acquire", {"owner": "w1", "duration": "1h"})
    with waiter(shared_api, name, owner="w2") as half:
        until(lambda: waiting(shared_api, name) == 1)
        half.sock.shutdown(socket.SHUT_WR)
        answer = half.getresponse()
        assert (answer.status, json.loads(answer.read())["code"]) == (499, "CLIENT_GONE")
        until(lambda: waiting(shared_api, name) == 0)


def test_a_release_gives_up_the_place_too(shared_api: Api, name: str) -> None:
    post(shared_api, f"{name}/acquire", {"owner": "w1", "duration": "1h"})
    kept = {"owner": "w2", "wait": "5ms", "keepPlace": True}
    post(shared_api, f"{name}/acquire", kept)
    assert waiting(shared_api, name) == 1
    assert post(shared_api, f"{name}/release", {"owner": "w2"}) == (200, {"released": False})
    assert waiting(shared_api, name) == 0


def test_nobody_waits_who_has_it(shared_api: Api, name: str) -> None:
    assert post(shared_api, f"{name}/acquire", {"owner": "w", "wait": "1m"})[0] == 200
    until(lambda: shared_api.json("GET", "/metrics")["locks"]["waiters"] == 0)


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
        ({"owner": "w", "token": "t", "wait": 5}, "wait and metadata are for taking a lock"),
        ({"owner": "w", "duration": 0}, "duration must be more than 0"),
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
    """And is answered as the first time, whatever has become of the lock."""
    token = post(shared_api, f"{name}/acquire", {"owner": "w1"})[1]["token"]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("acquire", {"owner": "w1", "duration": "1h", "wait": "1m"}),
        ("acquire", {"owner": "w1", "duration": "2h", "token": token}),
        ("release", {"owner": "w1"}),
        ("release", {"owner": "w1", "token": "another"}),
        ("acquire", {"owner": "w2", "metadata": 1}),
        ("steal", {"owner": "w3", "duration": "1h"}),
    ]

    def ask_all() -> list[tuple[int, dict[str, Any]]]:
        return [
            post(shared_api, f"{name}/{verb}", body, **{"idempotency-key": f"{number}-{name}"})
            for number, (verb, body) in enumerate(asked)
        ]

    first = ask_all()
    assert [status for status, _ in first] == [200] * len(asked)
    assert [it.get("released") for _, it in first[2:4]] == [True, False]
    assert post(shared_api, f"{name}/steal", {"owner": "w4"})[0] == 200
    assert ask_all() == first
    post(shared_api, f"{name}/release", {"owner": "w4"})
    assert ask_all() == first
    assert shared_api.send("GET", f"/locks/{name}").status_code == 404


def test_who_was_refused_may_ask_again_under_the_same_key(shared_api: Api, name: str) -> None:
    once = {"idempotency-key": f"a-{name}"}
    post(shared_api, f"{name}/acquire", {"owner": "w1"})
    assert post(shared_api, f"{name}/acquire", {"owner": "w2"}, **once)[0] == 409
    post(shared_api, f"{name}/release", {"owner": "w1"})
    first = post(shared_api, f"{name}/acquire", {"owner": "w2"}, **once)
    assert first[0] == 200
    post(shared_api, f"{name}/release", {"owner": "w2"})
    assert post(shared_api, f"{name}/acquire", {"owner": "w2"}, **once) == first

"""Consumers over HTTP: bodies and statuses."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.slow


def test_a_consumer_from_its_first_fetch_to_its_end(api: Api) -> None:
    begin = api.json("GET", "/stream/seq")["seq"]
    begun = api.json("PUT", "/consumers/mailer/position", {"seq": begin})
    told = {"owner": None, "until": None, "failing": None}
    assert begun == {**told, "name": "mailer", "position": begin, "lag": 0,
                     "updatedAt": begun["updatedAt"]}  # fmt: skip
    for number in range(3):
        api.put(f"orders/{number}", number)
    (first, second, third) = api.json("GET", f"/stream?after={begin}")["records"]
    fetched = {"owner": "w1", "limit": 2, "prefix": ["orders"], "lockDuration": "30s"}
    batch = api.json("POST", "/consumers/mailer/fetch", fetched)
    token = batch["token"]
    assert batch == {"records": [first, second], "token": token, "position": begin, "lag": 3}
    assert api.json("POST", "/consumers/mailer/fetch", fetched) == batch
    state = api.json("GET", "/consumers/mailer")
    assert api.json("GET", "/consumers?prefix=mail") == {"consumers": [state]}
    refused = api.send("POST", "/consumers/mailer/fetch", {"owner": "w2"})
    assert refused.status_code == 409
    assert refused.json() == {
        "error": "The consumer mailer is at work as w1",
        "code": "CONSUMER_LOCKED",
        "owner": "w1",
        "until": state["until"],
    }
    held = {"owner": "w1", "token": token}
    commit = {**held, "upTo": first["seq"]}
    assert api.json("POST", "/consumers/mailer/commit", commit) == {"position": first["seq"]}
    assert api.json("GET", "/consumers/mailer/peek?limit=1") == {"records": [second]}
    nack: dict[str, Any] = {"token": token, "seq": second["seq"], "error": "x", "maxAttempts": 1}
    ahead = api.send("POST", "/consumers/mailer/commit", {**held, "upTo": third["seq"] + 1})
    assert (ahead.status_code, ahead.json()["code"]) == (409, "STREAM_POSITION_AHEAD")
    failed = {"attempts": 1, "dead": True, "position": second["seq"]}
    assert api.json("POST", "/consumers/mailer/nack", nack) == failed
    (letter,) = api.json("GET", "/consumers/mailer/dead")["letters"]
    assert letter == {"record": second, "error": "x", "attempts": 1, "requeued": False,
                      "failedAt": letter["failedAt"]}  # fmt: skip
    assert api.json("POST", "/consumers/mailer/dead", {"seq": second["seq"]}) == {"requeued": 1}
    assert api.json("POST", "/consumers/mailer/fetch", fetched)["records"] == [second]
    assert api.json("DELETE", f"/consumers/mailer/dead?seq={second['seq']}") == {"deleted": 1}
    done = {"type": "consumer", "name": "mailer", "token": token, "upTo": third["seq"]}
    effect = {"type": "set", "key": ["done"], "value": 3}
    assert api.json("POST", "/atomic", {"mutations": [done, effect]})["ok"]
    assert api.json("POST", "/consumers/mailer/release", held) == {"released": True}
    late = api.send("POST", "/consumers/mailer/commit", commit)
    assert (late.status_code, late.json()["code"]) == (409, "STALE_CONSUMER")
    assert not api.json("POST", "/atomic", {"mutations": [done, effect]})["ok"]
    assert api.json("DELETE", "/consumers/mailer") == {"deleted": True}
    missing = api.send("GET", "/consumers/mailer")
    assert (missing.status_code, missing.json()["code"]) == (404, "CONSUMER_NOT_FOUND")


def test_records_that_are_gone_are_not_passed_over(api: Api) -> None:
    api.put("a", 1)
    begin = api.json("GET", "/stream/seq")["seq"]
    api.json("PUT", "/consumers/late/position", {"seq": begin})
    for number in range(3):
        api.put("a", number)
    api.json("POST", "/stream/trim", {"upTo": begin + 1})
    for answer in (
        api.send("POST", "/consumers/late/fetch", {"owner": "w"}),
        api.send("GET", "/consumers/late/peek"),
        api.send("PUT", "/consumers/late/position", {"seq": begin}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (410, "STREAM_TRIMMED")
        assert answer.json()["first"] == begin + 2


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("fetch", {}, "owner must be a text of 1 to 256 characters"),
        ("fetch", {"owner": "w", "wait": "61s"}, "wait must be at most 60000 milliseconds"),
        ("fetch", {"owner": "w", "lockDuratoin": 1}, "lockDuration"),
        ("commit", {"token": "t", "upTo": -1}, "upTo must not be negative"),
        ("nack", {"token": "t"}, "seq must be a whole number"),
        ("nack", {"token": "t", "seq": 1, "maxAttempts": 0}, "maxAttempts must be a positive"),
    ],
)
def test_what_means_nothing_is_refused(
    shared_api: Api, path: str, body: dict[str, Any], wrong: str
) -> None:
    answer = shared_api.send("POST", f"/consumers/c/{path}", body)
    assert answer.status_code == 400
    assert wrong in answer.json()["error"]


@pytest.mark.parametrize(
    ("member", "given", "wrong"),
    [
        ("name", "", "mutations[0].name must be a text of 1 to 256 characters"),
        ("token", None, "mutations[0].token must be the token of a fetch, received null"),
        ("owner", 5, "mutations[0].owner must be a text"),
        (
            "upTo",
            True,
            "mutations[0].upTo must be the position of a record",
        ),
        ("upto", 5, "upTo"),
    ],
)
def test_what_means_nothing_in_a_commit_is_refused(
    shared_api: Api, member: str, given: Any, wrong: str
) -> None:
    done = {"type": "consumer", "name": "c", "token": "t", "upTo": 1, member: given}
    answer = shared_api.send("POST", "/atomic", {"mutations": [done]})
    assert answer.status_code == 400
    assert wrong in answer.json()["error"]

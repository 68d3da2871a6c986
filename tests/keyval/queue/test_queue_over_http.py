"""The routes below `/queue`: bodies, addresses, leases, errors."""

from __future__ import annotations

import time
from typing import Any

import pytest
from buntime_keyval.wire.limits import MAX_ERROR_LENGTH
from support.api import Api
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "libsql")


def poll(api: Api, **query: Any) -> dict[str, Any]:
    message: dict[str, Any] = api.json("GET", "/queue/poll", query=query)["message"]
    assert message is not None
    return message


def bury(api: Api, value: Any = 1, **nack: Any) -> dict[str, Any]:
    """Make a dead letter."""
    api.json("POST", "/queue/enqueue", {"value": value, "options": {"backoffSchedule": []}})
    message = poll(api)
    api.json("POST", "/queue/nack", {"id": message["id"], **nack})
    (letter,) = api.json("GET", "/queue/dlq", query={"limit": 1})
    assert letter["originalId"] == message["id"]
    return dict(letter)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"delay": "5 parsecs"}, "delay must be"),
        ({"delay": -5}, "delay must be"),
        ({"delay": True}, "delay must be"),
        ({"backoffSchedule": "1s"}, "backoffSchedule must be an array"),
        ({"backoffSchedule": [1, None]}, "backoffSchedule[1] must be"),
        ({"keysIfUndelivered": [["a"], []]}, "keysIfUndelivered: "),
        ([], "options must be an object"),
    ],
)
def test_weakness_38_wrong_options_are_400(api: Api, options: Any, text: str) -> None:
    assert text in api.error("POST", "/queue/enqueue", {"value": 1, "options": options})
    assert api.json("GET", "/queue/stats")["total"] == 0


def test_a_message_needs_a_value(api: Api) -> None:
    assert "value is required" in api.error("POST", "/queue/enqueue", {})
    api.json("POST", "/queue/enqueue", {"value": None})
    assert poll(api)["value"] is None


def test_durations_are_options_too(api: Api) -> None:
    options = {"delay": "0s", "backoffSchedule": ["1h", "0.5d"]}
    api.json("POST", "/queue/enqueue", {"value": 1, "options": options})
    assert poll(api)["attempts"] == 1


@pytest.mark.parametrize("verb", ["ack", "nack"])
@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": 5}, {"id": None}])
def test_an_id_is_needed(api: Api, verb: str, body: Any) -> None:
    assert "id must be a non-empty string" in api.error("POST", f"/queue/{verb}", body)


@pytest.mark.parametrize("verb", ["ack", "nack"])
def test_unknown_ids_are_fine_in_body_and_path(api: Api, verb: str) -> None:
    assert api.json("POST", f"/queue/{verb}", {"id": "unknown"}) == {"ok": True}
    assert api.json("POST", f"/queue/{verb}/unknown") == {"ok": True}


@pytest.mark.parametrize("verb", ["ack", "nack", "extend"])
def test_an_unknown_id_is_an_error_where_that_is_asked_for(api: Api, verb: str) -> None:
    for path, body in ((f"/queue/{verb}", {"id": "unknown"}), (f"/queue/{verb}/unknown", {})):
        response = api.send("POST", path, {**body, "strict": True})
        assert (response.status_code, response.json()["code"]) == (404, "KEYVAL_MESSAGE_NOT_FOUND")
        assert "the id unknown" in response.json()["error"]
    assert "strict must be" in api.error("POST", f"/queue/{verb}", {"id": "x", "strict": 1})
    options = {"backoffSchedule": [0]}
    api.json("POST", "/queue/enqueue", {"value": 1, "options": options})
    message = poll(api, lease="true")
    lost = {**message, "lease": "another", "strict": True}
    assert api.send("POST", f"/queue/{verb}", lost).status_code == 409  # as without it
    known = {"id": message["id"], "strict": True}
    assert api.json("POST", f"/queue/{verb}", known) == {"ok": True}
    if verb == "nack":  # it waits, so it is there
        assert api.send("POST", "/queue/extend", known).status_code == 409
    api.json("POST", "/queue/ack", {"id": message["id"]})
    assert api.send("POST", f"/queue/{verb}", known).status_code == 404
    assert api.send("POST", f"/queue/{verb}", {**known, "lease": "x"}).status_code == 409


@pytest.mark.parametrize("verb", ["ack", "nack"])
def test_a_strict_answer_is_told_again(api: Api, verb: str) -> None:
    api.json("POST", "/queue/enqueue", {"value": 1, "options": {"backoffSchedule": []}})
    body = {"id": poll(api)["id"], "strict": True}
    headers = {"idempotency-key": f"strict-{verb}"}
    for _ in range(2):
        assert api.json("POST", f"/queue/{verb}", body, headers=headers) == {"ok": True}
    headers = {"idempotency-key": f"late-{verb}"}
    for _ in range(2):
        response = api.send("POST", f"/queue/{verb}", body, headers=headers)
        assert response.status_code == 404


def test_a_nack_says_why_and_when(api: Api) -> None:
    assert bury(api, error="Connection timeout")["errorMessage"] == "Connection timeout"
    assert bury(api)["errorMessage"] == "Max attempts exceeded"
    api.json("POST", "/queue/enqueue", {"value": 1, "options": {"backoffSchedule": ["1h"]}})
    api.json("POST", f"/queue/nack/{poll(api)['id']}", {"delay": 0})
    assert poll(api)["attempts"] == 2
    assert "delay must be" in api.error("POST", "/queue/nack", {"id": "x", "delay": "never"})
    assert "error must be a string" in api.error("POST", "/queue/nack", {"id": "x", "error": 5})


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/queue/nack", {"id": "x"}),
        ("/queue/nack/x", {}),
        ("/tasks/x/fail", {"token": "t"}),
        ("/consumers/x/nack", {"token": "t", "seq": 1}),
    ],
)
def test_what_is_said_of_a_failure_has_a_limit(
    shared_api: Api, path: str, members: dict[str, object]
) -> None:
    said = {**members, "error": "x" * (MAX_ERROR_LENGTH + 1)}
    refused = shared_api.send("POST", path, said)
    assert (refused.status_code, refused.json()["error"]) == (
        400,
        "error too long: 10001 characters (max 10000)",
    )


def test_the_lease_comes_on_request_and_is_checked(api: Api) -> None:
    options = {"backoffSchedule": [0, 0]}
    api.json("POST", "/queue/enqueue", {"value": 1, "options": options})
    first = poll(api, lease="true")
    assert set(first) == {"id", "value", "attempts", "lease"}
    api.json("POST", "/queue/nack", first)
    second = poll(api)
    assert set(second) == {"id", "value", "attempts"}
    for verb in ("ack", "nack"):
        response = api.send("POST", f"/queue/{verb}", first)
        assert (response.status_code, response.json()["code"]) == (409, "STALE_LEASE")
        response = api.send("POST", f"/queue/{verb}/{first['id']}", {"lease": first["lease"]})
        assert response.status_code == 409
    assert api.json("GET", "/queue/stats")["processing"] == 1
    api.json("POST", "/queue/nack", {"id": second["id"]})
    third = api.json("GET", "/queue/dequeue", query={"lease": "true"})["message"]
    api.json("POST", "/queue/ack", third)
    assert api.json("GET", "/queue/stats")["total"] == 0
    assert "lease must be a string" in api.error("POST", "/queue/ack", {"id": "x", "lease": 1})


def test_weakness_48_a_lease_is_prolonged(api: Api) -> None:
    api.json("POST", "/queue/enqueue", {"value": 1, "options": {"backoffSchedule": [0]}})
    message = poll(api, lease="true")
    assert api.json("POST", "/queue/extend", message) == {"ok": True}
    path = f"/queue/extend/{message['id']}"
    assert api.json("POST", path) == {"ok": True}
    assert api.json("POST", path, {"duration": "1ms"}) == {"ok": True}
    deadline = time.monotonic() + PATIENCE
    while api.json("GET", "/queue/poll")["message"] is None:
        assert time.monotonic() < deadline, "the lease did not end"
    for body in ({"id": message["id"], "lease": message["lease"]}, {"id": "unknown"}):
        response = api.send("POST", "/queue/extend", body)
        assert (response.status_code, response.json()["code"]) == (409, "STALE_LEASE")
    refused: list[Any] = [0, -5, "long", True, []]
    for wrong in refused:
        assert "duration must be" in api.error("POST", path, {"duration": wrong})
    assert "id must be" in api.error("POST", "/queue/extend", {})


def test_dead_letters_over_http(api: Api) -> None:
    letter = bury(api, {"n": 1})
    path = f"/queue/dlq/{letter['id']}"
    assert api.json("GET", path) == letter
    answer = api.json("POST", f"{path}/requeue")
    assert answer == {"ok": True, "id": answer["id"], "newId": answer["id"]}
    assert poll(api)["id"] == answer["id"]
    for method, target in (("GET", path), ("POST", f"{path}/requeue")):
        response = api.send(method, target)
        assert response.status_code == 404
        missing = {"error": "Message not found in DLQ"}
        assert response.json() == (missing if method == "GET" else {"ok": False, **missing})
    assert api.json("DELETE", path) == {"ok": True}
    bury(api, 1)
    bury(api, 2)
    assert [item["value"] for item in api.json("GET", "/queue/dlq?offset=1")] == [1]
    assert "limit must be a positive number" in api.error("GET", "/queue/dlq?limit=0")
    assert "offset must not be negative" in api.error("GET", "/queue/dlq?offset=-1")
    assert api.json("DELETE", "/queue/dlq") == {"deletedCount": 2}


def test_ids_in_paths_are_decoded_once(api: Api) -> None:
    response = api.send("GET", "/queue/dlq/a%2Fb")
    assert response.status_code == 404
    assert api.json("POST", "/queue/ack/a%2Fb") == {"ok": True}

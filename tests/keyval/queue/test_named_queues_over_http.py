"""Named queues over HTTP: what existing clients see is as it was, names are members beside it."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

everywhere = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")


def send(api: Api, value: Any, **options: Any) -> str:
    sent: str = api.json("POST", "/queue/enqueue", {"value": value, "options": options})["id"]
    return sent


def poll(api: Api, **query: Any) -> dict[str, Any]:
    message: dict[str, Any] = api.json("GET", "/queue/poll", query=query)["message"]
    assert message is not None
    return message


@everywhere
def test_a_message_names_its_queue_unless_it_has_no_name(api: Api) -> None:
    name = 'e-mails "ä"/ö&?'
    first, second = send(api, 1), send(api, 2, queue=name)
    assert poll(api) == {"id": first, "value": 1, "attempts": 1}
    found = poll(api, queue=name, lease="true")
    lease = found.pop("lease")
    assert found == {"id": second, "value": 2, "attempts": 1, "queue": name}
    stats = {"pending": 0, "processing": 1, "dlq": 0, "total": 1}
    assert api.json("GET", "/queue/stats", query={"queue": name}) == stats
    body = {"id": second, "lease": lease, "queue": name}
    assert api.json("POST", "/queue/extend", body) == {"ok": True}
    assert api.json("POST", "/queue/ack", body | {"strict": True}) == {"ok": True}
    # The message may be sent back as it came.
    assert api.json("POST", "/queue/ack", poll_again(api, name)) == {"ok": True}
    assert api.json("GET", "/queue/stats")["total"] == 1


def poll_again(api: Api, name: str) -> dict[str, Any]:
    send(api, 3, queue=name)
    return poll(api, queue=name)


def test_a_commit_names_the_queue(api: Api) -> None:
    message = {"type": "enqueue", "value": 1, "queue": "emails", "priority": 2, "delay": 0}
    assert api.json("POST", "/atomic", {"mutations": [message]})["ok"]
    assert poll(api, queue="emails")["value"] == 1
    assert api.json("GET", "/queue/poll") == {"message": None}


@everywhere
def test_dead_letters_of_a_queue(api: Api) -> None:
    send(api, 1, queue="emails", backoffSchedule=[])
    message = poll(api, queue="emails")
    api.json("POST", "/queue/nack", {"id": message["id"], "queue": "emails"})
    assert api.json("GET", "/queue/dlq") == []
    (letter,) = api.json("GET", "/queue/dlq", query={"queue": "emails"})
    assert (letter["originalId"], letter["queue"]) == (message["id"], "emails")
    path = f"/queue/dlq/{letter['id']}"
    assert api.json("GET", path) == letter
    assert api.json("GET", path, query={"queue": "emails"}) == letter
    assert api.send("GET", path, query={"queue": "films"}).status_code == 404
    assert api.send("POST", f"{path}/requeue", query={"queue": "films"}).status_code == 404
    assert api.json("DELETE", path, query={"queue": "films"}) == {"ok": True}
    assert api.json("DELETE", "/queue/dlq", query={"queue": "films"}) == {"deletedCount": 0}
    assert api.json("DELETE", "/queue/dlq") == {"deletedCount": 0}
    assert api.json("POST", f"{path}/requeue", {"queue": "emails"})["ok"]
    assert poll(api, queue="emails")["value"] == 1


def test_a_letter_without_a_queue_says_nothing_of_one(api: Api) -> None:
    send(api, 1, backoffSchedule=[])
    api.json("POST", "/queue/nack", {"id": poll(api)["id"]})
    (letter,) = api.json("GET", "/queue/dlq")
    assert set(letter) == {
        *("id", "originalId", "value", "errorMessage", "attempts"),
        *("originalCreatedAt", "failedAt"),
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"queue": 7}, "queue must be a text of up to 256 characters"),
        ({"queue": "a\n"}, "queue must be a text of up to 256 characters"),
        ({"queue": "x" * 257}, "queue must be a text of up to 256 characters"),
        ({"priority": 11}, "priority must be a whole number from -10 to 10"),
        ({"priority": "1"}, "priority must be a whole number from -10 to 10"),
        ({"priority": 0.5}, "priority must be a whole number from -10 to 10"),
    ],
)
def test_wrong_options_are_400(api: Api, options: Any, text: str) -> None:
    assert text in api.error("POST", "/queue/enqueue", {"value": 1, "options": options})
    message = {"type": "enqueue", "value": 1, **options}
    assert text in api.error("POST", "/atomic", {"mutations": [message]})


@pytest.mark.parametrize("path", ["poll", "listen", "stats", "dlq", "dlq/x"])
def test_wrong_names_are_400(api: Api, path: str) -> None:
    wrong = api.error("GET", f"/queue/{path}", query={"queue": "x" * 257})
    assert "queue must be a text of up to 256 characters" in wrong


def test_null_is_as_if_it_was_absent(api: Api) -> None:
    send(api, 1, queue=None, priority=None)
    assert poll(api)["value"] == 1


@everywhere
def test_ids_peeks_pages_and_pauses(api: Api) -> None:
    assert [send(api, number, queue="work", id="one") for number in range(2)] == ["one", "one"]
    send(api, 2, queue="work", priority=3, id="two")
    peeked = api.json("GET", "/queue/peek", query={"queue": "work", "limit": 5})["messages"]
    assert [it["id"] for it in peeked] == ["two", "one"]
    members = {"id", "value", "state", "attempts", "maxAttempts", "priority"}
    assert set(peeked[0]) == members | {"readyAt", "createdAt", "queue"}
    page = api.json("GET", "/queue/messages", query={"queue": "work", "limit": 1})
    assert [it["id"] for it in page["messages"]] == ["one"]
    query = {"queue": "work", "limit": 5, "cursor": page["cursor"]}
    assert [it["id"] for it in api.json("GET", "/queue/messages", query=query)["messages"]] == [
        "two"
    ]
    assert api.json("POST", "/queue/pause", {"queue": "work"}) == {"ok": True}
    assert api.json("GET", "/queue/poll", query={"queue": "work"}) == {"message": None}
    (state,) = api.json("GET", "/queue/queues")["queues"]
    expected = {"queue": "work", "pending": 2, "processing": 0, "dlq": 0, "total": 2}
    assert state == expected | {"paused": True}
    assert api.json("POST", "/queue/resume", query={"queue": "work"}) == {"ok": True}
    assert poll(api, queue="work")["id"] == "two"
    deleted = api.json("DELETE", "/queue/messages", query={"queue": "work"})
    assert deleted == {"deletedCount": 2}


@everywhere
def test_options_of_queues(api: Api) -> None:
    options = {"maxRunning": 1, "lease": "1m", "backoffSchedule": ["1s"]}
    rate = {"count": 9, "per": "1h"}
    body = {"queue": "work", "rate": rate, **options}
    assert api.json("PUT", "/queue/options", body) == {"ok": True}
    assert api.json("GET", "/queue/options", query={"queue": "work"}) == {
        "paused": False,
        "lease": 60_000,
        "backoffSchedule": [1000],
        "maxRunning": 1,
        "rate": {"count": 9, "per": 3_600_000},
    }
    for number in range(3):
        send(api, number, queue="work", priority=number)
    first = poll(api, queue="work")
    assert first["value"] == 2
    assert api.json("GET", "/queue/poll", query={"queue": "work"}) == {"message": None}
    api.json("POST", "/queue/ack", first)
    assert poll(api, queue="work")["value"] == 1
    api.json("PUT", "/queue/options", {"queue": "work"})
    assert poll(api, queue="work")["value"] == 0
    api.json("PUT", "/queue/options", {"rate": {"count": 1, "per": "1h"}})
    send(api, "a")
    send(api, "b")
    assert poll(api)["value"] == "a"
    assert api.json("GET", "/queue/poll") == {"message": None}
    api.json("PUT", "/queue/options", {})
    assert poll(api)["value"] == "b"

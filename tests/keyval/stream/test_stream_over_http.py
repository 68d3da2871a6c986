"""The stream over HTTP: bodies, statuses and events."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api
from support.sse import event_stream

pytestmark = pytest.mark.slow


def test_a_page_of_the_stream(api: Api) -> None:
    begin = api.json("GET", "/stream/seq")["seq"]
    api.send("PUT", "/keys/a/1?type=thing", content=b"1")
    page = api.json("GET", f"/stream?after={begin}")
    (record,) = page["records"]
    assert record == {
        "seq": record["seq"],
        "action": "create",
        "key": ["a", 1],
        "versionstamp": api.json("GET", "/keys/a/1")["versionstamp"],
        "version": 1,
        "type": "thing",
        "at": record["at"],
        "valueOmitted": True,
    }
    assert page["next"] == page["last"] == record["seq"]
    assert api.json("GET", f"/stream?from={record['seq']}")["records"] == [record]
    assert record in api.json("GET", f"/stream?since={record['at']}")["records"]
    assert api.json("GET", f"/stream?after={begin}&type=thing")["records"] == [record]
    assert api.json("GET", f"/stream?after={record['seq']}&wait=5ms")["records"] == []
    api.send("PUT", "/keys/a/1", content=b"2")
    assert api.json("POST", "/stream/trim", {"upTo": record["seq"]})["trimmed"] >= 1
    gone = api.send("GET", f"/stream?after={record['seq'] - 1}")
    assert gone.status_code == 410
    assert gone.json() == {
        "error": "Records after this position were removed:"
        f" the stream begins with {record['seq'] + 1}",
        "code": "STREAM_TRIMMED",
        "first": record["seq"] + 1,
    }
    assert api.json("GET", "/stream/seq") == {
        "seq": record["seq"] + 1,
        "first": record["seq"] + 1,
    }


def test_followers_get_each_record_and_are_told_of_gaps(api: Api) -> None:
    begin = api.json("GET", "/stream/seq")["seq"]
    api.send("PUT", "/keys/a/1", content=b"1")
    with event_stream(api.base, "/stream/follow", query={"after": begin, "prefix": "a"}) as stream:
        first: Any = stream.next()
        assert (first.event, first.data["key"], first.id) == ("record", ["a", 1], str(begin + 1))
        api.send("PUT", "/keys/b", content=b"1")
        api.send("DELETE", "/keys/a/1")
        second: Any = stream.next()
        assert (second.data["action"], second.id) == ("delete", str(begin + 3))
    headers = {"Last-Event-ID": first.id}
    with event_stream(api.base, "/stream/follow", headers=headers) as stream:
        assert [stream.next().data["seq"] for _ in range(2)] == [begin + 2, begin + 3]  # type: ignore[union-attr] # there are two
    api.send("PUT", "/keys/c", content=b"1")
    api.json("POST", "/stream/trim", {"upTo": begin + 2})
    with event_stream(api.base, "/stream/follow", headers=headers) as stream:
        gap, third = stream.next(), stream.next()
        assert gap is not None
        assert third is not None
        assert (gap.event, gap.data, gap.id) == ("gap", {"first": begin + 3}, str(begin + 2))
        assert third.data["seq"] == begin + 3


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/stream?after=1&from=1", "after and from exclude each other"),
        ("/stream?from=1&since=1", "from and since exclude each other"),
        ("/stream?wait=61s", "wait must be at most 60000 milliseconds"),
        ("/stream?after=-1", "after must not be negative"),
        ("/stream?action=put", "action must be create, update, delete or expire"),
        ("/stream/follow?after=1&since=1", "after and since exclude each other"),
    ],
)
def test_what_means_nothing_is_refused(shared_api: Api, path: str, wrong: str) -> None:
    answer = shared_api.send("GET", path)
    assert answer.status_code == 400
    assert wrong in answer.json()["error"]


@pytest.mark.parametrize("ask", ["/stream?after={}", "/stream/follow?after={}"])
def test_a_position_behind_the_end_is_refused(shared_api: Api, ask: str) -> None:
    shared_api.send("PUT", "/keys/a", content=b"1")
    last = shared_api.json("GET", "/stream/seq")["seq"]
    answer = shared_api.send("GET", ask.format(last + 1))
    assert (answer.status_code, answer.json()) == (
        409,
        {
            "error": f"No record has the position {last + 1} yet: the stream ends with {last}",
            "code": "STREAM_POSITION_AHEAD",
        },
    )
    assert shared_api.json("GET", f"/stream?from={last + 1}")["records"] == []


def test_a_follower_that_names_no_position_is_refused(shared_api: Api) -> None:
    answer = shared_api.send("GET", "/stream/follow", headers={"Last-Event-ID": "abc"})
    assert answer.status_code == 400
    assert "Last-Event-ID must be the position of a record" in answer.json()["error"]

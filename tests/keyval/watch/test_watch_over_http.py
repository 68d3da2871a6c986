"""`GET /watch` and `GET /watch/prefix`: parameters, bytes, limits, slow clients."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, api_of
from support.live import live_server
from support.sse import EventStream, event_stream
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "libsql")

BIGINT = {"__type": "bigint", "value": "1"}
BYTES = {"__type": "uint8array", "value": "AQ=="}
TYPED: list[Any] = [1, "1", BIGINT, BYTES, True, 1.5, "a/b", "c,d:e"]


def change(stream: EventStream) -> list[tuple[Any, Any]]:
    event = stream.next()
    assert event is not None
    assert event.event == "change"
    assert event.id is not None
    return [(entry["key"], entry["value"]) for entry in event.data]


@pytest.mark.parametrize(
    ("path", "query", "wanted"),
    [
        ("/watch", {"keys": "a/1,b"}, [["a", 1], ["b"]]),
        ("/watch", {"keys": ["a/1", "b"]}, [["a", 1], ["b"]]),
        ("/watch", {"keys": '["a",1]'}, [["a", 1]]),
        ("/watch", {"keys": '[["a","1"],["b"]]'}, [["a", "1"], ["b"]]),
        ("/watch", {"keys": "b,b,a/1"}, [["b"], ["a", 1]]),
        ("/watch/prefix", {"prefix": "a"}, [["a", "1"], ["a", 1]]),
        ("/watch/prefix", {"prefix": '["a"]', "limit": "1"}, [["a", "1"]]),
        ("/watch/prefix", {"prefixes": "b,a"}, [["a"], ["a", "1"], ["a", 1], ["b"]]),
        ("/watch/prefix", {"prefixes": ["b", "a"]}, [["a"], ["a", "1"], ["a", 1], ["b"]]),
        ("/watch/prefix", {"prefixes": "a,a,a/1"}, [["a"], ["a", "1"], ["a", 1]]),
        ("/watch/prefix", {"prefixes": "b,a", "limit": "2"}, [["a"], ["a", "1"]]),
    ],
)
def test_parameters(api: Api, path: str, query: Mapping[str, Any], wanted: list[Any]) -> None:
    for key in (["a"], ["a", 1], ["a", "1"], ["b"], ["aa", 1]):
        api.mutate({"type": "set", "key": key, "value": "x"})
    with event_stream(api.base, path, query=query) as stream:
        assert [key for key, _ in change(stream)] == wanted


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        ("/watch", {}, "Missing 'keys' query parameter"),
        ("/watch", {"keys": ","}, "Missing 'keys' query parameter"),
        ("/watch", {"keys": ",".join(map(str, range(1001)))}, "Too many keys: 1001 (max 1000)"),
        ("/watch/prefix", {}, "Missing 'prefix' query parameter"),
        ("/watch/prefix", {"prefixes": ""}, "Missing 'prefix' query parameter"),
        ("/watch/prefix", {"prefix": "a", "limit": "0"}, "limit must be a positive number"),
        ("/watch/poll", {}, "Missing 'keys' query parameter"),
        ("/watch/prefix/poll", {"prefix": "a", "limit": "x"}, "limit must be a positive number"),
    ],
)
def test_wrong_parameters(api: Api, path: str, query: Mapping[str, Any], text: str) -> None:
    assert text in api.error("GET", path, query=query)


def without_position(frame: bytes | None) -> bytes:
    """Where there are replicas a frame begins with the position of the log."""
    assert frame is not None
    return re.sub(rb"\Aposition: \d+\n", b"", frame)


def test_frames_are_single_writes_with_bare_line_feeds(api: Api) -> None:
    with event_stream(api.base, "/watch/prefix", query={"prefix": "p"}) as stream:
        first = without_position(stream.chunk())  # nothing is there, and it says so
        assert re.fullmatch(rb"event: ping\ndata: \nid: [-0-9a-f]+\n\n", first)
        stamp = api.put("p/a", {"text": "line\nbreak\r\n"})
        data = without_position(stream.chunk())
        fields = data.decode().split("\n")
        assert [line.partition(": ")[0] for line in fields] == ["event", "data", "id", "", ""]
        assert fields[0] == "event: change"
        entry = {"key": ["p", "a"], "value": {"text": "line\nbreak\r\n"}, "versionstamp": stamp}
        assert json.loads(fields[1].removeprefix("data: ")) == [entry]
        assert b"\r" not in data
        for header, value in (
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache, no-transform"),
            ("connection", "keep-alive"),
        ):
            assert stream.headers[header] == value


def test_weakness_20_deletions_have_the_key_that_was_deleted(api: Api) -> None:
    api.mutate(*({"type": "set", "key": ["t", part], "value": 0} for part in TYPED))
    with event_stream(api.base, "/watch/prefix", query={"prefix": "t"}) as stream:
        begun = [key for key, _ in change(stream)]
        assert len(begun) == len(TYPED)
        for part in TYPED:
            assert ["t", part] in begun
            api.mutate({"type": "delete", "key": ["t", part]})
            assert change(stream) == [(["t", part], None)]
        assert stream.is_quiet(0.2)


def test_weakness_21_keys_that_look_alike_are_each_told_once(api: Api) -> None:
    alike: list[Any] = [1, "1", BIGINT, True, "true", "a/b"]
    api.mutate(*({"type": "set", "key": ["t", part], "value": 0} for part in alike))
    api.put("t/a/b", 0)
    with event_stream(api.base, "/watch/prefix", query={"prefix": "t"}) as stream:
        assert len(change(stream)) == len(alike) + 1
        assert stream.is_quiet(0.3)
        for number, part in enumerate(alike):
            api.mutate({"type": "set", "key": ["t", part], "value": number})
            assert change(stream) == [(["t", part], number)]
        assert stream.is_quiet(0.3)


def test_expiry_is_seen_soon(api: Api) -> None:
    """Long before `cleanupInterval`; `test_sweeper.py` looks at how long is slept for."""
    with event_stream(api.base, "/watch", query={"keys": "e", "initial": "false"}) as stream:
        api.put("e", 1, expiresIn=100)
        assert change(stream) == [(["e"], 1)]
        assert change(stream) == [(["e"], None)]


def test_head_opens_no_watch(api: Api) -> None:
    response = api.send("HEAD", "/watch?keys=a")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"


@pytest.mark.slow
def test_a_client_that_does_not_read_blocks_nobody(api: Api) -> None:
    query = {"prefix": "big", "initial": "false"}
    with (
        event_stream(api.base, "/watch/prefix", query=query, receive_buffer=4096) as slow,
        event_stream(api.base, "/watch/prefix", query=query) as quick,
    ):
        assert slow.chunk() is not None
        written = 0
        for number in range(80):
            api.put(f"big/{number % 4}", [number, "x" * 200_000])
            ((_, value),) = change(quick)
            assert value[0] == number
            written += 1
        last: dict[int, int] = {}
        events = 0
        while last != {0: 76, 1: 77, 2: 78, 3: 79}:
            for key, value in change(slow):
                last[key[1]] = value[0]
            events += 1
        # What is in the buffers of the connection came as it was, the rest as the latest state.
        assert events < written - 20
        api.put("big/5", "after")
        assert change(slow) == [(["big", 5], "after")]


@pytest.mark.slow
def test_limit_and_heartbeat(tmp_path: Path, host_config: Callable[..., dict[str, Any]]) -> None:
    config = host_config(watch={"maxWatchers": 2, "heartbeat": 100})
    with live_server(tmp_path, config) as server, api_of(server.api) as api:
        query = {"prefix": "a"}
        with event_stream(api.base, "/watch/prefix", query=query) as first:
            for _ in range(4):
                ping = first.next(pings=True)
                assert ping is not None
                assert (ping.event, ping.data) == ("ping", None)
            with event_stream(api.base, "/watch/prefix", query=query) as second:
                assert second.status == 200
                response = api.send("GET", "/watch?keys=a")
                assert response.status_code == 503
                assert response.json()["code"] == "KEYVAL_TOO_MANY_STREAMS"
                assert "watch.maxWatchers is 2" in response.json()["error"]
            deadline = time.monotonic() + PATIENCE
            while True:  # the server learns that the client is gone
                with event_stream(api.base, "/watch/prefix", query=query) as again:
                    if again.status == 200:
                        break
                assert time.monotonic() < deadline
            api.put("a/1", 1)
            assert change(first) == [(["a", 1], 1)]


@pytest.mark.slow
def test_two_processes_watch_each_other(
    tmp_path: Path, host_config: Callable[..., dict[str, Any]]
) -> None:
    with (
        live_server(tmp_path, host_config()) as first,
        live_server(tmp_path) as second,
        api_of(first.api) as one,
        api_of(second.api) as two,
        event_stream(second.api, "/watch/prefix", query={"prefix": "s"}) as stream,
    ):
        assert stream.chunk() is not None
        one.put("s/a", 1)
        assert change(stream) == [(["s", "a"], 1)]
        two.put("s/b", 2)
        assert change(stream) == [(["s", "b"], 2)]
        one.mutate(*({"type": "set", "key": ["s", n], "value": n} for n in range(100)))
        assert sorted(value for _, value in change(stream)) == list(range(100))
        one.json("DELETE", "/keys/s/a")
        assert change(stream) == [(["s", "a"], None)]
        one.put("s/e", 1, expiresIn=200)
        told = [change(stream)]
        while told[-1] != [(["s", "e"], None)]:  # alone, if the other looks only after its life
            told.append(change(stream))
        assert told[:-1] in ([], [[(["s", "e"], 1)]])

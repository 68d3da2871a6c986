"""Two servers on one database file share one queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.api import Api, api_of
from support.live import live_server
from support.sse import Event, EventStream, event_stream

pytestmark = pytest.mark.slow


class Pair(NamedTuple):
    """The APIs of two processes."""

    one: Api
    two: Api


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("pair")
    with (
        live_server(folder) as first,
        live_server(folder) as second,
        api_of(first.api) as one,
        api_of(second.api) as two,
    ):
        yield Pair(one, two)


def message(stream: EventStream) -> Event:
    event = stream.next()
    assert event is not None
    return event


def test_a_listener_gets_what_the_other_process_enqueues(pair: Pair) -> None:
    with event_stream(pair.two.base, "/queue/listen", query={"prefetch": "1"}) as stream:
        for number in range(5):
            pair.one.json("POST", "/queue/enqueue", {"value": number})
            event = message(stream)
            assert event.data["value"] == number
            pair.two.json("POST", "/queue/ack", {"id": event.id})


def test_acks_in_one_process_free_the_listener_in_the_other(pair: Pair) -> None:
    for number in range(4):
        pair.one.json("POST", "/queue/enqueue", {"value": number})
    with event_stream(pair.two.base, "/queue/listen", query={"prefetch": "1"}) as stream:
        for number in range(4):
            event = message(stream)
            assert event.data["value"] == number
            verb = "ack" if number % 2 else "nack"
            more = {"delay": "1h"} if verb == "nack" else {}
            pair.one.json("POST", f"/queue/{verb}", {"id": event.id, **more})
    assert pair.one.json("GET", "/queue/stats")["processing"] == 0


def test_no_message_is_delivered_twice(pair: Pair) -> None:
    seen: list[str] = []
    with (
        event_stream(pair.one.base, "/queue/listen") as first,
        event_stream(pair.two.base, "/queue/listen") as second,
    ):
        ids = {
            pair.one.json("POST", "/queue/enqueue", {"value": number, "options": {"delay": 50}})[
                "id"
            ]
            for number in range(100)
        }
        for stream in (first, second):
            while True:
                try:
                    event = message_within(stream, 1)
                except TimeoutError:
                    break
                if event.id in ids:
                    seen.append(event.data["id"])
    assert sorted(seen) == sorted(ids)


def message_within(stream: EventStream, seconds: float) -> Event:
    event = stream.next(seconds)
    assert event is not None
    return event

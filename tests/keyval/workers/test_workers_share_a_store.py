"""Workers of one host: what one does, the others show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from support.api import Api
from support.live import LiveServer
from support.sse import Event, EventStream, event_stream
from support.workers import connect_to


@contextmanager
def stream_at(server: LiveServer, worker: int, path: str, **query: Any) -> Iterator[EventStream]:
    """An event stream from one worker."""
    connection = connect_to(server, worker)
    with event_stream(server.api, path, query=query, connection=connection) as stream:
        assert stream.status == 200
        yield stream


def event_of(stream: EventStream) -> Event:
    event = stream.next()
    assert event is not None
    return event


def values(event: Event) -> dict[str, Any]:
    return {"/".join(map(str, entry["key"])): entry["value"] for entry in event.data}


def test_a_write_is_read_from_the_other_at_once(one: Api, two: Api) -> None:
    for number in range(50):
        one.put("ping", number)
        assert two.value("ping") == number
        two.put("pong", number)
        assert one.value("pong") == number


def test_increments_of_both_are_all_counted(one: Api, two: Api) -> None:
    def count(api: Api) -> None:
        for _ in range(100):
            assert api.mutate({"type": "sum", "key": ["n"], "value": 1})["ok"]

    with ThreadPoolExecutor() as threads:
        list(threads.map(count, (one, two)))
    assert one.value("n") == two.value("n") == 200


def test_a_watch_shows_what_the_other_writes(server: LiveServer, one: Api) -> None:
    with stream_at(server, 1, "/watch", keys="w/a,w/b") as stream:
        assert values(event_of(stream)) == {"w/a": None, "w/b": None}
        for number in range(30):
            one.put("w/a", number)
            assert values(event_of(stream)) == {"w/a": number}
        one.mutate(
            {"type": "set", "key": ["w", "a"], "value": "both"},
            {"type": "set", "key": ["w", "b"], "value": "both"},
        )
        assert values(event_of(stream)) == {"w/a": "both", "w/b": "both"}
        one.json("DELETE", "/keys/w")
        assert values(event_of(stream)) == {"w/a": None, "w/b": None}
        one.put("w/b", "soon gone", expiresIn=1500)  # long enough to be told on a busy machine
        assert values(event_of(stream)) == {"w/b": "soon gone"}
        assert values(event_of(stream)) == {"w/b": None}


def test_watches_follow_both_under_load(server: LiveServer, one: Api, two: Api) -> None:
    def write(api: Api, name: str) -> None:
        for number in range(300):
            api.put(f"load/{name}", number)

    with (
        stream_at(server, 0, "/watch/prefix", prefix="load") as first,
        stream_at(server, 1, "/watch/prefix", prefix="load") as second,
        ThreadPoolExecutor() as threads,
    ):
        list(threads.map(write, (one, two), ("one", "two")))
        for stream in (first, second):
            seen: dict[str, Any] = {}
            while seen != {"load/one": 299, "load/two": 299}:
                for key, value in values(event_of(stream)).items():
                    assert value >= seen.get(key, 0)  # never back
                    seen[key] = value


def test_a_listener_gets_what_the_other_enqueues(server: LiveServer, one: Api, two: Api) -> None:
    with stream_at(server, 1, "/queue/listen", prefetch="1") as stream:
        for number in range(20):
            one.json("POST", "/queue/enqueue", {"value": number})
            event = event_of(stream)
            assert event.data["value"] == number
            # Who settles it makes no difference either.
            api = one if number % 2 else two
            api.json("POST", "/queue/ack", {"id": event.id})
        one.mutate({"type": "enqueue", "value": "in a commit"})
        event = event_of(stream)
        assert event.data["value"] == "in a commit"
        two.json("POST", "/queue/ack", {"id": event.id})
        assert one.json("GET", "/queue/stats") == two.json("GET", "/queue/stats")
    queue_is_empty(one)


def test_order_and_prefetch_over_two_workers(server: LiveServer, one: Api, two: Api) -> None:
    with (
        stream_at(server, 0, "/queue/listen", prefetch="2") as first,
        stream_at(server, 1, "/queue/listen", prefetch="2") as second,
    ):
        ids = [one.json("POST", "/queue/enqueue", {"value": n})["id"] for n in range(12)]
        seen: list[int] = []
        held: dict[str, list[str]] = {"first": [], "second": []}
        for name, stream in (("first", first), ("second", second)) * 2:
            event = event_of(stream)
            seen.append(event.data["value"])
            held[name].append(str(event.id))
        assert sorted(seen) == [0, 1, 2, 3]  # four at a time, and these
        assert one.json("GET", "/queue/stats")["processing"] == 4
        for number in range(4, 12):
            name, stream, api = (("first", first, two), ("second", second, one))[number % 2]
            api.json("POST", "/queue/ack", {"id": held[name].pop(0)})
            event = event_of(stream)
            assert event.data["value"] == number
            held[name].append(str(event.id))
        for id_ in ids:
            one.json("POST", "/queue/ack", {"id": id_})
    queue_is_empty(two)


def test_every_message_is_delivered_once(server: LiveServer, one: Api, two: Api) -> None:
    def enqueue(api: Api) -> set[str]:
        return {api.json("POST", "/queue/enqueue", {"value": n})["id"] for n in range(100)}

    with (
        stream_at(server, 0, "/queue/listen") as first,
        stream_at(server, 1, "/queue/listen") as second,
        ThreadPoolExecutor() as threads,
    ):
        sent = set().union(*threads.map(enqueue, (one, two)))
        seen: list[str] = []
        for stream in (first, second):
            while len(seen) < len(sent):
                try:
                    event = stream.next(0.5)
                except TimeoutError:
                    break
                assert event is not None
                seen.append(event.data["id"])
    assert sorted(seen) == sorted(sent)
    for id_ in seen:
        one.json("POST", "/queue/ack", {"id": id_})
    queue_is_empty(one)


def test_an_index_of_one_answers_in_the_other(one: Api, two: Api) -> None:
    one.put("docs/1", {"text": "hello workers"})
    one.json("POST", "/indexes", {"prefix": ["docs"], "options": {"fields": ["text"]}})
    two.put("docs/2", {"text": "workers of the world"})
    for api in (one, two):
        found = api.json("POST", "/search", {"prefix": ["docs"], "query": "workers"})
        assert len(found) == 2


def queue_is_empty(api: Api) -> None:
    assert api.json("GET", "/queue/stats") == {"dlq": 0, "pending": 0, "processing": 0, "total": 0}

"""`GET /queue/listen`: the bytes, the prefetch, the end of a connection."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from buntime_plugin_keyval.features.queue.http import PACKET_BYTES
from support.api import Api, api_of
from support.live import DEFAULT_PLUGINS, live_server
from support.sse import Event, EventStream, event_stream
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

FRAME = re.compile(rb"event: message\ndata: (\{.*\})\nid: ([0-9a-f-]{36})\n\n")


def enqueue(api: Api, value: Any, **options: Any) -> str:
    return str(api.json("POST", "/queue/enqueue", {"value": value, "options": options})["id"])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def stats_become(api: Api, **wanted: int) -> None:
    wait_for(lambda: wanted.items() <= api.json("GET", "/queue/stats").items())


def message(stream: EventStream, timeout: float = PATIENCE) -> Event:
    event = stream.next(timeout)
    assert event is not None
    assert event.event == "message"
    assert event.id == event.data["id"]
    return event


def test_frames_are_in_single_writes_with_bare_line_feeds(api: Api) -> None:
    """Short ones that are there together share one, which is not larger than a packet."""
    texts = ["line\nbreak\r\n", "ä" * 100, "😀" * 100, "x" * 1000, "x" * 5000]
    for number in range(60):
        text = texts[0] if number < 30 else texts[number % len(texts)]
        enqueue(api, {"n": number, "text": text})
    with event_stream(api.base, "/queue/listen", query={"lease": "true"}) as stream:
        for _ in range(60):
            message(stream)
        chunks = stream.chunks
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["connection"] == "keep-alive"
    assert chunks[0] == b"event: ping\ndata: \n\n"
    numbers = []
    for chunk in chunks:
        if chunk != chunks[0]:
            frames = FRAME.findall(chunk)
            assert len(frames) == 1 or len(chunk) <= PACKET_BYTES
            assert b"".join(b"event: message\ndata: %b\nid: %b\n\n" % it for it in frames) == chunk
            for data, _ in frames:
                assert list(json.loads(data)) == ["id", "value", "attempts", "lease"]
                numbers.append(json.loads(data)["value"]["n"])
    assert numbers == [*range(60)]
    assert len(numbers) > len(chunks) - chunks.count(chunks[0])
    assert b"\r" not in b"".join(chunks)


def test_a_waiting_listener_is_told_at_once(api: Api) -> None:
    with event_stream(api.base, "/queue/listen") as stream:
        for number in range(5):
            message_id = enqueue(api, number)
            event = message(stream)
            assert event.data == {"id": message_id, "value": number, "attempts": 1}


def test_weakness_16_the_prefetch_waits_for_acks(api: Api) -> None:
    for number in range(5):
        enqueue(api, number)
    with event_stream(api.base, "/queue/listen", query={"prefetch": "2"}) as stream:
        first, second = message(stream), message(stream)
        assert stream.is_quiet(0.3)
        api.json("POST", "/queue/ack", {"id": first.id})
        third = message(stream)
        api.json("POST", f"/queue/nack/{second.id}")
        assert message(stream).data["value"] == 3
        assert third.data["value"] == 2
    # two are unsettled and go back at once, one was nacked, one was never sent
    stats_become(api, pending=4, processing=0)


def test_the_lease_is_sent_on_request(api: Api) -> None:
    enqueue(api, 1)
    query = {"lease": "true", "prefetch": "1"}
    with event_stream(api.base, "/queue/listen", query=query) as stream:
        event = message(stream)
        assert list(event.data) == ["id", "value", "attempts", "lease"]
        stale = {"id": event.id, "lease": "another"}
        assert api.send("POST", "/queue/ack", stale).status_code == 409
        api.json("POST", "/queue/ack", {"id": event.id, "lease": event.data["lease"]})
    stats_become(api, total=0)


def test_weakness_17_a_connection_that_ends_leaves_nothing_behind(api: Api) -> None:
    for _ in range(10):
        with event_stream(api.base, "/queue/listen", query={"prefetch": "5"}) as stream:
            assert stream.status == 200
    stats_become(api, total=0)
    for number in range(3):
        enqueue(api, number)
    with event_stream(api.base, "/queue/listen") as stream:
        assert [message(stream).data["value"] for _ in range(3)] == [0, 1, 2]


def test_a_client_that_does_not_read_holds_nothing_up(api: Api) -> None:
    with event_stream(api.base, "/queue/listen", receive_buffer=4096) as stuck:
        assert stuck.chunk() is not None  # the first ping: it is listening
        for number in range(60):
            enqueue(api, [number, "x" * 200_000])
        seen = set()
        with event_stream(api.base, "/queue/listen") as stream:

            def all_are_sent() -> bool:
                with suppress(TimeoutError):
                    seen.add(message(stream, 0.1).data["value"][0])
                # The buffers of the other connection have the rest: some megabytes, not all.
                return len(seen) >= 30 and api.json("GET", "/queue/stats")["pending"] == 0

            wait_for(all_are_sent)


@pytest.mark.parametrize("prefetch", ["0", "-1", "1001", "many", "", "1.5"])
def test_a_wrong_prefetch_is_400(api: Api, prefetch: str) -> None:
    assert "prefetch must be" in api.error("GET", "/queue/listen", query={"prefetch": prefetch})


def test_head_takes_no_message(api: Api) -> None:
    enqueue(api, 1)
    response = api.send("HEAD", "/queue/listen")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert api.json("GET", "/queue/stats")["pending"] == 1


def test_limit_heartbeat_and_shutdown(tmp_path: Path) -> None:
    options = {"queue": {"maxListeners": 2, "heartbeat": 100}}
    plugins = [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", options]]
    with live_server(tmp_path, {"plugins": plugins}) as server, api_of(server.api) as api:
        streams = [EventStream(api.base, "/queue/listen") for _ in range(2)]
        for stream in streams:
            for _ in range(4):
                assert stream.next(pings=True) == Event("ping", None, None)
        response = api.send("GET", "/queue/listen")
        assert response.status_code == 503
        assert response.json()["code"] == "KEYVAL_TOO_MANY_STREAMS"
        assert "queue.maxListeners is 2" in response.json()["error"]
        streams[0].close()
        wait_for(lambda: api_accepts(api))
        assert server.stop() == 0
        assert streams[1].next() is None
        streams[1].close()


def api_accepts(api: Api) -> bool:
    with event_stream(api.base, "/queue/listen") as stream:
        return stream.status == 200


def test_shutdown_with_a_hundred_streams(tmp_path: Path) -> None:
    config = {"plugins": DEFAULT_PLUGINS, "drainTimeout": "60s", "shutdownTimeout": "120s"}
    with live_server(tmp_path, config) as server:
        with api_of(server.api) as api:
            for number in range(300):
                enqueue(api, number, backoffSchedule=[])
        streams = [
            EventStream(server.api, "/queue/listen", query={"prefetch": "1"}) for _ in range(50)
        ]
        watches = [EventStream(server.api, "/watch", query={"keys": "a"}) for _ in range(50)]
        for stream in (*streams, *watches):
            assert stream.next() is not None
        assert server.stop() == 0  # which waits for less than requests may take
        for stream in (*streams, *watches):
            while stream.next() is not None:
                pass
            stream.close()
        output = server.output
    assert "Cancelling" not in output
    with live_server(tmp_path) as server, api_of(server.api) as api:
        # Each listener had one unsettled message, and that was its last attempt: whoever has it
        # may still say that it is processed.
        found = api.json("GET", "/queue/stats")
        assert found == {"dlq": 0, "pending": 250, "processing": 50, "total": 300}
        assert api.json("GET", "/queue/poll")["message"]["attempts"] == 1


def test_a_message_that_meets_clients_that_leave_comes_to_somebody(tmp_path: Path) -> None:
    """What was not written to anybody does not count; each has one attempt, and is read or left."""
    plugins = [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", {"queue": {"lockDuration": "1s"}}]]
    with live_server(tmp_path, {"plugins": plugins}) as server, api_of(server.api) as api:
        seen: set[str] = set()
        sent: set[str] = set()
        for _ in range(15):
            with ExitStack() as stack:
                opened = [
                    stack.enter_context(
                        event_stream(server.api, "/queue/listen", query={"prefetch": 1})
                    )
                    for _ in range(20)
                ]
                for number in range(20):
                    if number % 2:
                        sent.add(enqueue(api, number, backoffSchedule=[]))
                    opened[number].socket.shutdown(socket.SHUT_WR)
                for stream in opened:
                    with suppress(ConnectionError):  # the end of what was written
                        while (event := stream.next()) is not None:
                            seen.add(str(event.id))

        def nobody_has_one() -> bool:
            one = api.json("GET", "/queue/poll")["message"]
            if one is not None:
                seen.add(one["id"])
                api.json("POST", "/queue/ack", {"id": one["id"]})
            numbers = api.json("GET", "/queue/stats")
            return bool(numbers["total"] == numbers["dlq"])

        wait_for(nobody_has_one)
        assert seen == sent

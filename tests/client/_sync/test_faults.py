# Made by scripts/unasync from _async/test_faults.py: change that one.
"""Bad networks, through a real proxy: nothing is lost, applied twice, or tried in a hot loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    ConnectionLost,
    Kv,
    KvMissing,
    OutcomeUnknown,
    Retries,
    ServerUnreachable,
    ServiceUnavailable,
)
from client._sync.beside import Event, Started, happened, sleep, until
from client.proxy import Proxy, proxy_to
from support.live import LiveServer, live_server

pytestmark = pytest.mark.slow

FAST = Retries(times=5, first_delay="10ms", max_delay="100ms")


@pytest.fixture
def direct(api: str) -> Iterator[Kv]:
    """A client that does not go through the proxy."""
    with Kv(api) as client:
        yield client


@pytest.fixture
def proxy(api: str) -> Iterator[Proxy]:
    with proxy_to(api) as running:
        yield running


@pytest.fixture(params=["own", "httpx2"])
def kv(proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[Kv]:
    """A client behind the proxy, with both of what may send its requests."""
    given = httpx2.HTTPTransport(trust_env=False) if request.param == "httpx2" else None
    with Kv(proxy.api, retries=FAST, timeout="2s", transport=given) as client:
        yield client


@pytest.mark.parametrize("bytes_passed", [0, 10, 150, 400])
def test_a_read_that_is_cut_is_repeated(
    kv: Any, direct: Kv, proxy: Proxy, bytes_passed: int
) -> None:
    direct.set(["a"], "x" * 1000)
    proxy.cut_after = bytes_passed
    assert (kv.get(["a"])).value == "x" * 1000
    proxy.cut_after = bytes_passed
    assert [entry.value for entry in kv.list()] == ["x" * 1000]
    assert proxy.connections == 3


def test_a_read_gives_up_after_bounded_attempts(kv: Any, proxy: Proxy) -> None:
    proxy.cut_always_after = 20
    with pytest.raises(ConnectionLost, match="GET /keys/a"):
        kv.get(["a"])
    assert proxy.connections == 6


WRITES: list[Callable[[Any], Any]] = [
    lambda kv: kv.atomic().sum(["n"], 1).commit(),
    lambda kv: kv.atomic().append(["list"], [1]).commit(),
    lambda kv: kv.atomic().set(["new", kv.uuidv7()], 1).commit(),
    lambda kv: kv.atomic().check(KvMissing(("once",), None, None)).set(["once"], 1).commit(),
    lambda kv: kv.set(["set"], 1),
    lambda kv: kv.enqueue("once"),
    lambda kv: kv.delete(["set"]),
]


@pytest.mark.parametrize("bytes_passed", [0, 30])
def test_a_write_whose_answer_is_lost_is_applied_once_and_told(
    kv: Any, direct: Kv, proxy: Proxy, bytes_passed: int
) -> None:
    kv.count()
    for number, write in enumerate(WRITES, 1):
        proxy.cut_after = bytes_passed
        result = write(kv)
        assert getattr(result, "ok", True)
        assert getattr(result, "deleted_count", 1) == 1
        assert proxy.connections == 1 + number, "one more for each, since it was cut"
    _was_done_once(direct)


def test_without_retries_it_says_so(api: str, direct: Kv, proxy: Proxy) -> None:
    with Kv(proxy.api, retries=0) as kv:
        kv.count()
        for write in WRITES:
            proxy.cut_after = 0
            with pytest.raises(OutcomeUnknown, match="may have been applied") as caught:
                write(kv)
            assert caught.value.request_id
    _was_done_once(direct)


def test_a_transaction_whose_answer_is_lost_runs_once(kv: Any, direct: Kv, proxy: Proxy) -> None:
    """It must not read as a conflict, so that the function runs again."""
    runs: list[Any] = []

    def add(tx: Any) -> None:
        before = (tx.get(["n"])).value or 0
        runs.append(before)
        tx.set(["n"], before + 1)
        proxy.cut_after = 0

    result = kv.transaction(add, max_retries=5)
    assert result.ok
    assert runs == [0]
    assert (direct.get(["n"])).value == 1
    assert (direct.get(["n"])).versionstamp == result.versionstamp


def _was_done_once(direct: Kv) -> None:
    assert (direct.get(["n"])).value == 1
    assert (direct.get(["list"])).value == [1]
    assert direct.count(["new"]) == 1
    assert (direct.get(["once"])).value == 1
    assert not (direct.get(["set"])).exists
    assert (direct.queue_stats()).total == 1


def test_writes_wait_for_a_server_that_refuses_connections(
    kv: Any, direct: Kv, proxy: Proxy
) -> None:
    kv.count()
    proxy.refuse()
    writing = Started(lambda: kv.atomic().sum(["n"], 1).commit())
    sleep(0.05)
    proxy.start()
    assert (writing.result()).ok
    assert (direct.get(["n"])).value == 1
    proxy.refuse()
    with pytest.raises(ServerUnreachable):
        kv.set(["n"], 2)


def test_connections_that_died_while_idle_are_noticed(kv: Any, direct: Kv, proxy: Proxy) -> None:
    for _ in range(5):
        kv.atomic().sum(["n"], 1).commit()
        proxy.cut()
    assert (direct.get(["n"])).value == 5


def test_503_for_a_while(kv: Any, direct: Kv, proxy: Proxy) -> None:
    proxy.unavailable()  # the server says that nothing was written
    writing = Started(lambda: kv.atomic().sum(["n"], 1).commit())
    reading = Started(lambda: kv.get(["x"]))
    until(lambda: proxy.connections >= 4)
    proxy.canned = None
    assert (writing.result()).ok
    assert not (reading.result()).exists
    assert (direct.get(["n"])).value == 1


def test_503_of_nobody_knows_whom_is_repeated_with_the_same_key(kv: Any, proxy: Proxy) -> None:
    proxy.unavailable(b"<h1>Busy</h1>")
    with pytest.raises(ServiceUnavailable):
        kv.set(["n"], 1)
    assert proxy.connections == 6
    with pytest.raises(ServiceUnavailable):
        kv.dequeue()
    assert proxy.connections == 7
    with pytest.raises(ServiceUnavailable):
        kv.get(["n"])
    assert proxy.connections == 13


def test_slow_answers(proxy: Proxy, direct: Kv) -> None:
    direct.set(["a"], "x" * 300)
    with Kv(proxy.api, timeout="150ms", retries=FAST) as kv:
        proxy.piece = 1
        assert (kv.get(["a"])).value == "x" * 300
        proxy.piece = None
        proxy.delay = 0.4
        writing = Started(lambda: kv.atomic().sum(["n"], 1).commit())
        reading = Started(lambda: kv.get(["a"]))
        until(lambda: proxy.connections >= 4)
        proxy.delay = 0.0
        assert (writing.result()).ok
        assert (reading.result()).exists
    assert (direct.get(["n"])).value == 1


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("emit_initial", [False, True])
def test_a_watch_goes_on_without_a_gap(
    kv: Any, direct: Kv, proxy: Proxy, exact: bool, emit_initial: bool
) -> None:
    """Cut between events, in the middle of a frame, and with pieces of single bytes."""
    direct.set(["p", 0], "old")
    keys = [["p", number] for number in range(200)] if exact else ["p"]
    seen: list[Any] = []
    errors: list[Exception] = []

    def hear(entries: list[Any]) -> None:
        seen.extend(entry.value for entry in entries if entry.exists)

    options = {"exact": exact, "emit_initial": emit_initial, "on_error": errors.append}
    watch = kv.watch(keys, hear, **options)
    if emit_initial:
        until(lambda: seen == ["old"])
    else:
        until(lambda: proxy.connections >= 1)
        sleep(0.15)
    seen.clear()
    expected = []
    for number in range(1, 21):
        if number % 10 == 3:
            proxy.cut_after = 40 + number  # within the next event
        elif number % 10 == 6:
            proxy.cut()
        elif number % 10 == 8:
            proxy.piece = 1 if number < 20 else None
        direct.set(["p", number], number)
        expected.append(number)
        if number % 5 == 0:
            until(lambda: set(expected) <= set(seen))
    until(lambda: set(expected) <= set(seen))
    assert seen == expected, "each change once, in order"
    assert errors
    assert proxy.connections < 25
    watch.stop()


def test_reconnecting_is_never_a_hot_loop(kv: Any, proxy: Proxy) -> None:
    errors: list[Exception] = []
    with kv.watch(["p"], lambda entries: None, on_error=errors.append):
        until(lambda: proxy.connections)
        for spoil in ("refuse", "503", "clean end", "cut"):
            before = proxy.connections
            if spoil == "503":
                proxy.unavailable()
            elif spoil == "clean end":
                end = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                proxy.canned = end + b"content-length: 0\r\n\r\n"
            elif spoil == "cut":
                proxy.canned, proxy.cut_always_after = None, 5
            if spoil == "refuse":
                proxy.refuse()
            else:
                proxy.cut()
            sleep(0.6)
            assert proxy.connections - before <= 6, spoil
            if spoil == "refuse":
                proxy.start()
    assert errors
    before = proxy.connections
    sleep(0.3)
    assert proxy.connections == before, "a stopped watch stays stopped"


def test_a_watch_that_its_own_on_error_stops_does_not_go_on(kv: Any, proxy: Proxy) -> None:
    stopped = Event()
    watches: list[Any] = []

    def on_error(error: Exception) -> None:
        watches[0].stop()
        stopped.set()

    watches.append(kv.watch(["p"], on_error=on_error))
    until(lambda: proxy.connections)
    proxy.unavailable()
    proxy.cut()
    happened(stopped)
    before = proxy.connections
    sleep(0.5)  # a few of its pauses
    assert proxy.connections == before


@pytest.mark.parametrize("mode", ["sse", "polling"])
def test_a_listener_loses_nothing(kv: Any, direct: Kv, proxy: Proxy, mode: str) -> None:
    handled: list[Any] = []
    options = {"mode": mode, "poll_interval": "20ms", "on_error": lambda error: None}

    def handler(message: Any) -> None:
        handled.append(message.value)

    with kv.listen_queue(handler, **options):
        for number in range(30):
            if number % 10 == 3:
                proxy.cut_after = 60  # within a frame, an answer, or an acknowledgement
            elif number % 10 == 7:
                proxy.cut()
            direct.enqueue(number, backoff_schedule=[1] * 10)
            if number % 6 == 0:
                until(lambda: set(range(number + 1)) <= set(handled))  # noqa: B023

        def drained() -> bool:
            return (direct.queue_stats()).total == 0

        until(drained, 15)
    assert set(handled) == set(range(30))
    assert len(handled) == 30, "acknowledgements are repeated, messages that came again are known"
    assert (direct.queue_stats()).dlq == 0


def test_a_message_in_work_is_not_started_again(kv: Any, direct: Kv, proxy: Proxy) -> None:
    finish = Event()
    started: list[int] = []

    def handler(message: Any) -> None:
        started.append(message.attempts)
        happened(finish)

    with kv.listen_queue(handler, on_error=lambda error: None):
        direct.enqueue("x")
        until(lambda: started)
        connections = proxy.connections
        proxy.cut()
        until(lambda: proxy.connections > connections)
        sleep(0.3)  # it is delivered again
        finish.set()

        def drained() -> bool:
            return (direct.queue_stats()).total == 0

        until(drained)
    assert started == [1]


def test_everything_goes_on_after_a_restart(tmp_path: Path) -> None:
    with live_server(tmp_path) as first, proxy_to(first.api) as proxy:
        _over_a_restart(first, proxy, tmp_path)


def _over_a_restart(first: LiveServer, proxy: Proxy, tmp_path: Path) -> None:
    with Kv(proxy.api, retries=FAST) as kv:
        seen: list[Any] = []
        handled: list[Any] = []
        kv.set(["p", 0], 0)
        quiet: dict[str, Any] = {"on_error": lambda error: None}
        kv.watch(["p"], lambda entries: seen.extend(e.value for e in entries), **quiet)
        kv.listen_queue(lambda message: handled.append(message.value), **quiet)
        kv.enqueue("before")
        until(lambda: seen == [0] and handled == ["before"])
        first.stop()
        reading = Started(lambda: _patiently(kv))
        with live_server(tmp_path) as second:
            with Kv(second.api) as direct:
                direct.set(["p", 1], 1)  # while the watch is away
                direct.enqueue("meanwhile")
            connections = proxy.connections
            proxy.retarget(second.api)
            assert reading.result() == 0
            kv.set(["p", 2], 2)
            until(lambda: seen == [0, 1, 2] and handled == ["before", "meanwhile"])
            assert proxy.connections - connections < 10


def _patiently(kv: Kv) -> Any:
    while True:
        try:
            return (kv.get(["p", 0])).value
        except (ConnectionLost, ServerUnreachable):
            sleep(0.05)

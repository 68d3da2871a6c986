# Made by scripts/unasync from _async/test_queue.py: change that one.
"""The queue, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput, Kv, NotFound, QueueStats, StaleLease
from client._sync.beside import Event, Started, happened, running, until

MODES = pytest.mark.parametrize("mode", ["sse", "polling"])


def empty(kv: Any) -> bool:
    return bool((kv.queue_stats()).total == 0)


def is_pending(kv: Any) -> bool:
    return bool((kv.queue_stats()).pending == 1)


def emptied(kv: Any) -> bool:
    """Whether there is nothing any more, not even what other tests leased and left."""
    while (message := kv.dequeue()) is not None:
        kv.ack_message(message)
    kv.dlq.purge()
    return empty(kv)


def test_messages_by_hand(kv: Any) -> None:
    value = {"big": 2**60, "at": kv.now(), "bytes": b"x"}
    sent = kv.enqueue(value, delay=0, backoff_schedule=["10ms", 20])
    assert sent.ok
    message = kv.dequeue()
    assert (message.id, message.attempts) == (sent.id, 1)
    assert message.value["big"] == 2**60
    assert message.value["bytes"] == b"x"
    assert isinstance(message.value["at"], int)
    assert kv.dequeue() is None
    assert kv.queue_stats() == QueueStats(pending=0, processing=1, dlq=0, total=1)
    kv.nack_message(message.id, "once more", delay="1ms", lease=message.lease)
    again: list[Any] = []

    def redelivered() -> bool:
        again.append(kv.dequeue())
        return again[-1] is not None

    until(redelivered)
    assert again[-1].attempts == 2
    kv.ack_message(sent.id)
    kv.ack_message(sent.id)  # an unknown id is fine
    assert empty(kv)
    for wrong in ("-1s", "soon"):
        with pytest.raises(InvalidInput):
            kv.enqueue(1, delay=wrong)
    with pytest.raises(InvalidInput):
        kv.ack_message("")


def test_a_lease_is_prolonged_by_hand(kv: Any) -> None:
    sent = kv.enqueue(1, backoff_schedule=[0])
    message = kv.dequeue()
    kv.extend_message(message.id)
    kv.extend_message(message.id, "1ms", lease=message.lease)
    again: list[Any] = []

    def redelivered() -> bool:
        again.append(kv.dequeue())
        return again[-1] is not None

    until(redelivered)
    with pytest.raises(StaleLease):
        kv.extend_message(message.id, lease=message.lease)
    with pytest.raises(InvalidInput, match="duration"):
        kv.extend_message(message.id, 0)
    kv.ack_message(sent.id)
    with pytest.raises(StaleLease):
        kv.extend_message(sent.id)


@pytest.mark.slow
@MODES
def test_a_delivery_is_prolonged(kv: Any, mode: str) -> None:
    """The lock of the server is a second; the message stays here until the next one came."""
    seen: list[tuple[Any, int]] = []

    def handler(message: Any) -> None:
        seen.append((message.value, message.attempts))
        if message.value == "slow":
            message.extend("1h")
            until(lambda: ("later", 1) in seen)

    options = {"mode": mode, "poll_interval": "20ms", "concurrency": 2}
    with kv.listen_queue(handler, **options):
        kv.enqueue("slow", backoff_schedule=[0])
        kv.enqueue("later", delay="1500ms")
        until(lambda: empty(kv))
    assert seen == [("slow", 1), ("later", 1)]


@MODES
def test_a_handler_settles_by_what_it_does(kv: Any, mode: str) -> None:
    seen: list[Any] = []
    errors: list[Exception] = []

    def handler(message: Any) -> None:
        seen.append((message.value, message.attempts))
        if message.value == "bad" and message.attempts == 1:
            raise ValueError("not yet")

    options = {"mode": mode, "poll_interval": "20ms", "on_error": errors.append}
    listener = kv.listen_queue(handler, **options)
    for value in ("good", "bad", "last"):
        kv.enqueue(value, backoff_schedule=["10ms"])
    until(lambda: empty(kv))
    assert sorted(seen) == [("bad", 1), ("bad", 2), ("good", 1), ("last", 1)]
    assert [str(error) for error in errors] == ["not yet"]
    assert not listener.closed
    listener.stop()
    assert listener.closed
    kv.enqueue("after")
    # A poll that was under way may still take it, for nobody: then it is given back.
    until(lambda: is_pending(kv))


@MODES
def test_iterating(kv: Any, mode: str) -> None:
    for number in range(3):
        kv.enqueue(number)
    seen = []
    with kv.listen_queue(mode=mode, poll_interval="20ms") as messages:
        for message in messages:
            seen.append(message.value)
            if len(seen) == 3:
                break
    assert seen == [0, 1, 2]
    assert empty(kv)  # leaving the block acknowledged the last one


def test_an_exception_in_the_block_gives_the_message_back(kv: Any) -> None:
    kv.enqueue("x", backoff_schedule=["50ms"] * 5)

    def broken() -> None:
        with kv.listen_queue() as messages:
            for _ in messages:
                raise KeyError

    with pytest.raises(KeyError):
        broken()
    with kv.listen_queue() as messages:
        for message in messages:
            assert message.attempts >= 2
            break
    assert empty(kv)


def test_settling_by_hand_with_several_at_a_time(kv: Any) -> None:
    for number in range(4):
        kv.enqueue(number, backoff_schedule=["1ms"] * 5)
    with pytest.raises(InvalidInput, match="auto_ack"):
        kv.listen_queue(concurrency=2)
    seen: list[Any] = []
    with kv.listen_queue(auto_ack=False, concurrency=2) as messages:
        held = []
        for message in messages:
            seen.append((message.value, message.attempts))
            held.append(message)
            if len(held) == 2:
                held.pop(0).ack()
                second = held.pop()
                (second.nack("no") if second.attempts == 1 else second.ack())
            if empty(kv):
                break
            if len(seen) > 20:
                break
    assert sorted({value for value, _ in seen}) == [0, 1, 2, 3]


def test_handlers_run_side_by_side_up_to_the_limit(kv: Any) -> None:
    running: set[Any] = set()
    peaks: list[int] = []
    done: list[Any] = []
    full = Event()

    def handler(message: Any) -> None:
        running.add(message.id)
        peaks.append(len(running))
        if len(running) == 3:
            full.set()
        happened(full)
        running.remove(message.id)
        done.append(message.value)

    with kv.listen_queue(handler, concurrency=3):
        for number in range(9):
            kv.enqueue(number)
        until(lambda: len(done) == 9)
    assert max(peaks) == 3


def test_stopping_lets_a_running_handler_finish(kv: Any) -> None:
    started, finish = Event(), Event()

    def handler(message: Any) -> None:
        started.set()
        happened(finish)

    listener = kv.listen_queue(handler)
    kv.enqueue("x")
    happened(started)
    stopping = Started(listener.stop)
    until(lambda: listener.closed)
    assert not stopping.done
    finish.set()
    stopping.result()
    assert empty(kv)


def test_dead_letters(kv: Any) -> None:
    def handler(message: Any) -> None:
        raise RuntimeError(f"cannot {message.value['n']}")

    with kv.listen_queue(handler, on_error=lambda error: None):
        for number in range(3):
            value = {"n": number, "big": 2**60}
            kv.enqueue(value, backoff_schedule=[], keys_if_undelivered=[["lost", number]])

        def all_dead() -> bool:
            return bool((kv.queue_stats()).dlq == 3)

        until(all_dead)
    letters = kv.dlq.list(limit=2)
    assert [letter.error_message for letter in letters] == [
        "RuntimeError: cannot 2",
        "RuntimeError: cannot 1",
    ]
    assert (kv.dlq.list(offset=2))[0].value == {"n": 0, "big": 2**60}
    letter = letters[0]
    assert kv.dlq.get(letter.id) == letter
    assert kv.dlq.get("unknown") is None
    assert letter.attempts == 1
    assert letter.original_created_at <= letter.failed_at
    assert (kv.get(["lost", 2])).value == letter.value
    again = kv.dlq.requeue(letter.id)
    message = kv.dequeue()
    assert (message.id, message.value) == (again.id, letter.value)
    kv.ack_message(message.id)
    with pytest.raises(NotFound):
        kv.dlq.requeue(letter.id)
    kv.dlq.delete(letters[1].id)
    kv.dlq.delete(letters[1].id)
    assert (kv.dlq.purge()).deleted_count == 1


@MODES
def test_named_queues(kv: Any, mode: str) -> None:
    name = f"e-mails & ä/{mode}"
    kv.enqueue("low", queue=name, priority=-1)
    kv.enqueue("high", queue=name, backoff_schedule=[])
    assert kv.queue_stats(name) == QueueStats(pending=2, processing=0, dlq=0, total=2)
    message = kv.dequeue(name)
    assert (message.value, message.queue) == ("high", name)
    kv.extend_message(message)
    kv.nack_message(message, "no")
    message = kv.dequeue(name)
    kv.release_message(message)
    got: list[Any] = []
    listener = kv.listen_queue(
        lambda message: got.append(message.value), queue=name, mode=mode, poll_interval="5ms"
    )
    kv.atomic().enqueue("in a commit", queue=name, priority=-2).commit()

    def done() -> bool:
        return (kv.queue_stats(name)).pending == 0 and len(got) == 2

    until(done)
    listener.stop()
    assert got == ["low", "in a commit"]
    letters = kv.dlq.of(name)
    (letter,) = letters.list()
    assert (letter.value, letter.queue, letter.error_message) == ("high", name, "no")
    assert letters.get(letter.id) == letter
    assert kv.dlq.of("another").get(letter.id) is None
    with pytest.raises(NotFound):
        kv.dlq.of("another").requeue(letter.id)
    letters.requeue(letter.id)
    kv.ack_message(kv.dequeue(name))
    assert (letters.purge()).deleted_count == 0
    assert kv.queue_stats(name) == QueueStats(pending=0, processing=0, dlq=0, total=0)
    with pytest.raises(InvalidInput):
        kv.dequeue("a\n")


def test_closing_the_client_stops_its_listeners(kv: Any) -> None:
    listener = kv.listen_queue(lambda message: None)
    watch = kv.watch(["x"], lambda entries: None)
    kv.close()
    assert listener.closed
    assert watch.closed


def test_handlers_that_are_late_do_not_keep_their_messages(api: str) -> None:
    with Kv(api) as kv:
        started, go_on = Event(), Event()

        def handler(message: Any) -> None:
            started.set()
            happened(go_on)

        listener = kv.listen_queue(handler)
        kv.enqueue("x")
        happened(started)
        listener.stop(timeout=0.01)
        until(lambda: _redelivered(kv))
        go_on.set()


def _redelivered(kv: Any) -> bool:
    message = kv.dequeue()
    return message is not None and message.attempts >= 2


@pytest.mark.slow
def test_stopping_costs_no_attempt(kv: Any) -> None:
    """Each acknowledgement of a listener that stops would bring it another message."""
    running: list[Any] = []
    done: list[Any] = []
    go_on = Event()

    def handler(message: Any) -> None:
        running.append(message.value)
        happened(go_on)
        done.append(message.value)

    until(lambda: emptied(kv))
    for number in range(12):
        kv.enqueue(number, backoff_schedule=[])
    listener = kv.listen_queue(handler, concurrency=3)
    until(lambda: len(running) == 3)
    stopping = Started(listener.stop)
    until(lambda: listener.closed)
    go_on.set()
    stopping.result()
    assert sorted(done) == [0, 1, 2]
    left: dict[Any, int] = {}

    def all_there() -> bool:
        message = kv.dequeue()
        if message is not None:
            left[message.value] = message.attempts
            kv.ack_message(message)
        return len(left) == 9

    until(all_there)
    assert left == dict.fromkeys(range(3, 12), 1)
    assert kv.dlq.list() == []


def test_what_was_not_begun_with_goes_back_untouched(kv: Any) -> None:
    until(lambda: emptied(kv))
    for number in range(4):
        kv.enqueue(number, backoff_schedule=[])
    with kv.listen_queue(auto_ack=False, concurrency=4) as messages:
        for message in messages:  # the others wait
            message.ack()
            break
        until(lambda: at_server(kv, pending=0, processing=3))
    until(lambda: at_server(kv, pending=3, processing=0))
    for number in (1, 2, 3):
        again = kv.dequeue()
        assert (again.value, again.attempts) == (number, 1)
        kv.release_message(again)
        again = kv.dequeue()
        assert (again.value, again.attempts) == (number, 1)
        kv.ack_message(again.id, lease=again.lease)


def at_server(kv: Any, *, pending: int, processing: int) -> bool:
    stats = kv.queue_stats()
    return bool((stats.pending, stats.processing, stats.dlq) == (pending, processing, 0))


@MODES
def test_a_listener_that_nobody_has_any_more_gives_its_messages_back(kv: Any, mode: str) -> None:
    before = running("kv-queue")
    listener = kv.listen_queue(mode=mode, auto_ack=False, concurrency=2)
    kv.enqueue("one")
    kv.enqueue("two")
    delivery = next(listener)
    assert running("kv-queue") == before + 1
    del listener
    until(lambda: running("kv-queue") == before)
    delivery.ack()  # it is processed all the same
    with kv.listen_queue(mode=mode) as others:
        other = next(others)
    assert {delivery.value, other.value} == {"one", "two"}


def test_a_listener_with_a_handler_goes_on_without_its_handle(kv: Any) -> None:
    heard: list[Any] = []
    kv.listen_queue(lambda delivery: heard.append(delivery.value))
    kv.enqueue("one")
    until(lambda: heard == ["one"])
    kv.enqueue("two")
    until(lambda: heard == ["one", "two"])

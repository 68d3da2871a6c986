# Made by scripts/unasync from _async/test_queues.py: change that one.
"""One queue with messages of one type, and queues as such, against a live server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from buntime_keyval import InvalidInput, InvalidValue, QueueOptions, QueueRate, QueueStats
from client._sync.beside import until


class Mail(msgspec.Struct):
    to: str
    size: int = 0


def test_messages_have_a_type(kv: Any) -> None:
    mails = kv.queue("mails & more", Mail)
    mails.enqueue(Mail("ada"), priority=-1)
    mails.enqueue(Mail("bob", 7), backoff_schedule=[])
    message = mails.dequeue()
    assert (message.value, message.queue) == (Mail("bob", 7), "mails & more")
    kv.ack_message(message)
    with pytest.raises(InvalidValue, match="not of type Mail"):
        mails.enqueue({"to": 7})
    got: list[Mail] = []
    listener = mails.listen(lambda message: got.append(message.value))

    def arrived() -> bool:
        return got == [Mail("ada")]

    until(arrived)
    listener.stop()
    assert mails.stats() == QueueStats(pending=0, processing=0, dlq=0, total=0)


def test_what_has_another_type_becomes_a_dead_letter(kv: Any) -> None:
    mails = kv.queue("letters", Mail)
    kv.enqueue({"to": 7}, queue="letters")
    with pytest.raises(InvalidValue, match="not of type Mail"):
        mails.dequeue()
    kv.queues.purge("letters")
    kv.enqueue({"to": 7}, queue="letters", backoff_schedule=[])
    kv.enqueue({"to": "ada"}, queue="letters")
    errors: list[Exception] = []
    got: list[Mail] = []
    listener = mails.listen(lambda message: got.append(message.value), on_error=errors.append)

    def arrived() -> bool:
        return bool(got and kv.dlq.of("letters").list())

    until(arrived)
    listener.stop()
    assert got == [Mail("ada")]
    assert [type(error) for error in errors] == [InvalidValue]
    (letter,) = kv.dlq.of("letters").list()
    assert "The message is not of type Mail" in letter.error_message
    kv.dlq.of("letters").purge()


def test_a_queue_without_a_type_takes_anything(kv: Any) -> None:
    anything = kv.queue("anything")
    anything.enqueue([1, {"a": None}], id="one")
    anything.enqueue("another", id="one")
    message = anything.dequeue()
    assert (message.id, message.value) == ("one", [1, {"a": None}])
    kv.ack_message(message)
    assert anything.dequeue() is None
    with pytest.raises(InvalidInput):
        kv.queue("a\n")


def test_queues_as_such(kv: Any) -> None:
    queues, name = kv.queues, "work ä&"
    for number in range(5):
        kv.enqueue({"n": number, "big": 2**60}, queue=name, priority=number % 2)
    (first,) = queues.peek(name)
    assert (first.value, first.queue, first.state) == ({"n": 1, "big": 2**60}, name, "ready")
    found, cursor = [], None
    while True:
        page = queues.paginate(name, cursor=cursor, limit=2)
        found += [message.value["n"] for message in page.messages]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == list(range(5))
    queues.pause(name)
    assert kv.dequeue(name) is None
    assert {it.queue: it.paused for it in queues.list()}[name]
    queues.set_options(name, lease="1m", backoff_schedule=[5], max_running=1, rate=(9, "1h"))
    expected = QueueOptions(True, 60_000, [5], 1, QueueRate(9, 3_600_000))
    assert queues.options(name) == expected
    queues.resume(name)
    assert kv.dequeue(name) is not None
    assert kv.dequeue(name) is None
    assert (queues.purge(name)).deleted_count == 5
    queues.set_options(name)
    assert queues.options(name) == QueueOptions()
    for wrong in ({"rate": 5}, {"max_running": 0}, {"lease": 5}, {"backoff_schedule": "1s"}):
        with pytest.raises(InvalidInput):
            queues.set_options(name, **wrong)

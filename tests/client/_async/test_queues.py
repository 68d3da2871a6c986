"""One queue with messages of one type, and queues as such, against a live server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from buntime_keyval import InvalidInput, InvalidValue, QueueOptions, QueueRate, QueueStats
from client._async.beside import until


class Mail(msgspec.Struct):
    to: str
    size: int = 0


async def test_messages_have_a_type(kv: Any) -> None:
    mails = kv.queue("mails & more", Mail)
    await mails.enqueue(Mail("ada"), priority=-1)
    await mails.enqueue(Mail("bob", 7), backoff_schedule=[])
    message = await mails.dequeue()
    assert (message.value, message.queue) == (Mail("bob", 7), "mails & more")
    await kv.ack_message(message)
    with pytest.raises(InvalidValue, match="not of type Mail"):
        await mails.enqueue({"to": 7})
    got: list[Mail] = []
    listener = mails.listen(lambda message: got.append(message.value))

    async def arrived() -> bool:
        return got == [Mail("ada")]

    await until(arrived)
    await listener.stop()
    assert await mails.stats() == QueueStats(pending=0, processing=0, dlq=0, total=0)


async def test_what_has_another_type_becomes_a_dead_letter(kv: Any) -> None:
    mails = kv.queue("letters", Mail)
    await kv.enqueue({"to": 7}, queue="letters")
    with pytest.raises(InvalidValue, match="not of type Mail"):
        await mails.dequeue()
    await kv.queues.purge("letters")
    await kv.enqueue({"to": 7}, queue="letters", backoff_schedule=[])
    await kv.enqueue({"to": "ada"}, queue="letters")
    errors: list[Exception] = []
    got: list[Mail] = []
    listener = mails.listen(lambda message: got.append(message.value), on_error=errors.append)

    async def arrived() -> bool:
        return bool(got and await kv.dlq.of("letters").list())

    await until(arrived)
    await listener.stop()
    assert got == [Mail("ada")]
    assert [type(error) for error in errors] == [InvalidValue]
    (letter,) = await kv.dlq.of("letters").list()
    assert "The message is not of type Mail" in letter.error_message
    await kv.dlq.of("letters").purge()


async def test_a_queue_without_a_type_takes_anything(kv: Any) -> None:
    anything = kv.queue("anything")
    await anything.enqueue([1, {"a": None}], id="one")
    await anything.enqueue("another", id="one")
    message = await anything.dequeue()
    assert (message.id, message.value) == ("one", [1, {"a": None}])
    await kv.ack_message(message)
    assert await anything.dequeue() is None
    with pytest.raises(InvalidInput):
        kv.queue("a\n")


async def test_queues_as_such(kv: Any) -> None:
    queues, name = kv.queues, "work ä&"
    for number in range(5):
        await kv.enqueue({"n": number, "big": 2**60}, queue=name, priority=number % 2)
    (first,) = await queues.peek(name)
    assert (first.value, first.queue, first.state) == ({"n": 1, "big": 2**60}, name, "ready")
    found, cursor = [], None
    while True:
        page = await queues.paginate(name, cursor=cursor, limit=2)
        found += [message.value["n"] for message in page.messages]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == list(range(5))
    await queues.pause(name)
    assert await kv.dequeue(name) is None
    assert {it.queue: it.paused for it in await queues.list()}[name]
    await queues.set_options(name, lease="1m", backoff_schedule=[5], max_running=1, rate=(9, "1h"))
    expected = QueueOptions(True, 60_000, [5], 1, QueueRate(9, 3_600_000))
    assert await queues.options(name) == expected
    await queues.resume(name)
    assert await kv.dequeue(name) is not None
    assert await kv.dequeue(name) is None
    assert (await queues.purge(name)).deleted_count == 5
    await queues.set_options(name)
    assert await queues.options(name) == QueueOptions()
    for wrong in ({"rate": 5}, {"max_running": 0}, {"lease": 5}, {"backoff_schedule": "1s"}):
        with pytest.raises(InvalidInput):
            await queues.set_options(name, **wrong)

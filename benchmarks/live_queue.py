"""The queue under load; every message is checked."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import uvloop
from client import BenchmarkError
from live_server import ENQUEUERS, WAIT_SECONDS, LiveServer, Numbers
from results import Measurement
from streams import Event, Failure, close_streams, connect, open_streams

MESSAGES = 10_000
ACKERS = 16
CONSUME_SECONDS = 200.0
"""All of them take a second or two, on a machine that does nothing else."""
SETTLE_SECONDS = 1.0


def enqueue(server: LiveServer, seconds: int) -> Numbers:
    """What was counted has to be there: each message once, and nothing else."""
    count, measured = server.enqueued(seconds)
    time.sleep(SETTLE_SECONDS)  # for those under way at the end
    pending = server.call("GET", "/queue/stats")["pending"]
    if not count <= pending <= count + ENQUEUERS:
        raise BenchmarkError(f"{pending} pending after {count} were enqueued")
    uvloop.run(_consume(server, "/queue/listen?prefetch=1000", pending))
    return {"enqueue": measured}


def listen(server: LiveServer, _: int) -> Numbers:
    """As fast as they can be sent."""
    return {"listen": Measurement(_listened(server, "/queue/listen"))}


def listen_16(server: LiveServer, _: int) -> Numbers:
    """At most 16 of them unsettled."""
    return {"listen-16": Measurement(_listened(server, "/queue/listen?prefetch=16"))}


def _listened(server: LiveServer, path: str) -> float:
    for start in range(0, MESSAGES, 500):
        mutations = [
            {"type": "enqueue", "value": {"number": number}} for number in range(start, start + 500)
        ]
        if not server.call("POST", "/atomic", {"mutations": mutations})["ok"]:
            raise BenchmarkError("enqueueing failed")
    seconds, messages = uvloop.run(_consume(server, path, MESSAGES))
    if [message["value"]["number"] for message in messages] != list(range(MESSAGES)):
        raise BenchmarkError("messages came in another order than they were sent in")
    return MESSAGES / seconds


async def _consume(
    server: LiveServer, path: str, wanted: int
) -> tuple[float, list[dict[str, Any]]]:
    """Receive and ack so many messages: the seconds and the messages. Each has to come once."""
    failure, done = Failure(), asyncio.Event()
    unsettled: asyncio.Queue[str] = asyncio.Queue()
    messages: list[dict[str, Any]] = []
    acked = 0

    def on_event(event: Event, _: float) -> None:
        if event.name == b"message":
            message = json.loads(event.data)
            messages.append(message)
            unsettled.put_nowait(message["id"])

    async def ack() -> None:
        nonlocal acked
        try:
            connection = await connect(server.address)
        except OSError as error:
            failure.report(str(error))
            return
        try:
            while True:
                request = server.request("POST", "/queue/ack", {"id": await unsettled.get()})
                if await connection.call(request) != b'{"ok":true}':
                    raise BenchmarkError("an ack failed")
                acked += 1
                if acked == wanted:
                    done.set()
        except BenchmarkError as error:
            failure.report(str(error))
        finally:
            connection.transport.abort()

    ackers = [asyncio.create_task(ack()) for _ in range(ACKERS)]
    begin = time.perf_counter()
    listening = server.request("GET", path)
    streams = await open_streams(
        server.address, [listening], on_event, failure, seconds=WAIT_SECONDS
    )
    try:
        await failure.unless(done, CONSUME_SECONDS)
        seconds = time.perf_counter() - begin
    finally:
        close_streams(streams)
        for acker in ackers:
            acker.cancel()
        await asyncio.wait(ackers)
    if len({message["id"] for message in messages}) != len(messages) or len(messages) != wanted:
        raise BenchmarkError(f"{len(messages)} deliveries of {wanted} messages")
    if any(message["attempts"] != 1 for message in messages):
        raise BenchmarkError("a message was delivered more than once")
    if any((left := server.call("GET", "/queue/stats")).values()):
        raise BenchmarkError(f"left in the queue: {left}")
    return seconds, messages

"""Watches under load; every event is checked."""

from __future__ import annotations

import asyncio
import json
import time

import uvloop
from client import BenchmarkError
from live_server import WAIT_SECONDS, WATCHERS, LiveServer, Numbers
from results import Measurement
from streams import Event, Failure, close_streams, connect, open_streams

FANNED_OUT = 10
"""Changes that are fanned out in one round."""
MOST_PUTS = 2_000
SETTLE_SECONDS = 2.0


def latency(server: LiveServer, seconds: int) -> Numbers:
    """One watcher, one put after the other: how long after the put's answer its event comes."""
    return uvloop.run(_latencies(server, seconds))


async def _latencies(server: LiveServer, seconds: int) -> Numbers:
    failure, came = Failure(), asyncio.Event()
    last: list[tuple[bytes, float]] = []

    def on_event(event: Event, now: float) -> None:
        if event.name == b"change":
            last.append((event.data, now))
            came.set()

    watching = server.request("GET", "/watch?keys=live/latency&initial=false")
    streams = await open_streams(
        server.address, [watching], on_event, failure, seconds=WAIT_SECONDS
    )
    connection = await connect(server.address)
    from_answer, from_request = [], []
    begin = time.perf_counter()
    try:
        for number in range(MOST_PUTS):
            if time.perf_counter() - begin > seconds:
                break
            came.clear()
            sent = time.perf_counter()
            answer = json.loads(
                await connection.call(server.request("PUT", "/keys/live/latency", number))
            )
            answered = time.perf_counter()
            await failure.unless(came, WAIT_SECONDS)
            data, now = last.pop()
            (entry,) = json.loads(data)
            if (entry["value"], entry["versionstamp"]) != (number, answer["versionstamp"]) or last:
                raise BenchmarkError(f"put {number}, {answer}, and received {data!r:.200}")
            from_answer.append(max(0.0, now - answered) * 1000)
            from_request.append((now - sent) * 1000)
    finally:
        connection.transport.abort()
        close_streams(streams)
    p50, p99 = _percentiles(from_answer)
    whole_p50, whole_p99 = _percentiles(from_request)
    whole = Measurement(whole_p50, whole_p50, whole_p99)
    return {"watch-p50": Measurement(p50), "watch-p99": Measurement(p99), "put-watch": whole}


def fan_out(server: LiveServer, _: int) -> Numbers:
    """One change below a prefix that 1,000 watch: until the last one has it."""
    return uvloop.run(_fanned_out(server))


async def _fanned_out(server: LiveServer) -> Numbers:
    failure, all_came = Failure(), asyncio.Event()
    received: list[tuple[bytes, float]] = []

    def on_event(event: Event, now: float) -> None:
        if event.name == b"change":
            received.append((event.data, now))
            if len(received) == WATCHERS:
                all_came.set()

    watching = server.request("GET", "/watch/prefix?prefix=live/fan&initial=false")
    streams = await open_streams(
        server.address, [watching] * WATCHERS, on_event, failure, seconds=WAIT_SECONDS
    )
    connection = await connect(server.address)
    taken = []
    try:
        for number in range(FANNED_OUT):
            received.clear()
            all_came.clear()
            sent = time.perf_counter()
            answer = json.loads(
                await connection.call(server.request("PUT", f"/keys/live/fan/{number}", number))
            )
            await failure.unless(all_came, WAIT_SECONDS)
            await asyncio.sleep(0.05)  # a second event for one of them would come now
            contents = {data for data, _ in received}
            expected = {
                "key": ["live", "fan", number],
                "value": number,
                "versionstamp": answer["versionstamp"],
            }
            if len(received) != WATCHERS or [json.loads(c) for c in contents] != [[expected]]:
                raise BenchmarkError(f"{len(received)} events, such as {received[0][0]!r:.200}")
            taken.append((max(now for _, now in received) - sent) * 1000)
    finally:
        connection.transport.abort()
        close_streams(streams)
    return {"fan-out": Measurement(_percentiles(taken)[0], *_percentiles(taken))}


def idle(server: LiveServer, seconds: int) -> Numbers:
    """1,000 watchers of a prefix each, and nothing happens; the time should span a heartbeat."""
    return uvloop.run(_idled(server, seconds))


async def _idled(server: LiveServer, seconds: int) -> Numbers:
    failure = Failure()
    alone = await share_of_a_core(server, min(10, seconds))
    memory = server.resident_mib()
    watching = [
        server.request("GET", f"/watch/prefix?prefix=live/idle/{number}")
        for number in range(WATCHERS)
    ]
    pings = 0

    def on_event(event: Event, _: float) -> None:
        nonlocal pings
        if event.name != b"ping":
            failure.report(f"an idle watcher received {event}")
        pings += 1

    streams = await open_streams(server.address, watching, on_event, failure, seconds=WAIT_SECONDS)
    try:
        memory = (server.resident_mib() - memory) * 1024 / WATCHERS
        busy = await share_of_a_core(server, seconds)
        if pings < WATCHERS:
            raise BenchmarkError(f"{pings} pings for {WATCHERS} watchers")
    finally:
        close_streams(streams)
    return {
        "idle": Measurement(busy),
        "no-idle": Measurement(alone),
        "memory": Measurement(memory),
    }


async def share_of_a_core(server: LiveServer, seconds: float) -> float:
    """How much of a core the server uses, in percent."""
    await asyncio.sleep(SETTLE_SECONDS)
    begin, spent = time.perf_counter(), server.cpu_seconds()
    await asyncio.sleep(seconds)
    return (server.cpu_seconds() - spent) / (time.perf_counter() - begin) * 100


def _percentiles(numbers: list[float]) -> tuple[float, float]:
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]

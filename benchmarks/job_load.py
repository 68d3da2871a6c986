"""Tasks, consumers and locks under load; what each runner, consumer and holder gets is checked."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import uvloop
from client import BenchmarkError
from live_server import WAIT_SECONDS, LiveServer, Numbers
from live_watches import share_of_a_core
from results import Measurement
from streams import Connection, Event, Failure, close_streams, connect, open_streams

TASKS = 8_000
"""Of one round; they are there when the runners begin."""
RUNNERS = 8
LEASED = 16
"""Tasks that a runner takes at a time."""
AT_ONCE = 8
"""Connections of a runner that says of each task by itself that it is done."""
RECORDS = 20_000
BATCH = 1_000
HOLDERS = 16
IDLE_EACH = 250
"""Who listen for tasks, who ask for some, who wait for a lock, and who for records."""
IDLE_WAIT = "60s"
_CHUNK = 500
_NO_TOKEN = "0" * 36
_TAKEN = re.compile(rb'\{"acquired":true,"token":"([0-9a-f-]{36})"')
_Run: TypeAlias = "Callable[[LiveServer, int, list[int]], Awaitable[None]]"
"""What one runner does: its number, and what it adds the numbers of its tasks to."""
_NAME = "bench"
"""Of the tasks, of the consumer, and what the locks begin with."""


def tasks(server: LiveServer, _: int) -> Numbers:
    """Each task is leased and completed once, with its result kept; a runner says at once which
    ones it has done, as that of the clients does."""
    return {"tasks": _measured(server, _run_together)}


def tasks_each(server: LiveServer, _: int) -> Numbers:
    """The same with a request for each task that is done."""
    return {"tasks-each": _measured(server, _run_each)}


def _measured(server: LiveServer, run: _Run) -> Measurement:
    _send(
        server,
        [{"type": "task", "name": _NAME, "payload": {"number": n}} for n in range(TASKS)],
    )
    spent, begin = server.cpu_seconds(), time.perf_counter()
    numbers = uvloop.run(_all_run(server, run))
    seconds, spent = time.perf_counter() - begin, server.cpu_seconds() - spent
    if sorted(numbers) != list(range(TASKS)):
        raise BenchmarkError(f"{len(numbers)} runs of {TASKS} tasks")
    counts = server.call("GET", f"/tasks/stats?name={_NAME}")["tasks"][_NAME]
    if counts.keys() != {"completed"}:
        raise BenchmarkError(f"left of the tasks: {counts}")
    return Measurement(TASKS / seconds, cpu=spent / TASKS * 1e6)


async def _all_run(server: LiveServer, run: _Run) -> list[int]:
    numbers: list[int] = []
    await asyncio.gather(*(run(server, number, numbers) for number in range(RUNNERS)))
    return numbers


async def _leased(server: LiveServer, number: int, leasing: Connection) -> list[Any]:
    wanted = {"runner": f"r{number}", "names": [_NAME], "limit": LEASED}
    answer = await leasing.call(server.request("POST", "/tasks/lease", wanted))
    leased: list[Any] = json.loads(answer)["tasks"]
    return leased


async def _run_together(server: LiveServer, number: int, numbers: list[int]) -> None:
    async with _connections(server, 1) as (connection,):
        while leased := await _leased(server, number, connection):
            numbers.extend(task["payload"]["number"] for task in leased)
            done = [
                {"id": task["id"], "token": task["token"], "result": task["payload"]}
                for task in leased
            ]
            request = server.request("POST", "/tasks/complete", {"tasks": done})
            heard = json.loads(await connection.call(request))["tasks"]
            if heard != [{"cancelled": False}] * len(leased):
                raise BenchmarkError(f"tasks could not be completed: {heard}")


async def _run_each(server: LiveServer, number: int, numbers: list[int]) -> None:
    async def complete(leased: list[Any], connection: Connection) -> None:
        while leased:
            task = leased.pop()
            done = {"token": task["token"], "result": task["payload"]}
            path = f"/tasks/{task['id']}/complete"
            answer = await connection.call(server.request("POST", path, done))
            if answer != b'{"ok":true,"cancelled":false}':
                raise BenchmarkError(f"a task could not be completed: {answer!r}")

    async with _connections(server, AT_ONCE + 1) as (leasing, *others):
        while leased := await _leased(server, number, leasing):
            numbers.extend(task["payload"]["number"] for task in leased)
            await asyncio.gather(*(complete(leased, connection) for connection in others))


def consume(server: LiveServer, seconds: int) -> Numbers:
    """One consumer reads the whole stream in batches, and commits each, as often as there is time
    for."""
    have = server.call("GET", "/stream/seq")["seq"]
    if have < RECORDS:
        entries = [
            {"type": "set", "key": [_NAME, number], "value": {"number": number}}
            for number in range(RECORDS)
        ]
        _send(server, entries)
    return uvloop.run(_consumed(server, seconds))


async def _consumed(server: LiveServer, seconds: int) -> Numbers:
    fetch = server.request(
        "POST", f"/consumers/{_NAME}/fetch", {"owner": "reader", "limit": BATCH, "prefix": [_NAME]}
    )
    read, passed, spent = 0, 0.0, 0.0
    async with _connections(server, 1) as (connection,):
        while passed < seconds:
            server.call("PUT", f"/consumers/{_NAME}/position", {"seq": 0})
            cpu, begin, numbers = server.cpu_seconds(), time.perf_counter(), 0
            while numbers < RECORDS:
                content = await connection.call(fetch)
                batch = json.loads(content)
                records = batch["records"]
                seqs = [record["seq"] for record in records]
                if len(records) != BATCH or seqs != list(range(seqs[0], seqs[0] + BATCH)):
                    raise BenchmarkError(f"{len(records)} records from {seqs[:1]} on")
                commit = {"token": batch["token"], "upTo": seqs[-1]}
                path = f"/consumers/{_NAME}/commit"
                await connection.call(server.request("POST", path, commit))
                numbers += BATCH
            passed += time.perf_counter() - begin
            spent += server.cpu_seconds() - cpu
            read += numbers
    return {"consume": Measurement(read / passed, cpu=spent / read * 1e6)}


def locks(server: LiveServer, seconds: int) -> Numbers:
    """So many holders, each with a lock of its own: acquire, release, and again."""
    spent = server.cpu_seconds()
    pairs = uvloop.run(_held(server, seconds))
    spent = server.cpu_seconds() - spent
    return {"locks": Measurement(pairs / seconds, cpu=spent / pairs * 1e6)}


async def _held(server: LiveServer, seconds: int) -> int:
    async with _connections(server, HOLDERS) as connections:
        end = time.perf_counter() + seconds

        async def hold(number: int, connection: Connection) -> int:
            path, owner = f"/locks/{_NAME}-{number}", {"owner": f"holder-{number}"}
            acquire = server.request("POST", f"{path}/acquire", owner | {"duration": "30s"})
            # Under its token, as the clients release; made once, since the load shares the cores.
            unknown = owner | {"token": _NO_TOKEN}
            release = server.request("POST", f"{path}/release", unknown).split(_NO_TOKEN.encode())
            pairs = 0
            while time.perf_counter() < end:
                answer = await connection.call(acquire)
                if (taken := _TAKEN.match(answer)) is None:
                    raise BenchmarkError(f"a lock was not given: {answer!r}")
                answer = await connection.call(taken[1].join(release))
                if answer != b'{"released":true}':
                    raise BenchmarkError(f"a lock was not released: {answer!r}")
                pairs += 1
            return pairs

        return sum(await asyncio.gather(*map(hold, range(HOLDERS), connections)))


def idle(server: LiveServer, seconds: int) -> Numbers:
    """1,000 callers wait, and nothing happens."""
    return uvloop.run(_idled(server, seconds))


async def _idled(server: LiveServer, seconds: int) -> Numbers:
    failure = Failure()
    alone = await share_of_a_core(server, min(10, seconds))
    holder = {"owner": "holder"}
    server.call("POST", f"/locks/{_NAME}-held/acquire", {**holder, "duration": "10m"})
    waiting = [
        server.request(method, path, body)
        for number in range(IDLE_EACH)
        for method, path, body in (
            ("POST", "/tasks/lease", {"runner": f"r{number}", "names": ["no"], "wait": IDLE_WAIT}),
            ("POST", f"/locks/{_NAME}-held/acquire", {"owner": f"o{number}", "wait": IDLE_WAIT}),
            ("POST", f"/consumers/idle-{number}/fetch", {"owner": "o", "wait": IDLE_WAIT}),
        )
    ]
    server.call("POST", "/stream/trim", {"upTo": server.call("GET", "/stream/seq")["seq"]})

    def on_event(event: Event, _: float) -> None:
        if event.name != b"ping":
            failure.report(f"an idle runner received {event}")

    listening = [
        server.request("GET", f"/tasks/listen?runner=l{number}&names=no")
        for number in range(IDLE_EACH)
    ]
    streams = await open_streams(server.address, listening, on_event, failure, seconds=WAIT_SECONDS)
    try:
        async with _connections(server, len(waiting)) as connections:
            calls = [
                asyncio.create_task(connection.call(request))
                for connection, request in zip(connections, waiting, strict=True)
            ]
            busy = await share_of_a_core(server, seconds)
            for call in calls:
                if call.done():
                    raise BenchmarkError(f"a call that was to wait was answered: {call.result()!r}")
                call.cancel()
    finally:
        close_streams(streams)
    server.call("POST", f"/locks/{_NAME}-held/release", holder)
    return {"idle": Measurement(busy), "no-idle": Measurement(alone)}


def _send(server: LiveServer, mutations: Sequence[object]) -> None:
    for start in range(0, len(mutations), _CHUNK):
        chunk = {"mutations": mutations[start : start + _CHUNK]}
        if not server.call("POST", "/atomic", chunk)["ok"]:
            raise BenchmarkError("a commit failed")


@asynccontextmanager
async def _connections(server: LiveServer, number: int) -> AsyncIterator[Sequence[Connection]]:
    connections = [await connect(server.address) for _ in range(number)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.transport.abort()

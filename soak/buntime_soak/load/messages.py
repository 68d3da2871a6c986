"""Clients that send messages, and consumers that settle them, fail, forget, and come back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from buntime_soak.caller import BASE, Caller, Place, Reply
from buntime_soak.connection import NoAnswer, NotSent, Stream
from buntime_soak.history import Op
from buntime_soak.load.world import PATIENCE_SECONDS, World, end_tasks

SENDERS = 2
POLLERS = 2
LISTENERS = 2
PREFETCH = 3
LONGEST_STAY_SECONDS = 8.0
LEAVE_SECONDS = 6.0
"""How long a server may take to end a stream whose client has left."""
LONGEST_DELAY_MS = 400
SURE_AFTER = 4
"""Times that the queue has to be seen empty."""
NOTHING_SECONDS = 0.1
"""Pause of a poller that was given nothing."""


class Messages:
    """One queue."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share / (SENDERS + POLLERS + LISTENERS)
        self._sent = 0
        self._closing = asyncio.Event()

    def clients(self) -> list[Any]:
        """A coroutine for each sender."""
        return [self._send(f"sender{number}") for number in range(SENDERS)]

    def staying(self) -> list[Any]:
        """A coroutine for each consumer; they stay until `finish`."""
        return [
            *(self._poll(f"poller{number}") for number in range(POLLERS)),
            *(self._listen(f"listener{number}") for number in range(LISTENERS)),
        ]

    async def finish(self) -> None:
        """Wait until nothing is left, and keep the dead letters."""
        caller = self._world.caller("queue-judge")
        deadline = self._world.history.now() + PATIENCE_SECONDS
        empty = 0
        try:
            while True:
                reply = await self._world.insist(caller, "GET", "/queue/stats")
                left = reply.body["pending"] + reply.body["processing"]
                empty = 0 if left else empty + 1
                # Again and again, since a replica may be behind.
                if empty == SURE_AFTER or self._world.history.now() > deadline:
                    break
                await asyncio.sleep(0.2)
        finally:
            self._closing.set()
        caller.record("queue-end", "queue", reply, got=reply.body | {"total": left})
        offset = 0
        while True:
            path = f"/queue/dlq?limit=1000&offset={offset}"
            reply = await self._world.insist(caller, "GET", path)
            for letter in reply.body:
                got = {"attempts": letter["attempts"], "error": letter["errorMessage"]}
                caller.record("letter", letter["value"], reply, got=got)
            offset += len(reply.body)
            if not reply.body:
                return

    async def _send(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        while not world.done.is_set():
            await world.pace(caller, self._share)
            self._sent += 1
            value = f"m{self._sent}"
            schedule = [100, 200, 300][: caller.dice.randint(0, 3)]
            options: dict[str, Any] = {"backoffSchedule": schedule}
            if caller.dice.random() < 0.3:
                options["delay"] = caller.dice.randint(1, LONGEST_DELAY_MS)
            stamp = None
            if caller.dice.random() < 0.5:
                body = {"value": value, "options": options}
                reply = await caller.call("POST", "/queue/enqueue", body)
            else:
                mutation = {"type": "enqueue", "value": value, **options}
                reply = await caller.call("POST", "/atomic", {"mutations": [mutation]})
                stamp = reply.body["versionstamp"] if reply.outcome == "ok" else None
            caller.record("enqueue", value, reply, asked=len(schedule) + 1, stamp=stamp)

    async def _poll(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        while not self._closing.is_set():
            reply = await caller.call("GET", "/queue/poll?lease=true")
            # A server that ended had sent all that it wrote; one that was not waited for, not.
            if reply.outcome == "unknown" and "TimeoutError" in reply.note:
                caller.record("abandon", name, reply)
            message = reply.body["message"] if reply.outcome == "ok" else None
            if message is None:
                await asyncio.sleep(NOTHING_SECONDS)
                continue
            caller.record("deliver", message["value"], reply, asked="poll", got=_given(message))
            await self._settle(caller, message)
            await world.pace(caller, self._share)

    async def _listen(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        while not self._closing.is_set():
            place = caller.dice.choice(world.places)
            await self._one_stream(caller, place)

    async def _one_stream(self, caller: Caller, place: Place) -> None:
        world = self._world
        path = f"{BASE}/queue/listen?prefetch={PREFETCH}&lease=true"
        begin = world.history.now()
        try:
            stream = await Stream.open(place.address, path, {})
        except (NotSent, NoAnswer) as error:
            if "TimeoutError" in str(error):
                self._gave_up(caller, place, begin)
            await asyncio.sleep(0.1)
            return
        reading = asyncio.create_task(self._read(caller, stream, place, begin))
        closing = asyncio.create_task(self._closing.wait())
        stay = caller.dice.uniform(0.3, LONGEST_STAY_SECONDS)
        try:
            await asyncio.wait(
                {reading, closing}, timeout=stay, return_when=asyncio.FIRST_COMPLETED
            )
            stream.leave()
            await asyncio.wait({reading}, timeout=LEAVE_SECONDS)
            if not reading.done():
                self._gave_up(caller, place, begin)
        finally:
            await end_tasks(reading, closing)
            stream.close()

    async def _read(self, caller: Caller, stream: Stream, place: Place, begin: float) -> None:
        async with contextlib.aclosing(stream.events()) as events:
            async for event in events:
                if event.name != "message":
                    continue
                now = self._world.history.now()
                reply = Reply("ok", None, 200, begin, now, place.name, "")
                given = _given(event.data)
                caller.record("deliver", event.data["value"], reply, asked="listen", got=given)
                await self._settle(caller, event.data)
                await self._world.pace(caller, self._share)

    async def _settle(self, caller: Caller, message: Any) -> None:
        """Do with a message what consumers do."""
        what = caller.dice.choices(("ack", "nack", "release", "forget"), (72, 14, 7, 7))[0]
        if self._world.done.is_set():
            what = "ack"
        if what == "forget":
            return
        body: dict[str, Any] = {"id": message["id"], "lease": message["lease"]}
        if what == "nack":
            body |= {"error": "did not work"}
        elif what == "release":
            body |= {"attempted": False}
        path = "/queue/ack" if what == "ack" else "/queue/nack"
        begin = self._world.history.now()
        try:
            reply = await caller.call("POST", path, body)
        except asyncio.CancelledError:  # the stream took too long to end, and all of it is given up
            now = self._world.history.now()
            given_up = Reply("unknown", None, 0, begin, now, "", "given up")
            caller.record(what, message["value"], given_up, asked=_given(message))
            raise
        caller.record(what, message["value"], reply, asked=_given(message))

    def _gave_up(self, caller: Caller, place: Place, begin: float) -> None:
        now = self._world.history.now()
        self._world.history.add(
            Op("abandon", caller.name, caller.name, place.name, begin, now, "unknown")
        )


def _given(message: Any) -> dict[str, Any]:
    return {name: message[name] for name in ("id", "attempts", "lease")}

"""Clients that add: to lists, to counters, and to a log of `$uuidv7` keys that others follow."""

from __future__ import annotations

import uuid
from typing import Any

from buntime_soak.caller import Caller, Reply
from buntime_soak.load.world import ROOT, World, key_of

APPENDERS = 2
MAX_ELEMENTS = 150
"""Of a list, before another one takes its place."""
COUNTERS = 2
LOGGERS = 3
TAILS = 2
TRIES = 12
"""Times that a write with an idempotency key is sent."""


class Adding:
    """Lists, counters and the log, with writers and readers of each."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share / (2 * APPENDERS + 2 * COUNTERS + LOGGERS + TAILS)
        self._numbers = 0
        self._lists = [f"{ROOT}/list/l0"]
        self._elements = 0
        self._counters = [f"{ROOT}/count/c{number}" for number in range(COUNTERS)]

    def clients(self) -> list[Any]:
        """A coroutine for each client."""
        return [
            *(self._append(f"appender{number}") for number in range(APPENDERS)),
            *(self._read_lists(f"list-reader{number}") for number in range(APPENDERS)),
            *(self._sum(f"adder{number}") for number in range(COUNTERS)),
            *(self._count(f"counter-reader{number}") for number in range(COUNTERS)),
            *(self._log(f"logger{number}") for number in range(LOGGERS)),
            *(self._tail(f"tail{number}") for number in range(TAILS)),
        ]

    async def _append(self, name: str) -> None:
        caller = self._world.caller(name)
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            self._elements += 1
            if self._elements % MAX_ELEMENTS == 0:
                self._lists.append(f"{ROOT}/list/l{len(self._lists)}")
            path, element = self._lists[-1], f"e{self._elements}"
            mutation = {"type": "append", "key": key_of(path), "value": [element]}
            reply, stamp = await self._write(caller, mutation)
            caller.record("append", path, reply, asked=element, stamp=stamp)

    async def _sum(self, name: str) -> None:
        caller = self._world.caller(name)
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            path, amount = caller.dice.choice(self._counters), caller.dice.randint(1, 9)
            mutation = {"type": "sum", "key": key_of(path), "value": amount}
            reply, stamp = await self._write(caller, mutation)
            caller.record("sum", path, reply, asked=amount, stamp=stamp)

    async def _log(self, name: str) -> None:
        caller = self._world.caller(name)
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            self._numbers += 1
            value = f"n{self._numbers}"
            mutation = {"type": "set", "key": [ROOT, "log", {"$uuidv7": True}], "value": value}
            reply, stamp = await self._write(caller, mutation)
            caller.record("log", f"{ROOT}/log", reply, asked=value, stamp=stamp)

    async def _write(self, caller: Caller, mutation: Any) -> tuple[Reply, str | None]:
        """One mutation, and its stamp; repeated where an idempotency key makes that safe."""
        body = {"mutations": [mutation]}
        if caller.dice.random() < 0.5:
            reply = await caller.call("POST", "/atomic", body)
        else:
            reply = await self._repeated(caller, body)
        return reply, reply.body["versionstamp"] if reply.outcome == "ok" else None

    async def _repeated(self, caller: Caller, body: Any) -> Reply:
        headers = {"Idempotency-Key": str(uuid.UUID(int=caller.dice.getrandbits(128)))}
        first = reply = await caller.call("POST", "/atomic", body, headers=headers)
        unknown = reply.outcome == "unknown"
        again = caller.dice.random() < 0.2  # also what is known: the answer has to be the same
        for _ in range(TRIES):
            if not (again or (unknown and reply.outcome != "ok")):
                break
            await self._world.rest(caller.dice.uniform(0, 0.3))
            before, again = reply, False
            reply = await caller.call("POST", "/atomic", body, headers=headers)
            unknown = unknown or reply.outcome == "unknown"
            if before.outcome == "ok" and reply.outcome != "ok":
                reply = before  # what was answered stays
        if reply.outcome == "failed" and unknown:
            reply = reply._replace(outcome="unknown")
        return reply._replace(call=first.call)

    async def _read_lists(self, name: str) -> None:
        caller = self._world.caller(name)
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            await self._read(caller, self._lists[-1], "read")

    async def _read(self, caller: Caller, path: str, kind: str) -> None:
        target, good = f"/keys/{path}", (200, 404)
        if kind == "read":
            reply = await caller.call("GET", target, good=good, fresh=True)
        else:
            reply = await self._world.insist(caller, "GET", target, good=good, fresh=True)
        got = reply.body.get("value", []) if reply.outcome == "ok" else None
        caller.record(kind, path, reply, got=got)

    async def _count(self, name: str) -> None:
        caller = self._world.caller(name)
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            path = caller.dice.choice(self._counters)
            reply = await caller.call("GET", f"/keys/{path}", good=(200, 404), fresh=True)
            got = reply.body.get("value", 0) if reply.outcome == "ok" else None
            caller.record("count", path, reply, got=got)

    async def _tail(self, name: str) -> None:
        caller = self._world.caller(name)
        last = ""
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            reply = await caller.call("POST", "/keys/list", _behind(last))
            ids = [entry["key"][-1] for entry in reply.body] if reply.outcome == "ok" else []
            ids = [stamp for stamp in ids if stamp != last]
            caller.record("tail", name, reply, asked=last, got=ids)
            last = max([last, *ids])

    async def finish(self) -> None:
        """Read everything once more, when nothing is written any more."""
        caller = self._world.caller("last-reader")
        for path in self._lists:
            await self._read(caller, path, "last-read")
        for path in self._counters:
            reply = await self._world.insist(
                caller, "GET", f"/keys/{path}", good=(200, 404), fresh=True
            )
            caller.record("last-count", path, reply, got=reply.body.get("value", 0))
        found: dict[str, Any] = {}
        while True:
            last = max(found, default="")
            reply = await self._world.insist(
                caller, "POST", "/keys/list", _behind(last), fresh=True
            )
            new = {entry["key"][-1]: entry["value"] for entry in reply.body}
            if not new.keys() - found.keys():
                break
            found |= new
        caller.record("last-log", f"{ROOT}/log", reply, got=found)


def _behind(last: str) -> dict[str, Any]:
    """A list of what is in the log from an id on."""
    start = {"start": [ROOT, "log", last]} if last else {}
    return {"prefix": [ROOT, "log"], "limit": 1000, **start}

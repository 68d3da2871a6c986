"""Clients that write what lives for a moment, and look whether it is there."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from buntime_soak.caller import Caller, Reply
from buntime_soak.load.world import ROOT, World, key_of, path_of

CLIENTS = 4
LONGEST_SECONDS = 2.5
AFTERWARDS_SECONDS = 0.8
"""How long a client goes on to look for what is gone."""
PREFIX = f"{ROOT}/ttl"


class Lives:
    """Entries that expire, each written once."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share / CLIENTS
        self._made = 0

    def clients(self) -> list[Any]:
        """A coroutine for each client."""
        return [self._client(f"lender{number}") for number in range(CLIENTS)]

    async def _client(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        while not world.done.is_set():
            self._made += 1
            path = f"{PREFIX}/k{self._made}"
            life_ms = caller.dice.randint(200, int(LONGEST_SECONDS * 1000))
            reply = await caller.call("PUT", f"/keys/{path}?expiresIn={life_ms}", "alive")
            stamp = reply.body["versionstamp"] if reply.outcome == "ok" else None
            caller.record("lend", path, reply, asked=life_ms / 1000, stamp=stamp)
            until = reply.end + life_ms / 1000 + AFTERWARDS_SECONDS
            while not world.done.is_set() and world.history.now() < until:
                await world.pace(caller, self._share)
                reply, there = await self._glance(caller, path)
                caller.record("glance", path, reply, got=there)

    async def _glance(self, caller: Caller, path: str) -> tuple[Reply, bool]:
        match caller.dice.randrange(3):
            case 0:
                reply = await caller.call("GET", f"/keys/{path}", good=(200, 404), fresh=True)
                return reply, reply.status == 200
            case 1:
                body = {"keys": [key_of(path)]}
                reply = await caller.call("POST", "/keys/batch", body, fresh=True)
                return reply, reply.outcome == "ok" and reply.body[0]["versionstamp"] is not None
            case _:
                query = f"prefix={quote(PREFIX)}&limit=1000"
                reply = await caller.call("GET", f"/keys?{query}", fresh=True)
                entries = reply.body if reply.outcome == "ok" else ()
                return reply, path in {path_of(entry["key"]) for entry in entries}

"""Clients that read, write, compare and delete the same few keys."""

from __future__ import annotations

from typing import Any

from buntime_soak.caller import Caller, Reply
from buntime_soak.load.world import ROOT, World, key_of

CLIENTS = 6
KEYS = 2
MAX_OPS = 70
"""Operations on a key, then another one takes its place, so that histories stay small."""
MAX_UNKNOWN = 4


class Registers:
    """The keys that are in use."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share / CLIENTS
        self._made = 0
        self._written = 0
        self._keys: dict[str, list[int]] = {}
        """Operations, and those whose outcome is unknown."""
        for _ in range(KEYS):
            self._another()

    def clients(self) -> list[Any]:
        """A coroutine for each client."""
        return [self._client(f"register{number}") for number in range(CLIENTS)]

    async def _client(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        seen: dict[str, tuple[str | None, str | None]] = {}
        while not world.done.is_set():
            await world.pace(caller, self._share)
            path = caller.dice.choice(list(self._keys))
            reply = await self._do(caller, path, seen)
            self._count(path, reply)

    async def _do(
        self, caller: Caller, path: str, seen: dict[str, tuple[str | None, str | None]]
    ) -> Reply:
        what = caller.dice.choices(("get", "put", "cas", "delete"), (40, 20, 32, 8))[0]
        value: str | None
        match what:
            case "put":
                value = self._value()
                reply = await caller.call("PUT", f"/keys/{path}", value)
                stamp = reply.body["versionstamp"] if reply.outcome == "ok" else None
                caller.record("put", path, reply, asked=value, stamp=stamp)
                if stamp is not None:
                    seen[path] = value, stamp
            case "delete":
                reply = await caller.call("DELETE", f"/keys/{path}", {"exact": True})
                got = bool(reply.body["deletedCount"]) if reply.outcome == "ok" else None
                caller.record("delete", path, reply, got=got)
            case "cas" if path in seen:
                (expected, stamp), value = seen[path], self._value()
                body = {
                    "checks": [{"key": key_of(path), "versionstamp": stamp}],
                    "mutations": [{"type": "set", "key": key_of(path), "value": value}],
                }
                reply = await caller.call("POST", "/atomic", body)
                ok = reply.outcome == "ok" and reply.body["ok"]
                new = reply.body["versionstamp"] if ok else None
                caller.record("cas", path, reply, asked=[expected, value], got=ok, stamp=new)
                if new is not None:
                    seen[path] = value, new
                elif reply.outcome == "ok":
                    del seen[path]
            case _:
                reply = await caller.call("GET", f"/keys/{path}", good=(200, 404), fresh=True)
                found = reply.status == 200 and reply.outcome == "ok"
                value = reply.body["value"] if found else None
                caller.record("get", path, reply, got=value)
                if reply.outcome == "ok":
                    seen[path] = value, reply.body["versionstamp"] if found else None
        return reply

    def _value(self) -> str:
        self._written += 1
        return f"v{self._written}"

    def _count(self, path: str, reply: Reply) -> None:
        counts = self._keys.get(path)
        if counts is None:
            return  # it is out of use already
        counts[0] += 1
        counts[1] += reply.outcome == "unknown"
        if counts[0] >= MAX_OPS or counts[1] >= MAX_UNKNOWN:
            del self._keys[path]
            self._another()

    def _another(self) -> None:
        self._made += 1
        self._keys[f"{ROOT}/reg/r{self._made}"] = [0, 0]

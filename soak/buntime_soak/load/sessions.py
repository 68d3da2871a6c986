"""For each host a client that writes, and others that look at what it wrote, at that host alone.

And one that goes from host to host, writes and looks, and carries the positions that it is told.
"""

from __future__ import annotations

from typing import Any

from buntime_soak.caller import Place, Reply
from buntime_soak.load.world import ROOT, World

LOOKERS = 2
TRAVELLER_LOOKS = 2
ANYWHERE = "any host"
"""Where a traveller asks, for the checker; the note of the operation says more."""


class Sessions:
    """One key for each host at a time."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share / (len(world.places) * (1 + LOOKERS) + 1 + TRAVELLER_LOOKS)
        self._keys: dict[str, str] = {}
        self._made = 0
        for place in world.places:
            self._another(place)

    def clients(self) -> list[Any]:
        """A coroutine for each client."""
        return [
            self._travel(),
            *(
                client
                for place in self._world.places
                for client in (
                    self._write(place),
                    *(self._look(place, number) for number in range(LOOKERS)),
                )
            ),
        ]

    async def _travel(self) -> None:
        caller = self._world.caller("traveller", carries=True)
        path, number = self._new_key(), 0
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            number += 1
            reply = await caller.call("PUT", f"/keys/{path}", number)
            stamp = reply.body["versionstamp"] if reply.outcome == "ok" else None
            caller.record("step", path, _anywhere(reply), asked=number, stamp=stamp)
            if reply.outcome == "unknown":
                path = self._new_key()
            for _ in range(TRAVELLER_LOOKS):
                reply = await caller.call("GET", f"/keys/{path}", good=(200, 404))
                got = reply.body.get("value") if reply.outcome == "ok" else None
                caller.record("look", path, _anywhere(reply), got=got)

    async def _write(self, place: Place) -> None:
        caller = self._world.caller(f"stepper-{place.name}", place)
        number = 0
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            number += 1
            path = self._keys[place.name]
            reply = await caller.call("PUT", f"/keys/{path}", number)
            stamp = reply.body["versionstamp"] if reply.outcome == "ok" else None
            caller.record("step", path, reply, asked=number, stamp=stamp)
            if reply.outcome == "unknown" or number % 500 == 0:
                self._another(place)

    async def _look(self, place: Place, number: int) -> None:
        caller = self._world.caller(f"looker{number}-{place.name}", place)
        while not self._world.done.is_set():
            await self._world.pace(caller, self._share)
            path = self._keys[place.name]
            reply = await caller.call("GET", f"/keys/{path}", good=(200, 404))
            got = reply.body.get("value") if reply.outcome == "ok" else None
            caller.record("look", path, reply, got=got)

    def _another(self, place: Place) -> None:
        self._keys[place.name] = self._new_key()

    def _new_key(self) -> str:
        self._made += 1
        return f"{ROOT}/ses/s{self._made}"


def _anywhere(reply: Reply) -> Reply:
    return reply._replace(host=ANYWHERE, note=f"at {reply.host} {reply.note}".rstrip())

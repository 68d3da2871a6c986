"""Clients that watch, leave, and come back; and one that polls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from buntime_soak.caller import BASE, Caller, Reply
from buntime_soak.connection import Event, NoAnswer, NotSent, Stream
from buntime_soak.history import Op
from buntime_soak.load.bank import TOKEN_PREFIX
from buntime_soak.load.lives import PREFIX as LIVES
from buntime_soak.load.world import PATIENCE_SECONDS, ROOT, World, end_tasks, key_of, path_of

BANK = (f"{ROOT}/acc", TOKEN_PREFIX)
REGISTERS = f"{ROOT}/reg"
LONGEST_STAY_SECONDS = 12.0
SLOW_SECONDS = 0.6
"""Pauses of a client that reads slowly."""
LIMIT = 1000


class Watchers:
    """Some stay on one stream for long, others come and go."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share
        self._leave = asyncio.Event()
        self._watchers = [
            Watcher(world, "watch-bank", BANK),
            Watcher(world, "watch-accounts", BANK[:1]),
            Watcher(world, "watch-tokens", BANK[1:], slow=True),
            Watcher(world, "watch-registers", (REGISTERS,)),
            Watcher(world, "watch-lives", (LIVES,)),
            Watcher(world, "watch-all", (*BANK, REGISTERS, LIVES), slow=True),
        ]

    def clients(self) -> list[Any]:
        """A coroutine for each client that polls."""
        return [self._poll()]

    def staying(self) -> list[Any]:
        """A coroutine for each watcher; they stay until `finish`."""
        return [watcher.run(self._leave) for watcher in self._watchers]

    async def finish(self) -> None:
        """Wait until each watcher knows what there is, and keep what the store had then."""
        try:
            await asyncio.gather(*(watcher.settle() for watcher in self._watchers))
        finally:
            self._leave.set()

    async def _poll(self) -> None:
        world = self._world
        # Of one host: over hosts only those who carry a position are promised to see no less.
        place = world.places[-1]
        caller = world.caller("watch-poll", place)
        told = ""
        while not world.done.is_set():
            await world.pace(caller, self._share)
            body = {"prefixes": [key_of(path) for path in BANK], "versionstamps": told}
            reply = await caller.call("POST", "/watch/prefix/poll", body | {"limit": LIMIT})
            if reply.outcome != "ok":
                continue
            entries = _triples(reply.body["entries"])
            if entries:
                asked = "change" if told else "first"
                caller.record("told", "watch-poll", reply, asked=asked, got=entries)
            told = reply.body["versionstamps"]


class Watcher:
    """One client, over all its streams."""

    def __init__(
        self, world: World, name: str, prefixes: Sequence[str], *, slow: bool = False
    ) -> None:
        self._world = world
        self._name = name
        self._prefixes = prefixes
        self._slow = slow
        self._dice = world.dice(name)
        self._last_id: str | None = None
        self._state: dict[str, tuple[Any, str]] = {}

    async def run(self, leave: asyncio.Event) -> None:
        """Watch until it is time to leave."""
        while not leave.is_set():
            stay = self._dice.uniform(0.2, LONGEST_STAY_SECONDS)
            task = asyncio.create_task(self._watch())
            waiting = asyncio.create_task(leave.wait())
            # In the end it stays: what it has not been told by then, it has to be told.
            staying = self._world.done.is_set()
            try:
                await asyncio.wait(
                    {task, waiting},
                    timeout=None if staying else stay,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                await end_tasks(task, waiting)
            if not leave.is_set() and self._dice.random() < 0.15 and not self._world.done.is_set():
                self._last_id = None  # as a client that begins anew

    async def _watch(self) -> None:
        world = self._world
        place = self._dice.choice(world.places)
        paths = ",".join(self._prefixes)
        query = f"prefixes={quote(paths)}&limit={LIMIT}"
        headers = {} if self._last_id is None else {"Last-Event-ID": self._last_id}
        begin = world.history.now()
        try:
            stream = await Stream.open(place.address, f"{BASE}/watch/prefix?{query}", headers)
        except (NotSent, NoAnswer):
            await asyncio.sleep(0.1)
            return
        try:
            first = self._last_id is None
            async with contextlib.aclosing(stream.events()) as events:
                async for event in events:
                    self._hear(event, place.name, begin, first=first)
                    first = False
                    if self._slow and self._dice.random() < 0.05:
                        await asyncio.sleep(self._dice.uniform(0, SLOW_SECONDS))
        finally:
            stream.close()
        await asyncio.sleep(0.05)

    def _hear(self, event: Event, host: str, begin: float, *, first: bool) -> None:
        asked = "first" if first else "reset" if event.name == "reset" else "change"
        entries = _triples(event.data or ())
        if first or event.name in ("change", "reset"):
            now = self._world.history.now()
            self._world.history.add(
                Op(
                    "told", self._name, self._name, host, begin, now, "ok", asked, entries,
                    note=f"id {event.id}",
                )
            )  # fmt: skip
            if asked != "change":
                self._state.clear()
            for key, value, stamp in entries:
                if stamp is None:
                    self._state.pop(key, None)
                else:
                    self._state[key] = value, stamp
        if event.id is not None:
            self._last_id = event.id

    async def settle(self) -> None:
        """Wait until it knows what there is, or for as long as that may take."""
        caller = self._world.caller(f"{self._name}-judge")
        deadline = self._world.history.now() + PATIENCE_SECONDS / 2
        while True:
            entries, reply = await self._read(caller)
            there = {key: (value, stamp) for key, value, stamp in entries}
            if there == self._state or self._world.history.now() > deadline:
                break
            await asyncio.sleep(0.2)
        caller.record("watch-end", self._name, reply, asked=list(self._prefixes), got=entries)

    async def _read(self, caller: Caller) -> tuple[list[list[Any]], Reply]:
        found: list[list[Any]] = []
        for prefix in self._prefixes:
            start: list[Any] = []
            while True:
                body = {"prefix": key_of(prefix), "limit": LIMIT} | (
                    {"start": start} if start else {}
                )
                reply = await self._world.insist(caller, "POST", "/keys/list", body, fresh=True)
                page = [entry for entry in reply.body if entry["key"] != start]
                found += _triples(page)
                if len(reply.body) < LIMIT:
                    break
                start = reply.body[-1]["key"]
        return found, reply


def _triples(entries: Sequence[Any]) -> list[list[Any]]:
    return [[path_of(e["key"]), e["value"], e["versionstamp"]] for e in entries]

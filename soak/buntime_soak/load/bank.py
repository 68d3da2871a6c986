"""Clients that move money between accounts and tokens between places, and others that look."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from buntime_soak.caller import Caller, Reply
from buntime_soak.load.world import ROOT, World, key_of, path_of

ACCOUNTS = tuple(f"{ROOT}/acc/a{number}" for number in range(8))
START_AMOUNT = 100
TOTAL = START_AMOUNT * len(ACCOUNTS)
TOKENS = tuple(f"t{number}" for number in range(6))
TOKEN_PREFIX = f"{ROOT}/tok"
PLACES = tuple(f"{TOKEN_PREFIX}/p{number:02}" for number in range(24))
MOVERS = 2
LOOKERS = 2


class Bank:
    """All that has a total."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share / (2 * MOVERS + LOOKERS)

    async def prepare(self) -> None:
        """Give each account its money and each token its place."""
        mutations = [
            {"type": "set", "key": key_of(path), "value": START_AMOUNT} for path in ACCOUNTS
        ]
        mutations += [
            {"type": "set", "key": key_of(place), "value": token}
            for place, token in zip(PLACES, TOKENS, strict=False)
        ]
        caller = self._world.caller("bank", carries=True)
        await self._world.insist(caller, "POST", "/atomic", {"mutations": mutations})
        self._world.prepared = caller.position  # a replica may be behind, or begin anew

    def clients(self) -> list[Any]:
        """A coroutine for each client."""
        return [
            *(self._transfer(f"teller{number}") for number in range(MOVERS)),
            *(self._move(f"mover{number}") for number in range(MOVERS)),
            *(self._look(f"auditor{number}") for number in range(LOOKERS)),
        ]

    async def _transfer(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        while not world.done.is_set():
            await world.pace(caller, self._share)
            pair = caller.dice.sample(ACCOUNTS, 2)
            reply = await caller.call("POST", "/keys/batch", {"keys": [key_of(p) for p in pair]})
            if reply.outcome != "ok":
                continue
            giver, taker = reply.body
            if giver["value"] is None or taker["value"] is None:
                caller.record("accounts", "accounts", reply, asked="a batch", got={})
                continue
            amount = caller.dice.randint(0, max(0, giver["value"]))
            body = {
                "checks": [_check(giver), _check(taker)],
                "mutations": [
                    {"type": "set", "key": giver["key"], "value": giver["value"] - amount},
                    {"type": "set", "key": taker["key"], "value": taker["value"] + amount},
                ],
            }
            done = await caller.call("POST", "/atomic", body)
            caller.record(
                "transfer",
                pair[0],
                done,
                asked={"to": pair[1], "amount": amount},
                stamp=_stamp(done),
            )

    async def _move(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        while not world.done.is_set():
            await world.pace(caller, self._share)
            reply = await caller.call("GET", f"/keys?prefix={quote(TOKEN_PREFIX)}&limit=100")
            if reply.outcome != "ok":
                continue
            self._saw(caller, "tokens", reply, "a list", reply.body)
            if not reply.body:
                continue
            entry = caller.dice.choice(reply.body)
            taken = {path_of(entry["key"]) for entry in reply.body}
            place = caller.dice.choice([place for place in PLACES if place not in taken])
            body = {
                "checks": [_check(entry), {"key": key_of(place), "versionstamp": None}],
                "mutations": [
                    {"type": "delete", "key": entry["key"]},
                    {"type": "set", "key": key_of(place), "value": entry["value"]},
                ],
            }
            done = await caller.call("POST", "/atomic", body)
            asked = {"from": path_of(entry["key"]), "token": entry["value"]}
            caller.record("move", place, done, asked=asked, stamp=_stamp(done))

    async def _look(self, name: str) -> None:
        world = self._world
        caller = world.caller(name)
        ways = ["list", "batch", "transaction", "pages"]
        while not world.done.is_set():
            await world.pace(caller, self._share)
            match caller.dice.choice(ways):
                case "list":
                    await self._listed(caller)
                case "batch":
                    keys = [key_of(path) for path in ACCOUNTS]
                    reply = await caller.call("POST", "/keys/batch", {"keys": keys})
                    self._saw(caller, "accounts", reply, "a batch", reply.body)
                case "transaction":
                    keys = [key_of(path) for path in ACCOUNTS]
                    reply = await caller.call("POST", "/transaction", {"reads": keys})
                    entries = reply.body["entries"] if reply.outcome == "ok" else None
                    self._saw(caller, "accounts", reply, "a transaction", entries)
                case _:
                    await self._paged(caller)

    async def _listed(self, caller: Caller) -> None:
        if caller.dice.random() < 0.5:
            path = f"/keys?prefix={quote(f'{ROOT}/acc')}&reverse=true"
            reply = await caller.call("GET", path)
        else:
            body = {"prefix": [ROOT, "acc"], "where": {"$": {"$gte": 0}}}
            reply = await caller.call("POST", "/keys/list", body)
        self._saw(caller, "accounts", reply, "a list", reply.body)

    async def _paged(self, caller: Caller) -> None:
        """Pages of a few entries, all of one snapshot."""
        kind, prefix = caller.dice.choice((("accounts", f"{ROOT}/acc"), ("tokens", TOKEN_PREFIX)))
        entries: list[Any] = []
        cursor = ""
        call: float | None = None
        while True:
            query = f"prefix={quote(prefix)}&limit=3&snapshot=true{cursor}"
            reply = await caller.call("GET", f"/keys/paginate?{query}", good=(200, 409, 410))
            if call is None:
                call = reply.call
            if reply.outcome != "ok" or reply.status != 200:
                return  # the snapshot is not there any more, and that was said
            entries += reply.body["entries"]
            if reply.body["cursor"] is None:
                break
            cursor = f"&cursor={quote(reply.body['cursor'], safe='')}"
            await self._world.rest(caller.dice.uniform(0, 0.05))
        self._saw(caller, kind, reply._replace(call=call), "a snapshot in pages", entries)

    def _saw(self, caller: Caller, kind: str, reply: Reply, how: str, entries: Any) -> None:
        if reply.outcome != "ok":
            return
        found = [(path_of(e["key"]), e["value"]) for e in entries if e["value"] is not None]
        got: Any = dict(found)
        if len(got) != len(found):
            got = {f"{path}#{number}": value for number, (path, value) in enumerate(found)}
        caller.record(kind, kind, reply, asked=how, got=got)


def _check(entry: Any) -> dict[str, Any]:
    return {"key": entry["key"], "versionstamp": entry["versionstamp"]}


def _stamp(reply: Reply) -> str | None:
    return reply.body.get("versionstamp") if reply.outcome == "ok" else None

"""The server dies in the middle of writing; what it acknowledged is there afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_plugin_keyval.storage.dialects.sqlite.values import INLINE_BYTES
from keyval.service.asking import Api, open_api, together
from keyval.service.long_values import FAULTS
from support.database import Api as DatabaseApi
from support.live import LiveServer, live_server
from support.sampling import share_of

pytestmark = [pytest.mark.engines("sqlite", "libsql", "postgres"), pytest.mark.slow]

ROUNDS = share_of(3)
CONNECTIONS = 8
ACKNOWLEDGED_BEFORE_DEATH = 400


class Ledger:
    """What the clients know."""

    def __init__(self) -> None:
        self.sent: dict[tuple[Any, ...], set[str]] = {}
        """Every value that a key may have."""
        self.acknowledged: dict[tuple[Any, ...], str] = {}
        """The value that a key must have, or a later one."""
        self.count = 0


async def write(api: Api, ledger: Ledger, server: LiveServer, round_: int, worker: int) -> None:
    """Write until the server is gone; whoever sees enough acknowledgements kills it."""
    number = 0
    try:
        while True:
            number += 1
            value = f"{round_}/{worker}/{number}"
            if number % 5 > 2:
                value += "/" + "0" * (INLINE_BYTES * (number % 5 - 2))
            keys: list[tuple[Any, ...]] = [("put", worker, round_, number)]
            if number % 3 == 0:
                keys = [("pair", worker, round_, number, half) for half in (1, 2)]
            elif number % 3 == 1:
                keys = [("same", worker)]
            for key in keys:
                ledger.sent.setdefault(key, set()).add(value)
            if len(keys) == 1:
                await api.ask("PUT", f"/keys/{'/'.join(map(str, keys[0]))}", value)
            else:
                mutations = [{"type": "set", "key": key, "value": value} for key in keys]
                assert await api.commit(*mutations)
            ledger.acknowledged |= dict.fromkeys(keys, value)
            ledger.count += 1
            if ledger.count == ACKNOWLEDGED_BEFORE_DEATH * (round_ + 1):
                server.kill()
    except httpx2.TransportError:
        assert server.process.poll() is not None, "a living server answers"


async def entries(api: Api) -> AsyncIterator[tuple[tuple[Any, ...], Any]]:
    cursor = ""
    while True:
        page = await api.ask("POST", "/keys/paginate", {"limit": 1000, "cursor": cursor})
        for entry in page["entries"]:
            yield tuple(entry["key"]), entry["value"]
        if not page["hasMore"]:
            return
        cursor = page["cursor"]


async def verify(api: Api, ledger: Ledger) -> None:
    there = {key: value async for key, value in entries(api)}
    for key, value in ledger.acknowledged.items():
        assert key in there, f"{key} was acknowledged and is lost"
        # One writer per key: an unacknowledged value can only be a later one.
        assert there[key] == value or (key[0] == "same" and there[key] in ledger.sent[key])
        assert _number(there[key]) >= _number(value)
    for key, value in there.items():
        assert value in ledger.sent[key], f"{key} has a value that nobody wrote"
        if key[0] == "pair":
            assert there.get((*key[:-1], 3 - key[-1])) == value, f"{key} is half a commit"


def check_long_values(server: LiveServer, config: dict[str, Any]) -> None:
    """None is left behind, and none is lost, where the store itself keeps them somewhere else."""
    (adapter,) = config["plugins"][0][1]["adapters"]
    if adapter["type"] == "postgres":
        return
    with DatabaseApi(server) as database:
        for what, sql in FAULTS.items():
            assert database.post("query", {"sql": sql})["rows"] == [], what


def _number(value: str) -> tuple[int, ...]:
    return tuple(map(int, value.split("/")))


async def test_kill_in_a_stream_of_writes(
    tmp_path: Path, host_config: Callable[..., dict[str, Any]]
) -> None:
    ledger = Ledger()
    config = host_config()
    for round_ in range(ROUNDS):
        with live_server(tmp_path, config) as server:
            async with open_api([server.api]) as api:
                await verify(api, ledger)
                check_long_values(server, config)
                await together(
                    [write(api, ledger, server, round_, worker) for worker in range(CONNECTIONS)]
                )
    with live_server(tmp_path, config) as server:
        async with open_api([server.api]) as api:
            await verify(api, ledger)
            check_long_values(server, config)
            assert ledger.count >= ROUNDS * ACKNOWLEDGED_BEFORE_DEATH
            assert (await api.ask("PUT", "/keys/after", 1))["ok"]

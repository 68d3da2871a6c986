"""A cluster of three nodes whose leader is killed again and again under load.

Run as a program, with the number of kills, it prints the figures:

    PYTHONPATH=tests .venv/bin/python -m keyval.rqlite.failover 20
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from buntime_keyval import AsyncKv, KvError
from support.live import live_server
from support.rqlite import Rqlited, leader_of, running_rqlite
from support.waiting import PATIENCE, until

WRITERS = 32
CALM_SECONDS = 2.0
"""Between two kills, so that all nodes are there again."""


class Figures(NamedTuple):
    """What was seen."""

    kills: int
    acknowledged: int
    unknown: int
    """Writes of which nobody was told what became of them."""
    refused: int
    lost: int
    """Acknowledged, and not there."""
    doubled: int
    """Carried out twice."""
    unseen: int
    """Acknowledged, and never told to who watches."""
    undelivered: int
    """Messages that were acknowledged, and came to nobody."""
    outages: list[float]
    """Seconds of the longest write of each kill."""
    differing: list[str]
    """Tables whose rows are not the same on all nodes."""


class _Load:
    def __init__(self, kv: AsyncKv) -> None:
        self._kv = kv
        self.is_over = False
        self.acknowledged: set[tuple[int, int]] = set()
        self.sent: Counter[int] = Counter()
        self.unknown = self.refused = 0
        self.messages: set[str] = set()
        self.seen: set[tuple[int, int]] = set()
        self.delivered: set[str] = set()
        self.longest = 0.0

    async def write(self, writer: int) -> None:
        """Each write makes a key, counts, and every tenth sends a message."""
        number = 0
        while not self.is_over:
            number += 1
            write = self._kv.atomic().set(["made", writer, number], number)
            write.sum(["count", writer], 1)
            name = f"{writer}.{number}"
            if number % 10 == 0:
                write.enqueue(name)
            self.sent[writer] += 1
            began = monotonic()
            try:
                await write.commit()
            except KvError as error:
                if error.code == "KEYVAL_OUTCOME_UNKNOWN":
                    self.unknown += 1
                else:
                    self.refused += 1
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.add((writer, number))
                if number % 10 == 0:
                    self.messages.add(name)
            self.longest = max(self.longest, monotonic() - began)

    async def goes_on(self) -> None:
        """Wait until writes are answered again; those that wait would count for a later kill."""
        enough = len(self.acknowledged) + WRITERS
        await until(lambda: len(self.acknowledged) >= enough)

    async def watch(self) -> None:
        async for entries in self._kv.watch(["made"], emit_initial=False):
            for entry in entries:
                _, writer, number = entry.key
                self.seen.add((int(str(writer)), int(str(number))))

    async def consume(self) -> None:
        async for message in self._kv.listen_queue():
            self.delivered.add(str(message.value))

    async def judged(self, kills: int, outages: list[float]) -> Figures:
        """Wait until watch and queue have come to the end, and count what is missing."""
        made = set()
        cursor = None
        while True:
            page = await self._kv.paginate(["made"], cursor=cursor, limit=1000)
            made |= {(int(str(one.key[1])), int(str(one.key[2]))) for one in page.entries}
            cursor = page.cursor
            if cursor is None:
                break
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline and (  # noqa: ASYNC110 - both come from elsewhere
            made - self.seen or self.messages - self.delivered
        ):
            await asyncio.sleep(0.1)
        doubled = 0
        for writer in range(WRITERS):
            counted = (await self._kv.get(["count", writer])).value or 0
            doubled += abs(int(counted) - sum(1 for who, _ in made if who == writer))
        return Figures(
            kills,
            len(self.acknowledged),
            self.unknown,
            self.refused,
            len(self.acknowledged - made),
            doubled,
            len(made - self.seen),
            len(self.messages - self.delivered),
            outages,
            [],
        )


@asynccontextmanager
async def _background(*works: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def _fail_over(url: str, kills: int, kill_leader: _Kill) -> Figures:
    outages = []
    # Nothing is repeated here: what the server promises is judged, not what the client makes of it.
    async with AsyncKv(url, retries=0, timeout="30s") as kv:
        load = _Load(kv)
        watching = asyncio.create_task(load.watch())
        consuming = asyncio.create_task(load.consume())
        async with _background(watching, consuming):
            await asyncio.sleep(0.5)
            writers = [asyncio.create_task(load.write(writer)) for writer in range(WRITERS)]
            for _ in range(kills):
                await asyncio.sleep(CALM_SECONDS)
                load.longest = 0.0
                await asyncio.to_thread(kill_leader)
                await load.goes_on()
                outages.append(load.longest)
            load.is_over = True
            await asyncio.gather(*writers)
            return await load.judged(kills, outages)


class _Kill:
    def __init__(self, servers: list[Rqlited]) -> None:
        self._servers = servers

    def __call__(self) -> None:
        """Kill who leads, and start it again once another one does."""
        leader = leader_of(self._servers)
        leader.kill()
        leader_of([server for server in self._servers if server is not leader])
        leader.start()


def fail_over(folder: Path, kills: int) -> Figures:
    """Kill the leader so often, under the load of a host."""
    with running_rqlite(folder / "cluster", nodes=3) as servers:
        adapter = {"type": "rqlite", "urls": [server.url for server in servers]}
        config = {
            "plugins": [
                ["@buntime/plugin-database", {"adapters": [adapter]}],
                ["@buntime/plugin-keyval", {}],
            ]
        }
        (folder / "host").mkdir()
        with live_server(folder / "host", config) as host:
            figures = asyncio.run(_fail_over(host.api, kills, _Kill(servers)))
        return figures._replace(differing=_differing(servers))


def _differing(servers: list[Rqlited]) -> list[str]:
    """Once nobody writes, and all have caught up."""
    names = servers[0].rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
    deadline = monotonic() + PATIENCE
    while True:
        found = []
        for (table,) in names:
            dumps = [server.rows(f'SELECT * FROM "{table}"', "none") for server in servers]
            if any(dump != dumps[0] for dump in dumps):
                found.append(str(table))
        if not found or monotonic() > deadline:
            return found
        sleep(0.2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        figures = fail_over(Path(name), int(sys.argv[1]))
    print(figures)
    print("outages, seconds:", [round(seconds, 2) for seconds in sorted(figures.outages)])

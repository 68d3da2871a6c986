"""A program that starts what schedules say on a store of its own process, until it is killed."""

from __future__ import annotations

import asyncio
import sys

from buntime_keyval import open_kv


async def main(path: str) -> None:
    async with open_kv(path) as kv:
        await kv.schedules.list()  # the first call opens the store
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))

"""A program that runs tasks on a store of its own process, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from buntime_keyval import PreconditionFailed, TaskContext, open_kv


async def main(path: str) -> None:
    async with open_kv(path) as kv:
        runner = kv.runner(concurrency=4, lease="1s")

        @runner.task("work")
        async def work(number: int, context: TaskContext) -> Any:
            place = (number, context.task.token)
            try:
                await kv.set(["runs", *place], context.attempts, create_only=True)
            except PreconditionFailed:
                await kv.set(["twice", *place], context.attempts)
            await asyncio.sleep(0.05)
            return number

        await runner.run()


asyncio.run(main(sys.argv[1]))

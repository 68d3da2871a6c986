"""A program that takes a lock again and again, and writes under it what a third one checks."""

from __future__ import annotations

import asyncio
import sys

from buntime_keyval import AsyncKv, LockHeld


async def contend(kv: AsyncKv, owner: str, rounds: int) -> None:
    """Count under the lock, a number that is read, and then written as one more."""
    for _ in range(rounds):
        while True:
            try:
                held = await kv.locks.acquire("count", owner, duration="20s", wait="2m")
            except LockHeld:
                continue
            break
        number = (await kv.get(["counted"], consistency="strong")).value or 0
        done = await (
            kv.atomic()
            .check_lock("count", held.token)
            .set(["counted"], number + 1)
            .set(["rounds", number], [owner, held.token])
            .commit()
        )
        assert done.ok
        assert await kv.locks.release("count", owner, token=held.token)


async def main(url: str, name: str, number: int, rounds: int) -> None:
    """Have so many contenders of one process."""
    async with AsyncKv(url, timeout="60s") as kv:
        await asyncio.gather(*(contend(kv, f"{name}{it}", rounds) for it in range(number)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

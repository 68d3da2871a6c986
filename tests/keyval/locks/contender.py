"""A program that takes a lock again and again, and writes under it what a third one checks."""

from __future__ import annotations

import asyncio
import sys

from buntime_keyval import AsyncKv, LockHeld

LONG = "20s"
"""How long a lock lasts that nobody loses."""


async def contend(kv: AsyncKv, owner: str, rounds: int, duration: str) -> None:
    """Count under the lock, a number that is read, and then written as one more."""
    is_short = duration != LONG
    for _ in range(rounds):
        while True:
            try:
                held = await kv.locks.acquire("count", owner, duration=duration, wait="2m")
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
        # On a busy machine a short one may be over: then nothing was written.
        assert done.ok or is_short
        assert await kv.locks.release("count", owner, token=held.token) or is_short


async def main(url: str, name: str, number: int, rounds: int, duration: str) -> None:
    """Have so many contenders of one process."""
    async with AsyncKv(url, timeout="60s") as kv:
        owners = (f"{name}{it}" for it in range(number))
        await asyncio.gather(*(contend(kv, owner, rounds, duration) for owner in owners))


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *(sys.argv[5:] or [LONG])
        )
    )

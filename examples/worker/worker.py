"""Takes messages from the queue "mails" and does what they ask for, four at a time.

What fails is tried again later, and after some tries it is among the dead letters. On SIGTERM or
Ctrl-C nothing more is taken, and what runs is finished. The variable `KEYVAL_URL` is the base of
the store's API; by default that of `buntime serve`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

from buntime_keyval import AsyncKv

DEFAULT_URL = "http://127.0.0.1:8000/keyval/api"
logger = logging.getLogger("worker")


async def run() -> None:
    """Work until this process is told to end."""
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with AsyncKv(os.environ.get("KEYVAL_URL", DEFAULT_URL)) as kv:

        async def send_mail(message: Any) -> None:
            """Pretend to send a mail; that it was sent is kept in the store."""
            to = message.value["to"]
            await kv.set(["sent", to], {"message": message.id}, expires_in="30d")
            logger.info("sent a mail to %s", to)

        listener = kv.listen_queue(
            send_mail,
            queue="mails",
            concurrency=4,
            on_error=lambda error: logger.warning("a mail failed: %s", error),
        )
        logger.info("waiting for mails")
        await ending.wait()
        await listener.stop()
        logger.info("done")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(run())

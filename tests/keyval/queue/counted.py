"""Which deliveries count: they are written down a little after a message was given."""

from __future__ import annotations

import time

from support.beside import opened_beside
from support.live import LiveServer
from support.waiting import PATIENCE


def wait_until_counted(server: LiveServer, number: int) -> None:
    """Wait until so many messages that nobody has settled count as delivered."""
    with opened_beside(server.folder / "data" / "_default.db") as database:
        deadline = time.monotonic() + PATIENCE
        while database.execute("SELECT sum(counted) FROM kv_queue").get != number:
            assert time.monotonic() < deadline, "they were never counted"
            time.sleep(0.01)

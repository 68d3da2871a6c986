"""Files of databases as another program opens them, while a host has them open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from support.waiting import PATIENCE


@contextmanager
def opened_beside(path: str | Path) -> Iterator[apsw.Connection]:
    """A connection that waits for the lock, which a sweep or a queue can take at any time."""
    connection = apsw.Connection(os.fspath(path))
    connection.set_busy_timeout(int(PATIENCE * 1000))
    try:
        yield connection
    finally:
        connection.close()

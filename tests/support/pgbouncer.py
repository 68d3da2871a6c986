"""PgBouncer before a PostgreSQL server, giving a connection away after each transaction."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from support.postgres import ADMIN, Postgres, as_nobody_special, folder_for_servers
from support.programs import needed_program
from support.sqld import free_port, listens
from support.waiting import PATIENCE

SERVER_CONNECTIONS = 4
"""Fewer than clients have, so that these share them."""


@contextmanager
def running_pgbouncer(server: Postgres, mode: str = "transaction") -> Iterator[str]:
    """A pooler before the server's first database; its URL."""
    with folder_for_servers() as folder:
        port = free_port()
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"""
[databases]
* = host=127.0.0.1 port={server.port} user={ADMIN}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = 200
logfile = {folder / "pgbouncer.log"}
"""
        )
        process = subprocess.Popen(
            [needed_program("pgbouncer", "/usr/sbin/pgbouncer"), "-q", str(config)],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_nobody_special(),
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while not listens(port):
                assert process.poll() is None, (folder / "pgbouncer.log").read_text()
                assert time.monotonic() < deadline, "pgbouncer does not listen"
                time.sleep(0.02)
            yield f"postgresql://{ADMIN}@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait(PATIENCE)

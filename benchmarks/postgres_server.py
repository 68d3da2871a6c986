"""A PostgreSQL server of the benchmark's own.

Needs Debian's `postgresql`, which is started as its user where this runs as root.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from client import BenchmarkError
from processes import free_port


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgres_running() -> Iterator[str | None]:
    """A server with an empty database, once it answers; its URL, None where there is no PostgreSQL.

    Raises `BenchmarkError`.
    """
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        yield None
        return
    who: dict[str, Any] = {}
    # The folder of the benchmarks is closed to others.
    folder = Path(tempfile.mkdtemp(prefix="buntime-benchmark-"))
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, port = folder / "data", free_port()
    try:
        made = [
            initdb,
            "-D",
            str(data),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--auth=trust",
            "--no-sync",
        ]
        subprocess.run(made, check=True, capture_output=True, **who)
        run = [postgres, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [*run, "-c", "unix_socket_directories="], stdout=log, stderr=log, **who
            )
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            asyncio.run(_answers(url))
            yield url
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(url: str) -> None:
    for _ in range(300):
        try:
            connection = await asyncpg.connect(url)
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.1)
        else:
            await connection.close()
            return
    raise BenchmarkError("the server did not start")

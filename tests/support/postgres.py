"""Real PostgreSQL servers: Debian's, each in a folder of its own, on free ports of the loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.programs import lacking
from support.sqld import free_port
from support.waiting import PATIENCE

ADMIN = "postgres"
"""Who may do everything, from the loopback without a password."""
GUARDED, PASSWORD = "guarded", "s3cret:/@ word"
"""Who is asked for a password; it has characters that a URL has to escape."""
ESCAPED = "s3cret%3A%2F%40%20word"
ENCRYPTED = "encrypted"
"""Who is let in by TLS alone."""

_UNSAFE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "log_line_prefix": "%m [%p] ",
    "deadlock_timeout": "100ms",
    # Files in its folder, which go with it: one that is killed leaves what it has in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
}
_ACCESS = f"""\
hostssl all {ENCRYPTED} 127.0.0.1/32 trust
host all {ENCRYPTED} 127.0.0.1/32 reject
host all {GUARDED} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""


def programs() -> Path:
    """The folder of the server's programs: the one in `POSTGRES_PROGRAMS`, else the newest.

    Where there is none the test is skipped, but never in CI.
    """
    if chosen := os.environ.get("POSTGRES_PROGRAMS"):
        return Path(chosen)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        lacking("PostgreSQL")
    return found[-1].parent if found else Path(on_path or "").parent


def _version(program: Path) -> int:
    return int(program.parts[-3])


def as_nobody_special() -> dict[str, Any]:
    """What lets `subprocess` start a program as the user that has no rights here.

    The server refuses to be run by root. Everybody else runs it as themselves.
    """
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(ADMIN)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """A folder which that user may write to: the folders of tests are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="buntime-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, ADMIN, ADMIN)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """One server, which can be killed and started again on the same data and port."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """A new cluster in the folder, which must not be there yet.

        `settings` are those of `postgresql.conf`; without any an answered commit does not
        survive a power cut, which no test of the others can tell.
        """
        self.folder = folder
        self.port = free_port()
        self._programs = programs()
        self._settings = {**_SETTINGS, **(_UNSAFE if settings is None else settings)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its first database is."""
        return self.url_of("postgres")

    def url_of(self, database: str, user: str = ADMIN) -> str:
        """Where a database is; the password of a user that needs one is in it."""
        who = f"{user}:{ESCAPED}" if user == GUARDED else user
        return f"postgresql://{who}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the cluster."""
        options = ("-U", ADMIN, "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync")
        done = subprocess.run(
            [str(self._programs / "initdb"), "-D", str(self.folder), *options],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **as_nobody_special(),
        )
        assert done.returncode == 0, done.stderr
        (self.folder / "pg_hba.conf").write_text(_ACCESS)

    def copy(self, folder: Path) -> Postgres:
        """A standby of this one, which runs: a server that follows and only reads. Not started."""
        standby = Postgres(folder, self._settings)
        done = subprocess.run(
            [
                *(str(self._programs / "pg_basebackup"), "-d", self.url, "-D", str(folder)),
                *("-R", "-X", "stream", "-c", "fast", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **as_nobody_special(),
        )
        assert done.returncode == 0, done.stderr
        return standby

    def start(self, *, wait: bool = True) -> None:
        """Start it and wait until it answers, unless that is not wanted."""
        settings = {**self._settings, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self.folder.with_name(f"{self.folder.name}.log")
        deadline = time.monotonic() + PATIENCE
        while True:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [str(self._programs / "postgres"), "-D", str(self.folder), *options],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    **as_nobody_special(),
                )
            while wait and self._process.poll() is None and not self._answers():
                assert time.monotonic() < deadline, f"it did not start:\n{log.read_text()}"
                time.sleep(0.01)
            if self._process.poll() is None:
                return
            # The memory of one that was killed is still used by a process of it.
            assert time.monotonic() < deadline, f"it did not start:\n{log.read_text()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it and all its processes as a power cut would."""
        process, self._process = self._process, None
        if process is None:
            return
        children = _children(process.pid)
        process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait(PATIENCE)

    def stop(self) -> None:
        """Let it end what it does, and disconnect everybody."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)

    def run(self, sql: str, database: str = "postgres") -> list[str]:
        """Run SQL past everything that is tested; the rows as text, columns parted by `|`."""
        options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        done = subprocess.run(
            [str(self._programs / "psql"), *options, "-d", self.url_of(database)],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def create_database(self) -> str:
        """Make an empty database beside the others; its name."""
        name = f"d{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def _answers(self) -> bool:
        program = str(self._programs / "pg_isready")
        where = ("-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1")
        return subprocess.run([program, *where], check=False).returncode == 0


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


@contextmanager
def running_postgres(settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A new server, which is gone afterwards with all that it has."""
    with folder_for_servers() as folder:
        server = Postgres(folder / "data", settings)
        server.initialise()
        try:
            server.start()
            server.run(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
            server.run(f"CREATE ROLE {ENCRYPTED} LOGIN SUPERUSER")
            yield server
        finally:
            server.kill()

"""Whether a database file is still the one that was opened, and whole.

When the file of an open database is deleted or replaced, processes that have it open go on reading
and writing the old one, whose data is lost. So its names are checked, before every commit and at
least every tenth of a second while it is read. Once they mean other files, the database is unusable
until it is opened again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from time import monotonic
from typing import NamedTuple, NoReturn

import apsw
from buntime_database import DatabaseDamaged, DatabaseError, DatabaseLost, DatabaseUnavailable

from buntime_plugin_database.engines.sqlite.errors import translate

LOOK_SECONDS = 0.1
_SMALLEST_DATABASE_BYTES = 512
"""One page of the smallest size: a shorter file has lost its header."""

logger = logging.getLogger("plugin:@buntime/plugin-database")


class _Identity(NamedTuple):
    device: int
    inode: int


class FileCondition:
    """The known state of one open database; its writer, readers and sessions share it."""

    def __init__(self, path: str | None) -> None:
        """None is a database in memory, which has no files to lose.

        Made once the database is open, when all of its files are there. Raises
        `DatabaseUnavailable` if one is not.
        """
        self._path = path or ""
        self._problem: str | None = None
        self._lost = False
        self._telling = Lock()
        self._identities: dict[str, _Identity] = {}
        self._size = 0
        self.shrinkings = 0
        """How often the file became smaller: pages in a cache may be gone from it then."""
        self._due = float("inf")
        if path is not None:
            # SQLite keeps one log and one index of it for as long as any connection has the file
            # open.
            try:
                for name in (path, f"{path}-wal", f"{path}-shm"):
                    status = os.stat(name)
                    self._identities[name] = _Identity(status.st_dev, status.st_ino)
                self._size = os.stat(path).st_size
            except OSError as error:
                raise DatabaseUnavailable(
                    f"cannot open database {path}: {error.filename}: {error.strerror}"
                ) from error
            self._due = 0.0

    @property
    def problem(self) -> str | None:
        """Why the database is unusable, checked now; None if it is usable."""
        self.is_current()
        return self._problem

    def is_current(self) -> bool:
        """Whether the files are the ones that were opened, looked at now."""
        try:
            self._look_at_all()
        except DatabaseLost:
            return False
        return True

    def check(self) -> None:
        """Raise `DatabaseLost` if the files were others at the last check, a tenth of a
        second ago.
        """
        if monotonic() >= self._due:
            self._look_at_all()

    def check_commit(self) -> None:
        """Raise `DatabaseLost` if the database is another file at this moment."""
        if monotonic() >= self._due:
            self._look_at_all()
        elif self._identities:
            self._look_at(self._path)

    def translate(self, error: Exception) -> DatabaseError:
        """The error of the seam; damage is remembered, and makes the database unhealthy."""
        ours = translate(error)
        if isinstance(ours, DatabaseDamaged):
            self._tell(
                f"the database {self._path or 'in memory'} is damaged: {ours}; what it still has is"
                " served, restore it from a backup and start again"
            )
        return ours

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the body's exceptions, translated and chained."""
        try:
            yield
        except DatabaseError:
            raise
        except Exception as error:
            raise self.translate(error) from error

    def close(self, connection: apsw.Connection) -> None:
        """Close a connection, without touching the present files if they are another database's.

        The last one to close copies the log into the file and deletes the log by its name.
        """
        if not self.is_current():
            with suppress(apsw.ConnectionClosedError):
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close(True)

    def end(self) -> None:
        """All connections are closed: the files are no longer checked."""
        self._identities.clear()
        if not self._lost:
            self._due = float("inf")

    def _look_at_all(self) -> None:
        if self._lost:
            raise DatabaseLost(str(self._problem))
        for name in self._identities:
            self._look_at(name)
        if self._identities:
            self._due = monotonic() + LOOK_SECONDS

    def _look_at(self, name: str) -> None:
        try:
            status = os.stat(name)
        except FileNotFoundError:
            self._lose(f"{name} was deleted")
        except OSError as error:
            self._lose(f"{name} cannot be looked at: {error.strerror}")
        if _Identity(status.st_dev, status.st_ino) != self._identities[name]:
            self._lose(f"{name} was replaced by another file")
        if name != self._path:
            return
        if status.st_size < _SMALLEST_DATABASE_BYTES:
            self._lose(f"{name} was cut to {status.st_size} bytes")
        if status.st_size < self._size:
            self.shrinkings += 1
        self._size = status.st_size

    def _lose(self, what: str) -> NoReturn:
        with self._telling:
            first, self._lost = not self._lost, True
            if first:
                self._due = float("-inf")
                self._problem = (
                    f"the database {self._path} is lost: {what} while it was open; put the right"
                    " file back and start again"
                )
                logger.error("%s", self._problem)
        raise DatabaseLost(str(self._problem))

    def _tell(self, problem: str) -> None:
        with self._telling:
            if self._problem is None:
                self._problem = problem
                logger.error("%s", problem)

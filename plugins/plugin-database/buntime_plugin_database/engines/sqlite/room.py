"""Keeps room on the disk for emptying a store that has filled it, and returns free pages.

SQLite writes before it frees: a DELETE goes into the log first, and the log into the file. So where
little room is left, the log is kept short, a write is accepted only if there is room for it in
both, and a reserve, a file beside the database, is released if others fill the disk.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from threading import Lock
from time import monotonic

import apsw
from buntime_database import Batch, DatabaseFull, Guard, Value

from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.files import PRIVATE_FILE
from buntime_plugin_database.shared.statements import first_word

TIGHT_BYTES = 64 * 1024 * 1024
"""With less than this, every write is checked: it is more than the pages of a log that were not
copied yet, by which the file may have to grow."""
SHARE_OF_DISK = 16
"""The reserve is at most this part of its file system, which may be a small one."""
MARGIN_BYTES = 256 * 1024
"""Room for small writes, and for the log itself, besides the values."""
USUAL_BYTES = 1024 * 1024
"""A store with room for a value of this size is no full one, whatever else did not fit."""
TIGHT_CHECKPOINT_PAGES = 64
STEP_PAGES = 256
STEP_SECONDS = 0.01
"""Time that giving back may take at once, for it keeps other writes waiting."""
PAUSE_SECONDS = 0.1
"""Seconds between two returns of free pages."""
LOOK_SECONDS = 0.1
MAX_FREEING_BYTES = 64 * 1024

_CONTROL = frozenset(
    {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "DETACH"}
)
_INCREMENTAL = 2  # what SQLite calls auto_vacuum = incremental
_PAGE_BYTES = 4096


class NoRoom(DatabaseFull):
    """A write was not tried, since it would not fit."""


class Room:
    """The known room for one database; its writer and sessions share it.

    The connection is passed in by the one that has its turn.
    """

    def __init__(self, path: str, condition: FileCondition, *, reserve_bytes: int) -> None:
        """Make the reserve if there is room for it; 0 for none."""
        self._folder = os.path.dirname(path) or "."
        self._reserve = f"{path}-reserve"
        self._wanted = reserve_bytes
        self._condition = condition
        self._lock = Lock()
        self._tight = False
        self._look_at = 0.0
        self._give_back_at = 0.0
        self._refused_bytes = 0
        self._held = False
        self._hold_at = 0.0
        self._hold()

    def is_tight(self) -> bool:
        """Whether so little is left that writes have to ask, as of a tenth of a second ago."""
        now = monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._tight = self._free() < TIGHT_BYTES
        return self._tight

    def admits(self, connection: apsw.Connection, size: int) -> bool:
        """Whether values of so many bytes fit, into the log and into the file."""
        unused = _free_pages(connection) * _PAGE_BYTES
        margin = MARGIN_BYTES
        reserve = self._reserve_bytes()
        if unused < 2 * reserve and not os.path.exists(self._reserve):
            margin += reserve  # the reserve is not for a disk that the store itself has filled
        left = self._free() - margin
        fits = left >= size + max(0, size - unused)
        if not fits:
            self._refused_bytes = max(self._refused_bytes, min(size, USUAL_BYTES), 1)
        elif left >= self._refused_bytes + max(0, self._refused_bytes - unused):
            self._refused_bytes = 0
        return fits

    @property
    def refuses(self) -> bool:
        """Whether something did not fit that still would not."""
        return self._refused_bytes > 0

    def wants_reserve(self) -> bool:
        """Whether it is time to try to have a reserve again."""
        return not self._held and monotonic() >= self._hold_at

    def has_much_unused(self, connection: apsw.Connection) -> bool:
        """Whether the file has free pages that are worth the time of giving them back."""
        return _free_pages(connection) >= STEP_PAGES

    def refuse(self) -> NoRoom:
        """The error for what does not fit."""
        return NoRoom("the disk is full: only what makes room is taken until there is some")

    def check_statement(
        self, connection: apsw.Connection, sql: str, args: Sequence[Value], *, alone: bool
    ) -> None:
        """Raise `NoRoom` for a statement that would fill up the reserve that was given up.

        One that is `alone`, in no transaction, can have room made for it before.
        """
        if not self.is_tight() or statement_makes_room(sql, args):
            return
        self.keep_log_short(connection)
        size = statement_size(sql, args)
        if self.admits(connection, size):
            return
        if alone:
            self.give_back(connection)
            if self.admits(connection, size):
                return
        raise self.refuse()

    def keep_log_short(self, connection: apsw.Connection) -> None:
        """Make commits of the connection empty the log soon while little room is left.

        Otherwise they leave that to `Checkpoints`.
        """
        connection.wal_autocheckpoint(TIGHT_CHECKPOINT_PAGES if self._tight else 0)

    def give_up(self, connection: apsw.Connection) -> None:
        """SQLite found no room: release the reserve, and the unneeded part of the log."""
        with self._lock:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._reserve)
            self._look_at = self._give_back_at = self._hold_at = 0.0
            self._held = False
            if self._condition.is_current():  # else there is nothing to be saved
                _empty_log(connection)

    def give_back(self, connection: apsw.Connection) -> None:
        """Give free pages back to the disk, for a bounded time, and have a reserve again."""
        with self._lock:
            if not self._condition.is_current():
                return
            _empty_log(connection)
            now = monotonic()
            if now >= self._give_back_at and _is_incremental(connection):
                # If it fails it is tried again soon; the next commit reports what is wrong.
                with contextlib.suppress(apsw.Error):
                    while _free_pages(connection) and monotonic() < now + STEP_SECONDS:
                        connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
                        _empty_log(connection)
                self._give_back_at = monotonic() + PAUSE_SECONDS
            self._hold()

    def _hold(self) -> None:
        """Have a reserve, if one is wanted and there is room."""
        size = self._reserve_bytes()
        self._hold_at = monotonic() + PAUSE_SECONDS
        self._held = not size or os.path.exists(self._reserve)
        if self._held or self._free() < size + MARGIN_BYTES:
            return
        try:
            reserve = os.open(self._reserve, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
        except OSError:  # another process was faster, or the disk is full by now
            return
        try:
            os.posix_fallocate(reserve, 0, size)
        except OSError:
            os.unlink(self._reserve)
        else:
            self._held = True
        finally:
            os.close(reserve)

    def _reserve_bytes(self) -> int:
        return min(self._wanted, self._disk()[0] // SHARE_OF_DISK)

    def _free(self) -> int:
        return self._disk()[1]

    def _disk(self) -> tuple[int, int]:
        """Bytes of the file system, and those that are free."""
        try:
            status = os.statvfs(self._folder)
        except OSError:  # the folder is gone, and `FileCondition` tells so
            return 0, 0
        return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize


def size_of(batch: Batch) -> int:
    """Bytes of the values that a batch brings."""
    return sum(_size(step.args) for step in batch.steps)


def makes_room(batch: Batch) -> bool:
    """Whether a batch deletes, or changes existing rows, without large new values."""
    words = {first_word(step.sql) for step in batch.steps if not isinstance(step, Guard)}
    frees = "DELETE" in words or "DROP" in words or words <= {"UPDATE"}
    return frees and size_of(batch) <= MAX_FREEING_BYTES


def statement_makes_room(sql: str, args: Sequence[Value]) -> bool:
    """The same for one statement of a session, where transactions have statements of their own."""
    word = first_word(sql)
    frees = word in _CONTROL or word in {"DELETE", "DROP", "UPDATE"}
    return frees and statement_size(sql, args) <= MAX_FREEING_BYTES


def statement_size(sql: str, args: Sequence[Value]) -> int:
    """Bytes that one statement brings, in its text or its arguments."""
    return len(sql) + _size(args)


def _size(args: Sequence[Value]) -> int:
    return sum(len(value) for value in args if isinstance(value, (str, bytes)))


def _free_pages(connection: apsw.Connection) -> int:
    """Free pages of the file; 0 if their number is unknown."""
    with contextlib.suppress(apsw.Error):
        return int(str(connection.pragma("freelist_count")))
    return 0


def _is_incremental(connection: apsw.Connection) -> bool:
    with contextlib.suppress(apsw.Error):
        return bool(connection.pragma("auto_vacuum") == _INCREMENTAL)
    return False


def _empty_log(connection: apsw.Connection) -> None:
    """Copy the log into the database and cut it, as far as no reader needs it."""
    with contextlib.suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

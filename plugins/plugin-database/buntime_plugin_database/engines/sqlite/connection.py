"""Opening a database file with the settings that the engine relies on."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import apsw
from buntime_database import DatabaseDamaged, DatabaseUnavailable

from buntime_plugin_database.engines.sqlite import cjk
from buntime_plugin_database.engines.sqlite.errors import translate
from buntime_plugin_database.engines.sqlite.files import (
    make_file,
    make_folder,
    refuse_remains,
    what_is_wrong,
)

MEMORY = ":memory:"

_APPLICATION_CACHE_STATEMENTS = 200
_WAL_KEPT_BYTES = 64 * 1024 * 1024
_WAL_RETRY_SECONDS = 0.005


class SqliteOptions(NamedTuple):
    """How an embedded database behaves.

    `synchronous` is the event that an acknowledged write survives besides the death of the process:
    `full` a power cut; after one, `normal` may lack the last writes, and `off` may leave a damaged
    file.
    """

    synchronous: Literal["off", "normal", "full", "extra"] = "full"
    busy_timeout_ms: int = 5000
    """How long a write waits for another process's lock before it fails with `DatabaseBusy`."""
    statement_timeout_ms: int = 10_000
    """How long a read or a write in a thread may run; 0 for ever."""
    cache_bytes: int = 64 * 1024 * 1024
    """Page cache of each connection."""
    readers: int = 3
    """Threads that scan; reads by key need none."""
    reserve_bytes: int = 0
    """Size of a file beside the database that is released when the disk is full; 0 for none."""


def open_connection(path: str, options: SqliteOptions, *, writes: bool) -> apsw.Connection:
    """Open one connection; the file and its folder are created if they are missing.

    Raises `DatabaseUnavailable` with the path and the reason when that fails.
    """
    connection: apsw.Connection | None = None
    try:
        if path != MEMORY and writes:
            _make(Path(path))
        # Not made by SQLite: everyone could read it, and it might take the place of a lost one.
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if path == MEMORY else 0)
        connection = apsw.Connection(path, flags, statementcachesize=_APPLICATION_CACHE_STATEMENTS)
        connection.set_busy_timeout(options.busy_timeout_ms)
        connection.pragma("foreign_keys", True)
        connection.pragma("temp_store", "memory")
        connection.pragma("cache_size", -(options.cache_bytes // 1024))
        connection.create_scalar_function("casefold", _casefold, 1, deterministic=True)
        cjk.register(connection)
        if writes:
            _prepare_writing(connection, path, options)
        else:
            connection.pragma("query_only", True)
    except apsw.Error as error:
        if connection is not None:
            connection.close()
        ours = translate(error)
        reason = str(ours)
        if writes and path != MEMORY and isinstance(ours, DatabaseDamaged):
            reason = f"{what_is_wrong(Path(path)) or reason}. Restore it from a backup"
        failed = type(ours) if isinstance(ours, DatabaseDamaged) else DatabaseUnavailable
        raise failed(f"cannot open database {path}: {reason}") from error
    return connection


def _make(path: Path) -> None:
    """Create the file and its folder if they are missing; refuse the remains of a lost one."""
    what = f"the folder of database {path}"
    try:
        make_folder(path.parent)
        what = f"database {path}"
        refuse_remains(path)
        make_file(path)
    except OSError as error:
        raise DatabaseUnavailable(f"cannot create {what}: {error.strerror}") from error


def _prepare_writing(connection: apsw.Connection, path: str, options: SqliteOptions) -> None:
    # Otherwise SQLite would prepare a statement again whenever a value is bound that it has
    # compared with the condition of a partial index, which takes ten times as long as running a
    # short one.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    if path != MEMORY and Path(path).stat().st_size == 0:
        with suppress(apsw.BusyError):  # another process makes it
            connection.pragma("auto_vacuum", "incremental")
    mode = _enter_wal(connection, options)
    if path != MEMORY and mode != "wal":
        raise apsw.CantOpenError(f"the file system allows no write-ahead log (got {mode})")
    connection.pragma("journal_size_limit", _WAL_KEPT_BYTES)
    connection.wal_autocheckpoint(0)  # see `checkpoints.py`
    connection.pragma("synchronous", options.synchronous)
    # Errors of the file are raised now, with the path, and not by a user's first write.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    connection.set_busy_timeout(0)  # from here on the writer does the waiting
    with suppress(apsw.BusyError):  # someone else writes just now, so it can be written
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def _enter_wal(connection: apsw.Connection, options: SqliteOptions) -> object:
    """The journal mode after asking for WAL.

    Of two that open one new file at once SQLite refuses one, at once and whatever its timeout.
    """
    give_up = time.monotonic() + options.busy_timeout_ms / 1000
    while True:
        try:
            return connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() >= give_up:
                raise
            time.sleep(_WAL_RETRY_SECONDS)


def _casefold(*args: apsw.SQLiteValue) -> apsw.SQLiteValue:
    (text,) = args
    return text.casefold() if isinstance(text, str) else text

"""Creates and checks the files of a database before it is opened.

A database may hold everything that its users have, so only the owner may read its files. SQLite
gives its log and the index of it the mode of the database.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from buntime_database import DatabaseDamaged

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_HEADER_BYTES = 100


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner alone.

    Raises `OSError`.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(PRIVATE_FOLDER, exist_ok=True)


def make_file(path: Path) -> bool:
    """Make an empty file for the owner alone; False if there is one, which is left alone.

    Raises `OSError`.
    """
    try:
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    except FileExistsError:
        return False
    os.close(made)
    return True


def too_open(path: Path) -> str | None:
    """A warning about a file that others than its owner can open; None if nobody else can."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    if os.name == "nt" or not mode & 0o077:
        return None
    return (
        f"the database {path} can be opened by others than its owner (mode {mode:04o}): 0600 is"
        " enough for the file and its -wal and -shm"
    )


def refuse_remains(path: Path) -> None:
    """Raise `DatabaseDamaged` for a log whose database is gone; SQLite would delete it.

    The log may have the newest writes, so a user who lost the file by accident still needs it.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        pending = log.stat().st_size
    except FileNotFoundError:
        return
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if pending:
            raise DatabaseDamaged(
                f"cannot open database {path}: the file is missing, but its log {log.name} is there"
                f" with {pending} bytes. Put the file back, or remove the log to begin anew"
            ) from None
        return
    if size == 0:
        raise DatabaseDamaged(
            f"cannot open database {path}: the file is empty, but its log {log.name} is there with"
            f" {pending} bytes, so it was cut. Restore it from a backup, or remove both to begin"
            " anew"
        )


def what_is_wrong(path: Path) -> str | None:
    """Why the file itself cannot be read; None if it looks well.

    Only for a file that this process does not have open: closing it again would drop SQLite's
    locks.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return None
    if 0 < size < _HEADER_BYTES:
        return f"the file was cut to {size} bytes, less than the header of a database"
    if not header.startswith(b"SQLite format 3\0"):
        return None
    page = int.from_bytes(header[16:18], "big")
    whole = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
    if size < whole:
        return f"the file was cut: it has {size} bytes, and should have {whole}"
    return None


def descriptors_of(path: str) -> set[int]:
    """Open descriptors of a file in this process; none where the system does not tell."""
    found = set()
    with suppress(OSError):
        file = os.stat(path)
        for name in os.listdir("/dev/fd"):
            with suppress(OSError):  # closed meanwhile, as the folder's is
                if os.path.samestat(os.fstat(int(name)), file):
                    found.add(int(name))
    return found

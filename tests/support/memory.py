"""A folder in memory for the folders of tests.

What is written there is there at once: nothing waits for a disk at each commit.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY = Path("/dev/shm")
"""The file system in memory that Linux has; containers often have one that is too small."""
ROOM_BYTES = 2 * 1024**3
"""What has to be free there, and twice as much in the machine: what lies there takes its memory.
The folders of tests that run at the same time are a tenth of it; each goes when its test ends."""
PREFIX = "buntime-tests-"
ABANDONED_SECONDS = 60
"""So long after its last change a folder that nobody holds is removed: who makes one takes a
moment until it is held."""


@contextmanager
def folder_in_memory(memory: Path = MEMORY) -> Iterator[Path | None]:
    """A new folder in memory, which is removed at the end; None where there is no room for it."""
    if not _has_room(memory):
        yield None
        return
    _remove_abandoned(memory)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory))
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def move_to_disk(folder: Path, destination: Path) -> None:
    """Move a folder out of memory, but for sockets and pipes."""
    with suppress(shutil.Error):
        shutil.copytree(folder, destination, symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)


def _has_room(memory: Path) -> bool:
    """Whether there is enough of it, and programs that are put there can be run."""
    try:
        there = os.statvfs(memory)
        told = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    except OSError:
        return False
    return (
        told is not None
        and int(told[1]) * 1024 >= 2 * ROOM_BYTES
        and there.f_bavail * there.f_frsize >= ROOM_BYTES
        and not there.f_flag & os.ST_NOEXEC
        and os.access(memory, os.W_OK)
    )


def _remove_abandoned(memory: Path) -> None:
    """Remove the folders of processes that were killed: memory is given back by nothing else."""
    for folder in memory.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another user's, or has just gone
            if time.time() - folder.stat().st_mtime < ABANDONED_SECONDS:
                continue
            found = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(found)

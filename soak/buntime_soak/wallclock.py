"""The clock that the servers see, which faults set forward and back.

libfaketime, loaded into the servers alone, adds an offset from a file to the wall clock and leaves
the monotonic one as it is: what happens when an administrator or NTP sets a machine's clock.
"""

from __future__ import annotations

import ctypes.util
from pathlib import Path

SHARED = Path("/dev/shm")
NAMES = ("libfaketime.so.1", "faketime/libfaketime.so.1")
FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
HINT = "install libfaketime (Debian: apt-get install libfaketime)"


def find_libfaketime() -> Path | None:
    """The library, where it is installed."""
    found = ctypes.util.find_library("faketime")
    if found and Path(found).is_absolute():
        return Path(found)
    for folder in map(Path, FOLDERS):
        for name in NAMES:
            for place in (folder / name, *folder.glob(f"*-linux-*/{name}")):
                if place.exists():
                    return place
    return None


class WallClock:
    """The offset that all servers of a run share."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        """Without a library the clock cannot be set."""
        self._file = folder / "clock"
        self._library = library
        self.offset = 0.0
        """Seconds that the servers' clock is ahead."""
        self._write()

    @property
    def can_be_set(self) -> bool:
        return self._library is not None

    def environ(self) -> dict[str, str]:
        """What the servers need in their environment."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else threads that wait with a timeout, as for Python's lock, wait for seconds.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }

    def clear(self) -> None:
        """Remove what the library keeps in shared memory for servers that were killed."""
        if self._library is None:
            return
        for file in SHARED.glob("*faketime_s[eh]m_*"):
            pid = file.name.rpartition("_")[2]
            if not Path("/proc", pid).exists():
                file.unlink(missing_ok=True)

    def step(self, seconds: float) -> None:
        """Set it forward, or back."""
        self.offset += seconds
        self._write()

    def _write(self) -> None:
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{self.offset:+.3f}\n")
        temporary.replace(self._file)

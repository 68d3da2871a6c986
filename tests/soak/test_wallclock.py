"""The wall clock that a soak sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from buntime_soak import wallclock
from buntime_soak.wallclock import WallClock


def test_only_what_ended_servers_left_in_shared_memory_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(wallclock, "SHARED", shared)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = {f"faketime_shm_{os.getpid()}", f"sem.faketime_sem_{os.getpid()}", "other_1"}
    for name in {*kept, f"faketime_shm_{ended.pid}", f"sem.faketime_sem_{ended.pid}"}:
        (shared / name).touch()
    WallClock(tmp_path, None).clear()
    assert len(list(shared.iterdir())) == 5  # no library, no files of it
    WallClock(tmp_path, tmp_path / "libfaketime.so.1").clear()
    assert {file.name for file in shared.iterdir()} == kept

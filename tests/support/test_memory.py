"""Folders of tests in memory; what is said of them holds on any file system."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from support import memory
from support.memory import PREFIX, folder_in_memory, move_to_disk

HOUR = 3600


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system with room enough, whatever this machine has."""
    monkeypatch.setattr(memory, "ROOM_BYTES", 1)
    return tmp_path


def make(name: str, room: Path, age: float) -> Path:
    """A folder with something in it, that was changed so long ago."""
    folder = room / name
    folder.mkdir()
    (folder / "kv.db").write_text("much")
    changed = folder.stat().st_mtime - age
    os.utime(folder, (changed, changed))
    return folder


def test_a_folder_is_there_and_gone(room: Path) -> None:
    with folder_in_memory(room) as folder:
        assert folder is not None
        assert folder.parent == room
        (folder / "kv.db").write_text("much")
    assert [*room.iterdir()] == []


def test_none_where_there_is_no_such_file_system(room: Path) -> None:
    with folder_in_memory(room / "shm") as folder:
        assert folder is None


def test_none_where_there_is_no_room(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ROOM_BYTES", 2**60)
    with folder_in_memory(room) as folder:
        assert folder is None
    assert [*room.iterdir()] == []


def test_what_a_killed_process_left_is_removed(room: Path) -> None:
    abandoned = make(f"{PREFIX}1", room, HOUR)
    young = make(f"{PREFIX}2", room, 0)
    others = make("somebody", room, HOUR)
    held = make(f"{PREFIX}3", room, HOUR)
    holder = os.open(held, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with folder_in_memory(room):
        assert not abandoned.exists()
        assert all((it / "kv.db").exists() for it in (young, others, held))
    os.close(holder)


def test_what_is_kept_moves_to_the_disk(tmp_path: Path) -> None:
    folder = make("failed", tmp_path, 0)
    (folder / "link").symlink_to("kv.db")
    os.mkfifo(folder / "pipe")  # as a socket it is nothing outside of its process
    move_to_disk(folder, tmp_path / "kept")
    assert not folder.exists()
    assert sorted(it.name for it in (tmp_path / "kept").iterdir()) == ["kv.db", "link"]
    assert (tmp_path / "kept" / "link").is_symlink()

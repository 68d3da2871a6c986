"""Keys, times and files that break programs, at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import Kv
from buntime_keyval._entries import raw_key
from client._async.test_hostile_keys import OTHERS, TEXTS
from client.cli.conftest import Commands

BOM = b"\xef\xbb\xbf"


def shown(part: Any) -> str:
    """As a JSON key at the command line."""
    return bytes(raw_key(("h", part))).decode()


def test_hostile_keys(run: Commands, store: Kv) -> None:
    parts = [part for part in TEXTS if "\0" not in part] + [*OTHERS, "\0"]
    for number, part in enumerate(parts):
        run.ok("set", shown(part), str(number))
        assert store.get(["h", part]).value == number, ascii(part)
        assert run.ok("get", shown(part)).out == f"{number}\n"
    listed = run.ok("list", "h", "--limit", str(len(parts))).out
    assert listed.count("\n") == len(parts)
    assert not {"\x1b", "\0", "\r"} & set(listed)  # nothing that a terminal would obey
    lines = run.ok("list", "h", "--json", "--limit", str(len(parts))).out.split("\n")[:-1]
    assert sorted(json.loads(line)["value"] for line in lines) == list(range(len(parts)))
    for wrong in ('["h", "\\ud800"]', '["h", null]', '["h", 1e999]', f'["h", "{"x" * 1025}"]'):
        done = run("get", wrong)
        assert done.status == 2
        assert "Traceback" not in done.err


@pytest.mark.parametrize("duration", ["9223372036854775807", "9223372036854775808", "9" * 25 + "d"])
def test_far_times(run: Commands, duration: str) -> None:
    run.ok("set", "e/1", "1", "--expires-in", duration)
    assert run.ok("get", "e/1").out == "1\n"
    shown = run.ok("get", "e/1", "--details").out
    assert "-01-01" not in shown.rsplit("\t", 1)[-1]
    run.ok("queue", "enqueue", "1", "--delay", duration)
    assert run("queue", "poll").status == 1
    line = '{"key": ["e", 2], "value": 2}'
    run.ok("import", "-", "--expires-in", duration, given=line)
    assert run.ok("get", "e/2").out == "2\n"


@pytest.mark.parametrize("duration", ["1e30", "-1", "0", "inf", "nan", ""])
def test_what_is_no_duration(run: Commands, duration: str) -> None:
    done = run("set", "e/1", "1", f"--expires-in={duration}")
    assert done.status in (1, 2)
    assert "Traceback" not in done.err
    assert run("get", "e/1").status == 1


def test_files_may_begin_with_a_byte_order_mark(run: Commands, store: Kv, tmp_path: Path) -> None:
    value, text, lines = (tmp_path / name for name in ("value.json", "text.txt", "lines.jsonl"))
    value.write_bytes(BOM + b'{"a": 1}')
    text.write_bytes(BOM + "ä".encode())
    lines.write_bytes(BOM + b'{"key": ["l", 1], "value": 1}\r\n{"key": ["l", 2], "value": 2}\r\n')
    run.ok("set", "a/1", "--file", str(value))
    run.ok("set", "a/2", "-", given=value.read_bytes())
    assert store.get(["a", 1]).value == store.get(["a", 2]).value == {"a": 1}
    run.ok("set", "a/3", "--text", "--file", str(text))
    run.ok("set", "a/4", "-", "--text", given=text.read_bytes())
    assert store.get(["a", 3]).value == store.get(["a", 4]).value == "ä"
    run.ok("queue", "enqueue", "--file", str(value))
    assert run.ok("queue", "poll", "--json").documents[0]["value"] == {"a": 1}
    for arguments, given in (([str(lines)], b""), (["-"], lines.read_bytes())):
        run.ok("import", *arguments, given=given)
        assert [entry.value for entry in store.list(["l"])] == [1, 2]
        store.delete(["l"])
    lines.write_bytes(b'{"key": ["l", 1], "value": 1}\n' + BOM + b'{"key": ["l", 2], "value": 2}')
    assert run("import", str(lines)).status == 1  # in the middle it is none

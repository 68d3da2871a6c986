"""What a shared watch tells those that join late."""

from __future__ import annotations

from typing import Any

from buntime_keyval import KvEntry
from buntime_keyval._sharing import Latest
from buntime_keyval._watching import make_target


def entry(part: str, versionstamp: str | None = "1") -> KvEntry[Any]:
    return KvEntry(("a", part), versionstamp, versionstamp)


def told(latest: Latest) -> list[list[str]]:
    return [[str(entry.key[1]) for entry in batch] for batch in latest.batches()]


def test_the_newest_comes_last() -> None:
    latest = Latest(make_target(["a"], exact=False, limit=2))
    latest.take([entry("x"), entry("y"), entry("z")])
    latest.take([entry("y"), entry("x", None)])
    latest.take([entry("z", "2"), entry("w")])
    assert told(latest) == [["y", "z"], ["w"]]


def test_exact_keys_stay_where_they_are() -> None:
    latest = Latest(make_target([["a", "x"], ["a", "y"]], exact=True, limit=None))
    latest.take([entry("x"), entry("y", None)])
    latest.take([entry("x", None)])
    assert told(latest) == [["x", "y"]]


def test_what_is_out_of_date_is_forgotten() -> None:
    latest = Latest(make_target(["a"], exact=False, limit=None))
    latest.take([entry("x")])
    latest.take([])
    assert told(latest) == []
    assert latest.begun

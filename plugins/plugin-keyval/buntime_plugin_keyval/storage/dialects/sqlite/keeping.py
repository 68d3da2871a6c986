"""The kept results of a group's commits, as one row.

By themselves, each of them would have a row; one row for all means the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.versionstamps import milliseconds_of
from buntime_plugin_keyval.storage.dialects.sqlite import group_texts as texts
from buntime_plugin_keyval.storage.dialects.sqlite.replays import REPLAYS


class KeptTogether:
    """The row, as it grows; a group without keys of callers has none."""

    def __init__(self) -> None:
        self._after: Any = None
        self._now: Any = None
        self._keys: list[str] = []
        self._fingerprints: list[bytes] = []
        self._stamps: list[tuple[int, str]] = []
        """Of which commit each is, and what was made for it."""
        self._told: list[str] = []
        self._counts: list[tuple[str, int | None, str, str]] = []

    @property
    def commits(self) -> set[int]:
        """The commits that keep a result."""
        return {commit for commit, _ in self._stamps}

    def look(self, args: Sequence[Any]) -> bool:
        """Take over a guard that looks for keys; return whether all commits know the results up to
        one place.
        """
        after, keys = args
        is_same = self._after in (None, after)
        self._after = after
        self._keys += msgspec.json.decode(keys)
        return is_same

    def keep(self, commit: int, args: Sequence[Any]) -> None:
        """Take over a row of one commit."""
        _, self._now, _, fingerprint, stamp, told = args
        self._fingerprints.append(fingerprint)
        self._stamps.append((commit, stamp))
        self._told.append(told[1:-1] or "null")

    def count(self, whose: str, number: int | None, key: bytes, tail: str) -> None:
        """Keep a count; without a number it is 1 if the commit of this tail logs this key, or 0."""
        self._counts.append((whose, number, key.hex(), tail))

    def guard(self) -> Guard:
        """The guard that fails if another process has kept a result under one of the keys."""
        return Guard(REPLAYS.none_since, (self._after, _json(self._keys)))

    def row(self) -> Statement:
        """The statement that adds the row; its rowid is its place."""
        told = f"[{','.join(self._told)}]" if any(one != "null" for one in self._told) else ""
        keys = "\n{}\n".format("\n".join(self._keys))
        stamps = ",".join(stamp for _, stamp in self._stamps)
        row = (len(self._keys), self._now, keys, b"".join(self._fingerprints), stamps, told)
        return Statement(REPLAYS.keep, row)

    def counts(self, logged: int) -> Statement | None:
        """The statement that adds the counts, behind one that logs at most so many changes."""
        if not self._counts:
            return None
        return Statement(texts.KEEP_COUNTS, (_json(self._counts), logged))

    def late_stamps(self, is_stamped: Callable[[int], bool], last_ms: int) -> Statement:
        """The statement that sets the late stamps of those commits that have one."""
        rows = [
            (stamp, milliseconds_of(stamp) if is_stamped(commit) else None)
            for commit, stamp in self._stamps
        ]
        return Statement(texts.KEEP_STAMPS, (_json(rows), 0, last_ms))


def _json(rows: Sequence[object]) -> str:
    return msgspec.json.encode(rows).decode()

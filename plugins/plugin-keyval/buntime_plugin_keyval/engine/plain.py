"""Commits of plain changes: counted numbers, set values, deleted keys.

Most commits are of this kind, and need no view, no drafts and no function that decides, as commits
with checks do. A commit that turns out to be less plain, such as a counter that is not a number, is
decided in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from buntime_database import Guard
from buntime_keyval.wire.commits import NO_OPTIONS, NUMERIC, Mutation
from buntime_keyval.wire.limits import MAX_SAFE_INTEGER
from buntime_keyval.wire.stamps import may_hold_stamp

from buntime_plugin_keyval.engine.additions import Addition
from buntime_plugin_keyval.engine.decisions import Write
from buntime_plugin_keyval.engine.writes import Committed, commit, recall_commit
from buntime_plugin_keyval.model.limits import Limits
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.selection import POINT_LIMIT

_NUMBER_LENGTH = len(str(-MAX_SAFE_INTEGER))
"""Characters of the longest integer that is stored as it is."""


class PlainChanges:
    """The write of mutations of different keys, which are made whatever is there."""

    __slots__ = ("_limits", "_most_key", "keys", "mutations", "only_deletes", "reads", "size")

    stamps: ClassVar[Sequence[bytes]] = ()
    guards: ClassVar[Sequence[Guard]] = ()
    bounded = True
    is_long = False
    has_counts = False
    may_refuse = False
    holds_stamp = False
    made = Committed
    recall = staticmethod(recall_commit)

    def __init__(self, mutations: Sequence[Mutation], limits: Limits, most_key: int | None) -> None:
        self.mutations = mutations
        self.keys: list[bytes] = []
        """Bytes of each mutation."""
        self.reads: list[bytes] = []
        """Keys of numbers that are counted."""
        self.size = 0
        """Approximate bytes of the stored values."""
        self.only_deletes = True
        self._limits = limits
        self._most_key = most_key

    def in_full(self) -> Write[Committed | None]:
        """The same for any key and value."""
        return commit((), self.mutations, limits=self._limits, most_key=self._most_key)


def plain_changes(
    mutations: Sequence[Mutation | Addition], limits: Limits, most_key: int | None
) -> PlainChanges | None:
    """The write of a commit with only such changes; None if they are not that plain.

    Commits whose size has to be checked against the limits are not.
    """
    if not 0 < len(mutations) <= POINT_LIMIT:
        return None
    write = PlainChanges(mutations, limits, most_key)  # type: ignore[arg-type] # see below
    keys = write.keys
    size = 0
    for mutation in mutations:
        if isinstance(mutation, Addition):
            return None
        key, kind = mutation.encoded, mutation.type
        if key is None or (most_key is not None and len(key) > most_key):
            return None
        if mutation.options is not NO_OPTIONS or mutation.on_create is not NO_OPTIONS:
            return None
        keys.append(key)
        if kind == "delete":
            continue
        write.only_deletes = False
        if kind in NUMERIC:
            number = mutation.operand
            if not isinstance(number, int) or not -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
                return None
            write.reads.append(key)
            size += _NUMBER_LENGTH
        elif kind == "set":
            value = str(mutation.operand)
            if may_hold_stamp(value):
                return None
            size += len(value)
        else:
            return None
    if size > LONG_VALUE or size > limits.commit_bytes:
        return None
    if len(keys) > 1 and len(set(keys)) < len(keys):
        return None
    write.size = size
    return write


def changed_number(mutation: Mutation, text: str | None) -> str | None:
    """The number that a mutation makes of the one in a canonical text, of none for None.

    None unless all of them are integers that are stored as they are.
    """
    number: Any = mutation.operand
    if text is not None:
        if len(text) > _NUMBER_LENGTH:
            return None
        try:
            before = int(text)
        except ValueError:
            return None
        kind = mutation.type
        if kind == "sum":
            number += before
        else:
            number = max(before, number) if kind == "max" else min(before, number)
    return "%d" % number if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER else None  # noqa: UP031 - of a `BigInt`, too

"""Finding keys that fit a pattern, without reading what is between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import Statement

from buntime_plugin_keyval.storage.ranges import KeyRange


class Seeking(NamedTuple):
    """Where to look for keys that differ in the part behind a base, which all of them extend."""

    base: bytes
    keys: KeyRange


Seek: TypeAlias = Callable[[Sequence[Seeking], int, bool], Statement]
"""Where to look, how many keys for each, whether backwards."""


class PatternSql(NamedTuple):
    """Operations that find keys by their parts. What has expired is among them."""

    seek: Seek
    """The place of a `Seeking` among all, and a key: the first one, or backwards the last, for each
    part that there is, in their order. NULL for the key behind those of a `Seeking` that has no
    more. It may have more without saying so, where a part does not show its end at a glance: then
    the key with that part comes last."""
    among: Callable[[Sequence[bytes]], Statement]
    """Keys: the condition that an entry has one of them, to go into statements, and its argument.
    They are looked up one by one, whatever else the statement asks for."""

"""Additions of features to the commits of callers, beside checks and mutations of entries.

A message to send is one: the queue reads `enqueue` among the mutations of a request, and describes
its effect with an `Addition`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from buntime_database import Guard

from buntime_plugin_keyval.storage.effects import Effect


def _nothing() -> None:
    """The usual action after the commit."""


class Addition(msgspec.Struct, frozen=True, gc=False):
    """One action of a commit beside its mutations of entries."""

    effect: Effect
    size: int = 0
    """About how many bytes it brings."""
    writes: Sequence[bytes] = ()
    """Encoded keys of entries that it may write some day."""
    committed: Callable[[], None] = _nothing
    """Called when the commit is done."""
    scope: str = "keyval:admin"
    """Action that its sender has to be permitted, beside writing the keys."""
    resource: str | None = None
    """Resource of that permission, None for all."""
    guards: Sequence[Guard] = ()
    """A condition for it, as a check of the commit."""


MutationParsers = Mapping[str, Callable[[dict[str, Any], str, int], Addition]]
"""By the `type` of a mutation: what reads one. Gets it, its place for messages, and what `$now`
stands for, epoch milliseconds; raises `InvalidInput`."""


class Requirement(msgspec.Struct, frozen=True, gc=False):
    """Something that has to hold beside the checks of entries."""

    guard: Guard
    scope: str = "keyval:admin"
    """Action that its sender has to be permitted: the result of the check reveals something."""
    resource: str | None = None
    """Resource of that permission, None for all."""


CheckParsers = Mapping[str, Callable[[dict[str, Any], str], Requirement]]
"""Readers of checks, by a member that no check of an entry has."""

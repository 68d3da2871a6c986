"""What the commits of callers may hold beside checks and mutations of entries: what features add.

A message to send is one: the queue reads `enqueue` among the mutations of a request, and says with
an `Addition` what that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from buntime_database import Guard

from buntime_plugin_keyval.storage.effects import Effect


def _nothing() -> None:
    """What most do once they are committed."""


class Addition(msgspec.Struct, frozen=True, gc=False):
    """One thing that a commit does beside its mutations of entries."""

    effect: Effect
    size: int = 0
    """About how many bytes it brings."""
    writes: Sequence[bytes] = ()
    """Encoded keys of entries that it may write some day."""
    committed: Callable[[], None] = _nothing
    """Called when the commit is done."""
    scope: str = "keyval:admin"
    """What its sender has to be permitted, beside writing the keys."""
    resource: str | None = None
    """On what the scope has to be, None for all."""
    guards: Sequence[Guard] = ()
    """What has to hold for it, as a check of the commit."""


MutationParsers = Mapping[str, Callable[[dict[str, Any], str, int], Addition]]
"""By the `type` of a mutation: what reads one. Gets it, its place for messages, and what `$now`
stands for, epoch milliseconds; raises `InvalidInput`."""


class Requirement(msgspec.Struct, frozen=True, gc=False):
    """Something that has to hold beside the checks of entries."""

    guard: Guard
    scope: str = "keyval:admin"
    """What its sender has to be permitted: whether it holds tells of something."""
    resource: str | None = None
    """On what the scope has to be, None for all."""


CheckParsers = Mapping[str, Callable[[dict[str, Any], str], Requirement]]
"""By a member that no check of an entry has: what reads such a check into what has to hold."""

"""Locks that the running code holds: its calls of a store fail once one of them is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from buntime_keyval._errors import LockLost


class LockHolding(Protocol):
    """A lock that a block of code holds."""

    @property
    def lost(self) -> bool:
        """Whether another owner may have it by now."""

    @property
    def name(self) -> str:
        """Its name."""


_held: ContextVar[tuple[LockHolding, ...]] = ContextVar("buntime_keyval.held", default=())


def enter(lock: LockHolding) -> None:
    """The block of a lock begins in this thread or task."""
    _held.set((*_held.get(), lock))


def leave(lock: LockHolding) -> None:
    """The block has ended."""
    _held.set(tuple([other for other in _held.get() if other is not lock]))


@contextmanager
def aside() -> Iterator[None]:
    """A block for calls about locks themselves, which also work after another one was lost."""
    before = _held.set(())
    try:
        yield
    finally:
        _held.reset(before)


def refuse_lost() -> None:
    """Raise `LockLost` if the code that runs is in the block of a lock that it has no more."""
    for lock in _held.get():
        if lock.lost:
            raise lost(lock.name)


def lost(name: str) -> LockLost:
    """The error about a lock that this process could not keep."""
    return LockLost(f"The lock {name} was lost: it may have another owner", code="LOCK_LOST")

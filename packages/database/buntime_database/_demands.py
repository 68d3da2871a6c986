"""The state that reads of a task have to see, where an engine has replicas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class ReadDemand:
    """The state that a read has to see besides the writes of its own adapter."""

    strong: bool = False
    """All that was committed before it, by whomever: it is asked of the primary."""
    position: int | None = None
    """Everything up to there: a position that an adapter returned, perhaps on another host."""
    is_outdated: bool = False
    """Set by the engine that found the position beyond the end of its log: then it is one of a log
    that is no more, and asks for nothing."""


_demanded: ContextVar[ReadDemand | None] = ContextVar("read_demand", default=None)


def read_demand() -> ReadDemand | None:
    """The demand of the current task's reads; None for the usual one."""
    return _demanded.get()


def demand(what: ReadDemand | None) -> None:
    """Demand it of all reads of the current task from here on, and of tasks that it begins."""
    _demanded.set(what)


@contextmanager
def demanding(what: ReadDemand | None) -> Iterator[None]:
    """Demand it of all reads within."""
    token = _demanded.set(what)
    try:
        yield
    finally:
        _demanded.reset(token)

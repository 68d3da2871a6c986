# Made by scripts/unasync from _async/store_watch.py: change that one.
"""The handle of a watch of a typed store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from buntime_keyval._results import KvEntry, KvMissing
from buntime_keyval._sync.watch import Watch
from buntime_keyval._typed import Scope

T = TypeVar("T")


class StoreWatch(Generic[T]):
    """A running watch of a typed store, as `Watch`: keys are relative, values of the type.

    `on_invalid` of the store decides about values that are not of the type. If it raises, iterating
    raises `InvalidValue` for the batch, and may go on behind it.
    """

    def __init__(self, watch: Watch, scope: Scope[T], *, exact: bool) -> None:
        self._watch = watch
        self._scope = scope
        self._exact = exact

    @property
    def closed(self) -> bool:
        """Whether it was stopped, or ended by an error."""
        return self._watch.closed

    @property
    def error(self) -> Exception | None:
        """The error that ended it, if it was not `stop`."""
        return self._watch.error

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._watch.dropped

    def stop(self) -> None:
        """End it, as `Watch.stop`. Idempotent."""
        self._watch.stop()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds. Raises the error that ended it."""
        self._watch.wait(timeout)

    def __enter__(self) -> StoreWatch[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._watch.__exit__(kind, *rest)

    def __iter__(self) -> Iterator[Sequence[KvEntry[T] | KvMissing[None]]]:
        iter(self._watch)
        return self

    def __next__(self) -> Sequence[KvEntry[T] | KvMissing[None]]:
        while True:
            told = self._scope.told(next(self._watch), exact=self._exact)
            if told is not None:
                return told

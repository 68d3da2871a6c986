# Made by scripts/unasync from _async/store_watch.py: change that one.
"""The handle of a watch of a typed store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from buntime_keyval._results import KvEntry, KvMissing
from buntime_keyval._sync.handle import Handle
from buntime_keyval._sync.watch import Watch, WatchFlow
from buntime_keyval._typed import Scope

T = TypeVar("T")


class StoreWatch(Handle[WatchFlow], Generic[T]):
    """A running watch of a typed store, as `Watch`: keys are relative, values of the type.

    `on_invalid` of the store decides about values that are not of the type. If it raises, iterating
    raises `InvalidValue` for the batch, and may go on behind it.
    """

    def __init__(self, watch: Watch, scope: Scope[T], *, exact: bool) -> None:
        self._watch = watch
        self._flow = watch._flow
        self._scope = scope
        self._exact = exact

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._watch.dropped

    def stop(self) -> None:
        """End it, as `Watch.stop`. Idempotent."""
        self._watch.stop()

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

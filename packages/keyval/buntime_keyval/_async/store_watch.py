"""The handle of a watch of a typed store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

from buntime_keyval._async.handle import AsyncHandle
from buntime_keyval._async.watch import AsyncWatch, AsyncWatchFlow
from buntime_keyval._results import KvEntry, KvMissing
from buntime_keyval._typed import Scope

T = TypeVar("T")


class AsyncStoreWatch(AsyncHandle[AsyncWatchFlow], Generic[T]):
    """A running watch of a typed store, as `AsyncWatch`: keys are relative, values of the type.

    `on_invalid` of the store decides about values that are not of the type. If it raises, iterating
    raises `InvalidValue` for the batch, and may go on behind it.
    """

    def __init__(self, watch: AsyncWatch, scope: Scope[T], *, exact: bool) -> None:
        self._watch = watch
        self._flow = watch._flow
        self._scope = scope
        self._exact = exact

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._watch.dropped

    async def stop(self) -> None:
        """End it, as `AsyncWatch.stop`. Idempotent."""
        await self._watch.stop()

    async def __aenter__(self) -> AsyncStoreWatch[T]:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        await self._watch.__aexit__(kind, *rest)

    def __aiter__(self) -> AsyncIterator[Sequence[KvEntry[T] | KvMissing[None]]]:
        aiter(self._watch)
        return self

    async def __anext__(self) -> Sequence[KvEntry[T] | KvMissing[None]]:
        while True:
            told = self._scope.told(await anext(self._watch), exact=self._exact)
            if told is not None:
                return told

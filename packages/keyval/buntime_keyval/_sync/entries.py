# Made by scripts/unasync from _async/entries.py: change that one.
"""The methods that a typed store needs of its client or store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from buntime_keyval._calls.keys import checked_limit
from buntime_keyval._calls.search import Marks, Tokenizer
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._results import (
    CommitResult,
    DeleteResult,
    KvEntry,
    KvMissing,
    KvPage,
    SearchHit,
    SearchPage,
    StreamPage,
)
from buntime_keyval._sync.atomic import Atomic
from buntime_keyval._sync.flights import Flights
from buntime_keyval._sync.watch import Watch
from buntime_keyval._typed import DELETE_BATCH, Progress
from buntime_keyval._watching import Mode, Overflow
from buntime_keyval._where import Where
from buntime_keyval.wire import Duration, Key, KeyLike, PatternLike
from buntime_keyval.wire.limits import MAX_KEYS_PER_BATCH
from buntime_keyval.wire.python_options import Consistency

T = TypeVar("T")

Batch: TypeAlias = Sequence[KvEntry[T] | KvMissing[None]]
Callback: TypeAlias = Callable[[Batch[T]], Any]


class Changes(Protocol):
    """The methods that records need of the stream of changes."""

    def read(self, after: int = 0, *, limit: int = ..., type: str | None = None) -> StreamPage: ...

    def seq(self) -> int: ...

    def trim(self, up_to: int) -> int: ...


class Entries(Protocol):
    """The methods of `Kv`, or of an equivalent, that a store needs."""

    _flights: Flights

    @property
    def stream(self) -> Changes: ...

    def get(
        self, key: Any, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> Any: ...

    def get_with_metadata(self, key: Any, *, consistency: Consistency = "eventual") -> Any: ...

    def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool: ...

    def set(
        self,
        key: KeyLike,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> CommitResult: ...

    def patch(
        self,
        key: KeyLike,
        patch: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> CommitResult: ...

    def delete(
        self,
        key: Any = (),
        *,
        exact: bool = False,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> DeleteResult: ...

    def list(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        page_size: int = ...,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> Iterator[KvEntry[Any]]: ...

    def paginate(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        cursor: str | None = None,
        limit: int = ...,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> KvPage[Any]: ...

    def count(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        consistency: Consistency = "eventual",
    ) -> int: ...

    def atomic(self) -> Atomic: ...

    def watch(
        self,
        key: Any,
        callback: Callback[Any] | None = None,
        *,
        exact: bool = False,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        emit_initial: bool = True,
        limit: int | None = None,
        buffer_size: int | None = None,
        overflow_strategy: Overflow = "drop-oldest",
        shared: bool = False,
        on_error: ErrorHandler | None = None,
    ) -> Watch: ...

    def create_index(
        self,
        prefix: KeyLike,
        *,
        fields: Sequence[str],
        tokenize: Tokenizer = "unicode61",
        idempotency_key: str | None = None,
    ) -> None: ...

    def remove_index(self, prefix: KeyLike, *, idempotency_key: str | None = None) -> None: ...

    def search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        limit: int | None = None,
        where: Where | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        consistency: Consistency = "eventual",
    ) -> Iterator[SearchHit[Any]]: ...

    def paginate_search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        cursor: str | None = None,
        limit: int = ...,
        where: Where | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        explain: bool = False,
        consistency: Consistency = "eventual",
    ) -> SearchPage[Any]: ...


class Swept(Protocol):
    """The methods that `sweep` needs."""

    def delete(
        self, key: Any = (), *, exact: bool = False, where: Where | None = None
    ) -> DeleteResult: ...

    def list(
        self,
        prefix: KeyLike = (),
        *,
        where: Where | None = None,
        page_size: int = ...,
        values: bool = True,
    ) -> Iterator[KvEntry[Any]]: ...


def sweep(
    kv: Swept,
    prefix: Key,
    *,
    where: Where | None,
    batch_size: int = DELETE_BATCH,
    on_progress: Progress | None = None,
    include_prefix: bool = False,
) -> DeleteResult:
    """Delete the entries below a prefix in batches, and the prefix itself if it is included."""
    deleted = 0

    def delete(keys: list[Key]) -> None:
        nonlocal deleted
        result = kv.delete(keys, exact=True, where=where)
        deleted += result.deleted_count
        if on_progress is not None:
            on_progress(deleted)

    size = min(checked_limit(batch_size), MAX_KEYS_PER_BATCH)
    batch: list[Key] = []
    for entry in kv.list(prefix, where=where, page_size=size, values=False):
        batch.append(entry.key)
        if len(batch) == size:
            delete(batch)
            batch = []
    if include_prefix and prefix:
        batch.append(prefix)
    if batch:
        delete(batch)
    return DeleteResult(deleted)

"""Checks and mutations of the entries of one typed store, with its keys and its types."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Never, TypeVar

from buntime_keyval._calls.atomic import AtomicBuilder, MutationKey
from buntime_keyval._calls.stored import StoreKey
from buntime_keyval._typed import Scope
from buntime_keyval.wire import Duration
from buntime_keyval.wire.commits import Contents
from buntime_keyval.wire.python_options import refuse_unknown

T = TypeVar("T")
S = TypeVar("S", bound="ScopedBuilder[Any]")


class ScopedBuilder(AtomicBuilder[StoreKey | MutationKey], Generic[T]):
    """A builder whose keys are relative to a typed store, and whose values have its type.

    It adds to the collection of another builder, so several stores may share a commit.
    """

    def __init__(self, contents: Contents, scope: Scope[T]) -> None:
        self._contents = contents
        self._scope = scope

    def set(  # type: ignore[override] # a value of the type, and no other store
        self: S,
        key: StoreKey | MutationKey,
        value: T,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        **unknown: Never,
    ) -> S:
        """Store a value of the store's type; options that are not given are those of the store."""
        if unknown:
            refuse_unknown("set", unknown)
        return super().set(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def _place(self, key: Any) -> Any:
        return self._scope.stored_key(key)

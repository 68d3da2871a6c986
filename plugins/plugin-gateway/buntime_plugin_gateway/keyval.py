"""The store in which the gateway keeps what outlives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from buntime_host import Watchable


class KeyValStore(Watchable, Protocol):
    """The methods of plugin-keyval's service that are used here."""

    async def get(self, key: Any) -> Any:
        """One entry."""

    def list(
        self, prefix: Any, *, limit: int | None = None, reverse: bool = False
    ) -> AsyncIterator[Any]:
        """Entries below a key, by default all of them."""

    async def delete(self, key: Any, *, exact: bool = False) -> Any:
        """Delete a key and what is below it, or only the key."""

    def atomic(self) -> Any:
        """A commit with checks."""

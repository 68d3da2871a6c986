"""What typed stores, records and graphs need of a client."""

from __future__ import annotations

from typing import Any

from buntime_keyval._async.atomic import AsyncAtomic
from buntime_keyval._async.flights import AsyncFlights
from buntime_keyval._async.kv_entries import AsyncKvEntries
from buntime_keyval._async.kv_search import AsyncKvSearch
from buntime_keyval._async.stream import AsyncChangeStream
from buntime_keyval._async.watch import AsyncWatch


class AsyncKvCore(AsyncKvEntries, AsyncKvSearch):
    """The part of `AsyncKv` that works on entries. A store in this process has the same methods."""

    _flights: AsyncFlights
    stream: AsyncChangeStream
    """All changes, in the order of their commits."""

    def atomic(self) -> AsyncAtomic:
        """A builder of checks and mutations that are committed together."""
        raise NotImplementedError  # the client and the store in this process each have one

    def watch(self, *args: Any, **options: Any) -> AsyncWatch:
        """Follow the changes of keys and of all that extend them."""
        raise NotImplementedError  # the client and the store in this process each have one

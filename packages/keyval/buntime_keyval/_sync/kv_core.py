# Made by scripts/unasync from _async/kv_core.py: change that one.
"""What typed stores, records and graphs need of a client."""

from __future__ import annotations

from typing import Any

from buntime_keyval._sync.atomic import Atomic
from buntime_keyval._sync.flights import Flights
from buntime_keyval._sync.kv_entries import KvEntries
from buntime_keyval._sync.kv_search import KvSearch
from buntime_keyval._sync.stream import ChangeStream
from buntime_keyval._sync.watch import Watch


class KvCore(KvEntries, KvSearch):
    """The part of `Kv` that works on entries. A store in this process has the same methods."""

    _flights: Flights
    stream: ChangeStream
    """All changes, in the order of their commits."""

    def atomic(self) -> Atomic:
        """A builder of checks and mutations that are committed together."""
        raise NotImplementedError  # the client and the store in this process each have one

    def watch(self, *args: Any, **options: Any) -> Watch:
        """Follow the changes of keys and of all that extend them."""
        raise NotImplementedError  # the client and the store in this process each have one

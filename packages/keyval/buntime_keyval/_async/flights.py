"""Flights: one maker at a time for each key, and no maker that would wait for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from buntime_keyval._async.concurrency import Lock, here, lock
from buntime_keyval.wire import InvalidInput, Key, encode_key, key_to_json


class _Making:
    """The owner of a flight, and the flight that it, or code that it called, waits for."""

    def __init__(self) -> None:
        self.waits_for: list[_Flight] = []


class _Flight:
    """The turn to make the value of one key in one place."""

    def __init__(self) -> None:
        self.turn = Lock()
        self.users = 0
        """All owners that have it or wait for it."""
        self.making: _Making | None = None

    def waits_for(self, own: Sequence[_Making]) -> bool:
        """Whether it ends only after one of these, by itself or through others."""
        seen: list[_Making] = []
        left = [self]
        while left:
            making = left.pop().making
            if making in own:
                return True
            if making is not None and making not in seen:
                seen.append(making)
                left.extend(making.waits_for)
        return False


_own: ContextVar[tuple[_Making, ...]] = ContextVar("own", default=())
"""The flights that have led to the running code, the outermost first."""


class AsyncFlights:
    """The flights of one store."""

    def __init__(self) -> None:
        self._lock = lock()
        self._flights: dict[Any, _Flight] = {}
        """By place and key."""

    @asynccontextmanager
    async def alone(self, key: Key) -> AsyncIterator[None]:
        """Keeps out of a block all others in this place with the same key.

        Raises `InvalidInput` for a caller that would wait for itself.
        """
        own = _own.get()
        flight = self._join(key, own)
        try:
            async with flight.turn:
                self._forget(flight, own)
                flight.making = _Making()
                begun = _own.set((*own, flight.making))
                try:
                    yield
                finally:
                    _own.reset(begun)
                    flight.making = None
        finally:
            self._leave(key, flight, own)

    def _join(self, key: Key, own: Sequence[_Making]) -> _Flight:
        with self._lock:
            at = (here(), encode_key(key))
            flight = self._flights.get(at)
            if flight is None:
                flight = self._flights[at] = _Flight()
            elif flight.waits_for(own):
                raise InvalidInput(
                    f"get_or_set of {key_to_json(key)} would wait for itself: what makes its value"
                    " asks for it"
                )
            flight.users += 1
            for making in own:
                making.waits_for.append(flight)
            return flight

    def _forget(self, flight: _Flight, own: Sequence[_Making]) -> None:
        """These no longer wait for a flight."""
        with self._lock:
            for making in own:
                if flight in making.waits_for:
                    making.waits_for.remove(flight)

    def _leave(self, key: Key, flight: _Flight, own: Sequence[_Making]) -> None:
        self._forget(flight, own)  # of one that was cancelled while it waited
        with self._lock:
            flight.users -= 1
            if not flight.users:
                del self._flights[here(), encode_key(key)]

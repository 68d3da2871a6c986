"""Triggers: functions of this process that run after a commit changed a key."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

from buntime_keyval import InvalidInput, Key
from buntime_keyval.wire import decode_key, decode_value

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.changes import Change
from buntime_plugin_keyval.storage.ranges import subtree

EVENTS = ("set", "delete")


class TriggerEvent(NamedTuple):
    """One changed key."""

    type: Literal["set", "delete"]
    key: Key
    versionstamp: str
    """The versionstamp of the commit."""
    value: Any = None
    """The new value; None for a deletion."""


TriggerHandler = Callable[[TriggerEvent], Awaitable[None] | None]


class Trigger(NamedTuple):
    """A handler, and the keys and events that it is for."""

    prefix: bytes
    events: tuple[str, ...]
    handler: TriggerHandler


class Triggers:
    """The triggers of one store, in the order of registration."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._triggers: list[Trigger] = []
        self._unsubscribe: Callable[[], None] | None = None

    def add(self, trigger: Trigger) -> Callable[[], None]:
        """Register a trigger; returns a function that removes it. Raises `InvalidInput`."""
        unknown = [event for event in trigger.events if event not in EVENTS]
        if unknown or not trigger.events:
            raise InvalidInput(f"events must be some of {EVENTS}, received {trigger.events}")
        self._triggers.append(trigger)
        if self._unsubscribe is None:
            # Subscribed only while there are triggers: commits publish nothing without subscribers.
            self._unsubscribe = self._store.subscribe(self._committed)

        def remove() -> None:
            self._triggers = [known for known in self._triggers if known is not trigger]
            if not self._triggers and self._unsubscribe is not None:
                self._unsubscribe()
                self._unsubscribe = None

        return remove

    def _committed(self, changes: Sequence[Change], _: int | None) -> Awaitable[None] | None:
        calls = [
            (trigger, change)
            for change in changes
            for trigger in self._triggers
            if change.operation in trigger.events and _covers(trigger.prefix, change.key)
        ]
        return self._fire(calls) if calls else None

    async def _fire(self, calls: list[tuple[Trigger, Change]]) -> None:
        for trigger, change in calls:
            event = TriggerEvent(
                "set" if change.operation == "set" else "delete",
                decode_key(change.key),
                change.versionstamp,
                None if change.value is None else decode_value(change.value),
            )
            try:
                outcome = trigger.handler(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:
                self._store.logger.exception("Trigger handler failed for key %r", event.key)


def _covers(prefix: bytes, key: bytes) -> bool:
    keys = subtree(prefix)
    return keys.start <= key < keys.end

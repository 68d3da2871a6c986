"""The other processes that serve the same store: workers of this host, and other hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from buntime_database import Adapter, Bells
from buntime_host import Signal, Workers

from buntime_plugin_keyval.storage.consumer_effects import ConsumerEffect
from buntime_plugin_keyval.storage.effects import Effect, EntryEffect, NoteStamp
from buntime_plugin_keyval.storage.lock_effects import PASSING_ON, LockEffect
from buntime_plugin_keyval.storage.task_effects import CALLING, TaskEffect


class Bell:
    """A signal to the other workers of this host and, where the database carries it, to other
    hosts.

    The workers get it twice then: the first one is quicker, and the second look finds nothing.
    """

    def __init__(self, signal: Signal, bells: Bells | None, topic: str) -> None:
        self._signal = signal
        self._bells = bells
        self._topic = topic

    def listen(self, call: Callable[[], None] | None) -> None:
        """Have `call` called on the event loop when another process signals; None ends that."""
        self._signal.listen(call)
        if self._bells is not None:
            self._bells.hear(self._topic, call)

    def send(self) -> None:
        """Signal the others. Costs some microseconds and never waits."""
        self._signal.send()
        if self._bells is not None:
            self._bells.ring(self._topic)


class Peers:
    """Receives signals about others' commits and sends signals about ours.

    Foreign commits are found without them, every `foreign_poll_ms`: signals make it quick.
    """

    def __init__(self, workers: Workers, adapter: Adapter) -> None:
        self.workers = workers
        bells = cast(Bells, adapter) if adapter.capabilities.bells else None
        self.are_there = workers.count > 1 or bells is not None
        """Whether there are other workers or hosts to signal."""
        self.changes = Bell(workers.signal("keyval.changes"), bells, "changes")
        """Rung when the change log grew."""
        self.queue = Bell(workers.signal("keyval.queue"), bells, "queue")
        """Rung when a message came, was settled, or may be delivered again."""
        self.locks = Bell(workers.signal("keyval.locks"), bells, "locks")
        """Signalled when others may have a lock, or be the first in line."""
        self.tasks = Bell(workers.signal("keyval.tasks"), bells, "tasks")
        """Rung when there may be a task for a runner, or one is over."""
        self.watchers = workers.numbers("keyval.watchers", 1)
        """The number of open watchers; likewise of listeners."""
        self.listeners = workers.numbers("keyval.listeners", 1)
        self.watchers.own[0] = self.listeners.own[0] = 0

    def committed(self, effects: Iterable[Effect]) -> None:
        """Ring for a commit of this process."""
        changed = queued = passed = called = False
        # Of many effects few kinds: each is asked for once.
        for kind in {type(effect) for effect in effects}:
            if issubclass(kind, EntryEffect):
                changed = True
            elif issubclass(kind, LockEffect):
                passed = passed or issubclass(kind, PASSING_ON)
            elif issubclass(kind, TaskEffect):
                called = called or issubclass(kind, CALLING)
            elif not issubclass(kind, NoteStamp | ConsumerEffect):
                queued = True
        if changed:
            self.changes.send()
        if queued:
            self.queue.send()
        if passed:
            self.locks.send()
        if called:
            self.tasks.send()

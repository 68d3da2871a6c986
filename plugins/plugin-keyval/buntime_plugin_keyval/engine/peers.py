"""The other workers of this host, which serve the same store."""

from __future__ import annotations

from collections.abc import Iterable

from buntime_host import Workers

from buntime_plugin_keyval.storage.effects import Effect, EntryEffect, NoteStamp


class Peers:
    """Hears of their commits and lets them hear of ours.

    Foreign commits are found without this, every `foreign_poll_ms`: it is what makes it quick.
    """

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.changes = workers.signal("keyval.changes")
        """Rung when the change log grew."""
        self.queue = workers.signal("keyval.queue")
        """Rung when a message came, was settled, or may be delivered again."""
        self.watchers = workers.numbers("keyval.watchers", 1)
        """How many are open; so with listeners."""
        self.listeners = workers.numbers("keyval.listeners", 1)
        self.watchers.own[0] = self.listeners.own[0] = 0

    def committed(self, effects: Iterable[Effect]) -> None:
        """Ring for a commit of this worker."""
        changed = queued = False
        for effect in effects:
            if isinstance(effect, EntryEffect):
                changed = True
            elif not isinstance(effect, NoteStamp):
                queued = True
        if changed:
            self.changes.send()
        if queued:
            self.queue.send()

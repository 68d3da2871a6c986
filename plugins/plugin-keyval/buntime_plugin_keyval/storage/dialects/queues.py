"""Settings of queues, and reads of their contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from buntime_database import Statement

from buntime_plugin_keyval.storage.dialects.queue import NewRow, ToQueue

LOOKED_AT = 10_000
"""Messages that a page of `QueuesSql.messages` is looked for in."""


class QueuesSql(NamedTuple):
    """Operations on queues. One without a row in `kv_queues` has no settings."""

    options: str
    """Queue: whether it is paused, lease, backoff, most running, rate: how many, in how long; each
    NULL where it is not said. No row if nothing is."""
    pause: str
    """Queue, 0 or 1: it delivers nothing until that is ended, or does so again."""
    set_options: str
    """Queue, lease, backoff, most running, rate: sets them all, NULL for what is not said."""
    tidy: str
    """Queue: forgets a row that says nothing."""
    start: str
    """Queue, now, lease: if the queue has a rate, counts what was given to who has the lease."""
    forget_starts: str
    """Queue, now: removes those that do not count any more."""
    told: str
    """Limit: names of queues with settings, in order."""
    names: str
    """Limit: names of queues that have settings, messages or dead letters, in order."""
    messages: str
    """Queue, number, limit, bytes: messages of a queue behind that number, as they were sent, whose
    values are not more than so many bytes, but for the first one. A row with number, id, value,
    attempts, most attempts, priority, ready time, visible, time it was created on the wall, whether
    it has a lease; of those that are among the next `LOOKED_AT` of all queues."""
    last_looked_at: str
    """Number: that of the last message that `messages` looks at, or NULL for none."""
    peek: str
    """Now, limit, bytes, queue: the same rows of those that are next, in the order of delivery."""
    purge: str
    """Queue: removes all messages of it."""
    enqueue_once: Callable[[NewRow, ToQueue, int], Sequence[Statement]]
    """And an end: adds a message whose id the sender gave, unless one with this id is there, or was
    sent and its end is not over; until this end nothing else is sent under the id."""
    forget_ids: str
    """Now, limit: removes so many ids whose end is over."""

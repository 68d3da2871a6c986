"""The queue and its dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import Statement

PRIORITY_MS = 60_000
"""The worth of a step of priority: having waited for that long. So a message goes before those that
came that much later with one step more, and none waits for ever."""

MAX_UNSURE = 10
"""Leases of a message that may end without a word before each of them counts as a delivery: a
message that kills the server itself must come to an end, too."""


NewRow: TypeAlias = tuple[str, str, int, int, str, str, int, int]
"""Id, value, ready time, most attempts, backoff and keys as JSON arrays, time on the wall, now."""


ToQueue: TypeAlias = tuple[str, int, int]
"""Queue, priority, and whether the backoff is the message's own: 1, or 0 for that of its queue, if
the queue has one."""


class QueueSql(NamedTuple):
    """Operations on messages and dead letters.

    A queue is its name; the first one has none. A message's *place* is when it became ready, by
    `PRIORITY_MS` earlier for each step of its priority. A message is *plain* if it is in the queue
    without a name and has no priority: of those there may be many more than of all others, and they
    have statements of their own.

    `visible` is when a message can be delivered: its ready time, or, while it is leased, the end of
    the lease. Attempts are the deliveries so far, the current one included if it is one.
    """

    enqueue: Callable[[NewRow], Sequence[Statement]]
    """Adds a plain message."""
    enqueue_to: Callable[[NewRow, ToQueue], Sequence[Statement]]
    """Adds a message to a queue."""
    lease: str
    """Lease, its end, now, 1: gives one plain message that is ready to who has the lease. A row
    with place, number, id, value, attempts, lease, visible; none if none is ready, or if there are
    others than plain ones in their queue."""
    lease_several: str
    """Lease, its end, now, limit, bytes: the same for several, whose values are not more than so
    many bytes, but for the first one. Messages with an earlier place come first, and of those the
    ones that were added first."""
    lease_of: str
    """Lease, its end, now, limit, bytes, queue: the same of all messages of a queue, by its
    options: none while it is paused, no more than may run and than its rate leaves, and with its
    own end if it has one."""
    count_delivery: str
    """Id, lease: the current delivery of a message counts."""
    settle: str
    """Id, lease or NULL, queue or NULL: removes a message, only under this lease if there is one,
    and only of this queue."""
    give_back: str
    """Id, lease: ends it at once, unless it was for the last attempt; counts."""
    undeliver: str
    """Id, lease: ends it as if there had been none."""
    extend: str
    """New end, now, id, lease or NULL, 1 or 0: prolongs a lease, this one if there is one; with 1
    as long as its queue says, if that says it. It may be over, as long as no other took its place;
    counts."""
    retry: str
    """Ready time, now, id: ends the lease, and lets the message wait; counts."""
    bury: str
    """Id of the letter, error, time on the wall, now, id: copies a message to the dead letters."""
    remove: str
    """Id: removes a message."""
    same_delivery: str
    """Condition of a guard. Id, attempts, visible, lease or NULL: the delivery of the message is
    still this one."""
    delivery: str
    """Id: id, lease, visible, value, queue, attempts, most attempts, backoff and keys."""
    exhausted: str
    """Now, limit: ids of messages without attempts left whose last lease is over."""
    next_visible: str
    """When the first plain message with attempts left can be delivered, or NULL; and whether there
    are others than plain ones in their queue, or something is said of that, 0 or 1."""
    next_visible_of: str
    """Queue: when the first message of it with attempts left can be delivered, or NULL."""
    with_messages: str
    """JSON array of names of queues: those that have messages. Not for the one without a name."""
    next_exhausted: str
    """When the last lease of the first message without attempts left ends, or NULL."""
    waiting_since: str
    """Now: the latest time at which it was decided how long a message waits that is not visible
    yet; or NULL."""
    held: str
    """Now, JSON array of ids: id and lease of those that are leased."""
    stats: str
    """Now: how many messages there are, how many of them are leased, how many dead letters."""
    stats_of: str
    """Now, queue: the same of one queue."""
    letters: str
    """Limit, offset, bytes, queue: all bytes of values of so many dead letters, and of each id,
    id of the message, value, error, attempts, time it was created, time it failed and queue. The
    last failure first; values are null if they are more than so many bytes."""
    letter: str
    """Id: the same of one letter, without the bytes."""
    requeue: str
    """Id of the message, now, time on the wall, id of the letter: adds a message with its value and
    schedule."""
    forget_letter: str
    """Id: removes a letter."""
    forget_letters: str
    """Queue: removes all of it."""
    forget_old_letters: str
    """Time, limit: removes so many that are kept since then or longer, the oldest first."""
    leased: Callable[[str], str] | None = None
    """SQL for the rows that `lease`, `lease_several` and `lease_of` gave to who has the lease, as
    `Batch.recalls` wants it. For engines whose batches give no rows; None for others."""

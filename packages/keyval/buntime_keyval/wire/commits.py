"""What a commit holds: one vocabulary for clients, servers and callers in process.

Builders of clients collect it, requests are parsed into it, and stores apply it. Values in it are
canonical text; where nobody has committed them yet, `$now` is left in them.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import msgspec

from buntime_keyval.wire.keys import Key, KeyPart, Placeholder
from buntime_keyval.wire.shapes import MutationType
from buntime_keyval.wire.tasks import NewTask

PlacedKey = tuple[KeyPart | Placeholder, ...]
"""A checked key that may hold placeholders."""

NUMERIC = ("sum", "max", "min")
LISTS = ("append", "prepend")
LIVES = ("touch", "persist")
"""Mutations that change how long an entry lives, and nothing else of it."""
WITHOUT_VALUE = ("delete", *LIVES)
CREATING = (*NUMERIC, *LISTS, "patch")
"""Mutations that make a new value of the one that is there, or one of their own."""
MERGING = frozenset((*CREATING, *LIVES))
"""Mutations that make a new entry of the one that is there."""

DEFAULT_PAUSES_MS = (1000, 5000, 10000)
"""Pauses before the second, third and fourth delivery of a message."""


class EntryOptions(NamedTuple):
    """What goes with a value when it is stored; `expires_in` wins over `expires_at`."""

    expires_in: int | None = None
    """Milliseconds from the commit on."""
    expires_at: int | None = None
    """Epoch milliseconds, by the clock on the wall."""
    metadata: str | None = None
    """Canonical JSON."""
    type: str | None = None
    """What kind of entry it is, by which it is found; see `entry_types.py`."""

    def or_else(self, others: EntryOptions) -> EntryOptions:
        """The same, and of the others what is not said here."""
        life = self if self[:2] != (None, None) else others
        return EntryOptions(
            life.expires_in,
            life.expires_at,
            others.metadata if self.metadata is None else self.metadata,
            others.type if self.type is None else self.type,
        )


NO_OPTIONS = EntryOptions()


class MessageOptions(NamedTuple):
    """How a message is to be delivered."""

    delay_ms: int = 0
    pauses_ms: tuple[int, ...] | None = None
    """Before each further delivery; None for those that the server has by default."""
    keys_if_undelivered: tuple[Key, ...] = ()
    queue: str = ""
    """Which queue it goes to; the first one has no name."""
    priority: int = 0
    """From -10 to 10: each step goes before messages that became ready a minute earlier."""
    id: str | None = None
    """The id of the message, if its sender names it: for a day nothing else is sent under it."""


DEFAULT_OPTIONS = MessageOptions()
"""How most messages are delivered."""


class Check(NamedTuple):
    """Holds while the key has this versionstamp; None requires that it is missing."""

    key: Key
    versionstamp: str | None


class LockCheck(NamedTuple):
    """Holds while the lock is held under this token."""

    name: str
    token: str


class Mutation(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One change of one key.

    `operand` is the canonical text of a value to set, an integer for the numeric types, the
    canonical text of an array for append and prepend, that of a merge patch, and None for delete,
    touch and persist.
    """

    type: MutationType
    key: PlacedKey
    operand: int | str | None = None
    options: EntryOptions = NO_OPTIONS
    encoded: bytes | None = None
    """The encoded key, for stores; None where it is known only once the commit has its
    versionstamp."""
    on_create: EntryOptions = NO_OPTIONS
    """What a key that is missing gets of what `options` do not say; for those of `CREATING`."""

    def known_prefix(self) -> Key:
        """The parts of the key in front of its first placeholder."""
        known: list[KeyPart] = []
        for part in self.key:
            if isinstance(part, Placeholder):
                break
            known.append(part)
        return tuple(known)

    def resolved_key(self, versionstamp: str) -> Key:
        """The key with the versionstamp in the place of placeholders."""
        if self.encoded is not None:
            return cast(Key, self.key)  # it has none
        return resolve_key(self.key, versionstamp)


class NewMessage(NamedTuple):
    """A message to send, with its canonical value."""

    value: str
    options: MessageOptions


class ConsumerCommit(NamedTuple):
    """A consumer of the stream is done up to a position, if it is held under this token."""

    name: str
    token: str
    up_to: int


class Contents(NamedTuple):
    """What a builder holds."""

    checks: list[Check | LockCheck]
    mutations: list[Mutation | NewMessage | ConsumerCommit | NewTask]


def resolve_key(key: PlacedKey, versionstamp: str) -> Key:
    """The key with the versionstamp in the place of placeholders."""
    return tuple([versionstamp if isinstance(part, Placeholder) else part for part in key])

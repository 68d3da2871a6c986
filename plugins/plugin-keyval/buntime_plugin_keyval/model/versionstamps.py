"""Versionstamps: UUIDv7s that grow with every commit of a store, from any process.

The newest row of the change log serves as the clock of the store, together with the one row of
`kv_stamps`, which has the newest stamp of commits that may log nothing: those that send messages,
or delete missing keys. A commit's stamp is greater than both. This is ensured by the statement that
writes it to one of them while the write lock is held (`dialects/sqlite/stamps.py`). So stamps are
in the order of commits across processes, hosts and restarts, whatever their clocks show.

A commit that has nothing to do writes nothing, so its stamp is in order only within its process.

A stamp is made before the lock is held: milliseconds and a count, together 60 bits, and 62 random
bits. Nearly always it is greater than the newest one, and the commit uses it. If it is not, the
commit either fails and is made again (a firm stamp), or gets the next greater number from the
database (a late one); the random bits stay, and identify the commit.
"""

from __future__ import annotations

import re

from uuid_utils import uuid4

TAIL_BEGINS = 19
"""The index in the text of a stamp at which the random part begins."""

COUNT_BITS = 12
"""The bits of the count in the number before the random part; the others are milliseconds."""

_NUMBERED = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7([0-9a-f]{3})-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LAST_NUMBER = (1 << 60) - (1 << 40)
"""Greater numbers would soon leave no next one; the store's own never come near."""


class Stamps:
    """Makes the stamps of one process, each greater than all that it made or learned before."""

    def __init__(self) -> None:
        self._number = 0
        self._milliseconds = -1
        self._head = ""

    @property
    def newest_ms(self) -> int:
        """The time in the newest stamp, in epoch milliseconds; 0 if there is none."""
        return self._number >> COUNT_BITS

    def make(self, now_ms: int) -> str:
        """Make a stamp."""
        number = self._number + 1
        if number < now_ms << COUNT_BITS:
            number = now_ms << COUNT_BITS
        self._number = number
        milliseconds = number >> COUNT_BITS
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            digits = f"{milliseconds:012x}"
            self._head = f"{digits[:8]}-{digits[8:]}-7"
        # A uuid4 has random bits in the same place, and this is the cheapest way to get them.
        return "%s%03x%s" % (self._head, number & 4095, str(uuid4())[18:])  # noqa: UP031 - see above

    def learn(self, versionstamp: str) -> None:
        """Make greater stamps than one of another process; stamps of another form are ignored."""
        found = _NUMBERED.fullmatch(versionstamp)
        if found:
            number = int("".join(found.groups()), 16)
            if self._number < number <= _LAST_NUMBER:
                self._number = number


def tail_of(versionstamp: str) -> str:
    """The random part of a stamp, which is known before the commit."""
    return versionstamp[TAIL_BEGINS:]


def milliseconds_of(versionstamp: str) -> int:
    """The milliseconds in a stamp of the store's own form."""
    return int(versionstamp[:8] + versionstamp[9:13], 16)


def moved(versionstamp: str, milliseconds: int) -> str:
    """A stamp that is later by so many milliseconds, with the same count and random part."""
    digits = f"{milliseconds_of(versionstamp) + milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}{versionstamp[13:]}"


def just_after(versionstamp: str) -> str:
    """A stamp that is greater than this one, and less than those of all later commits."""
    tail = int(versionstamp[TAIL_BEGINS:].replace("-", ""), 16) + 1
    digits = f"{tail:016x}"
    return f"{versionstamp[:TAIL_BEGINS]}{digits[:4]}-{digits[4:]}"
